use super::*;
use crate::TicketError;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use std::fs::File;
use std::io::{PipeReader, Read, Write, pipe};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex as Plain, Weak};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);
const IN: u32 = 1;
const HUP: u32 = 0x10;

fn until(what: &str, is_done: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_done() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A reactor, what tells its thread's id, and what tells that it has ended.
fn observed() -> (Arc<Reactor>, Arc<AtomicU64>, Receiver<()>) {
    let id = Arc::new(AtomicU64::new(0));
    let (ended, has_ended) = channel();
    let tid = id.clone();
    let reactor = Reactor::new(move |name, body| {
        let (tid, ended) = (tid.clone(), ended.clone());
        test_host(
            name,
            Box::new(move || {
                tid.store(nix::unistd::gettid().as_raw() as u64, Ordering::SeqCst);
                body();
                let _ = ended.send(());
            }),
        )
    });
    (Arc::new(reactor), id, has_ended)
}

fn told(reactor: &Reactor, fd: impl StableFd) -> (Result<Watch, WatchError>, Receiver<u32>) {
    let (events, seen) = channel();
    let watch = reactor.watch(fd, move |bits| {
        let _ = events.send(bits);
    });
    (watch, seen)
}

/// Waits for an edge with one of `bits`.
fn expect(seen: &Receiver<u32>, bits: u32, what: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match seen.recv_timeout(left) {
            Ok(got) if got & bits != 0 => return,
            Ok(_) => {}
            Err(_) => panic!("{what}"),
        }
    }
}

#[test]
fn ten_thousand_edges_of_a_pipe_are_told() {
    let reactor = Reactor::new(test_host);
    let (reader, mut writer) = pipe().unwrap();
    let reader = Arc::new(reader);
    let (watch, seen) = told(&reactor, reader.clone());
    let _watch = watch.unwrap();
    for round in 0..10_000 {
        writer.write_all(b"x").unwrap();
        expect(&seen, IN, &format!("the edge of round {round}"));
        let mut byte = [0];
        (&*reader).read_exact(&mut byte).unwrap();
    }
}

#[test]
fn the_state_at_the_start_is_an_edge() {
    let reactor = Reactor::new(test_host);
    let (reader, mut writer) = pipe().unwrap();
    writer.write_all(b"x").unwrap();
    let (_watch, seen) = told(&reactor, reader);
    expect(&seen, IN, "what was there before");
}

#[test]
fn an_edge_during_a_call_calls_again() {
    let reactor = Reactor::new(test_host);
    let (reader, mut writer) = pipe().unwrap();
    let (events, seen) = channel();
    let (release, released) = channel::<()>();
    let released = Plain::new(released);
    let _watch = reactor
        .watch(reader, move |bits| {
            let _ = events.send(bits);
            let _ = released.lock().unwrap().recv_timeout(PATIENCE);
        })
        .unwrap();
    writer.write_all(b"x").unwrap();
    expect(&seen, IN, "the first");
    writer.write_all(b"x").unwrap();
    release.send(()).unwrap();
    expect(&seen, IN, "the second, which came during the first call");
    release.send(()).unwrap();
}

#[test]
fn a_fifo_is_told_of_after_its_writers_have_gone_and_new_ones_have_come() {
    let directory = std::env::temp_dir().join(format!("rivix-reactor-{}", std::process::id()));
    let _ = std::fs::remove_file(&directory);
    nix::unistd::mkfifo(&directory, Mode::S_IRWXU).unwrap();
    let reader: File = open(
        &directory,
        OFlag::O_RDONLY | OFlag::O_NONBLOCK,
        Mode::empty(),
    )
    .unwrap()
    .into();
    let reader = Arc::new(reader);
    let (reactor, id, _) = observed();
    let (watch, seen) = told(&reactor, reader.clone());
    let _watch = watch.unwrap();
    for round in 0..200 {
        let mut writer = File::options().write(true).open(&directory).unwrap();
        writer.write_all(b"x").unwrap();
        expect(&seen, IN, &format!("the byte of round {round}"));
        let mut byte = [0];
        (&*reader).read_exact(&mut byte).unwrap();
        drop(writer);
        expect(&seen, HUP, &format!("the hang-up of round {round}"));
    }
    // A hang-up is an edge, not a state that keeps the thread busy.
    std::thread::sleep(Duration::from_millis(100));
    let before = Usage::of(&id);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(Usage::of(&id), before);
    std::fs::remove_file(&directory).unwrap();
}

#[test]
fn a_watch_that_ends_waits_for_its_call_and_none_comes_after() {
    let reactor = Reactor::new(test_host);
    let (reader, mut writer) = pipe().unwrap();
    let reader = Arc::new(reader);
    let mut calls = 0;
    for round in 0..2000 {
        let at_work = Arc::new(AtomicBool::new(false));
        let is_over = Arc::new(AtomicBool::new(false));
        let count = Arc::new(AtomicUsize::new(0));
        let callback = {
            let (at_work, is_over, count) = (at_work.clone(), is_over.clone(), count.clone());
            move |_| {
                assert!(!is_over.load(Ordering::SeqCst), "called after the end");
                at_work.store(true, Ordering::SeqCst);
                std::hint::spin_loop();
                count.fetch_add(1, Ordering::SeqCst);
                at_work.store(false, Ordering::SeqCst);
            }
        };
        let watch = reactor.watch(reader.clone(), callback).unwrap();
        writer.write_all(b"x").unwrap();
        // A little sooner or later each round, so as to meet the call at every point.
        for _ in 0..round % 50 * 20 {
            std::hint::spin_loop();
        }
        watch.end();
        assert!(!at_work.load(Ordering::SeqCst), "a call outlives the end");
        is_over.store(true, Ordering::SeqCst);
        calls += count.load(Ordering::SeqCst);
        let mut byte = [0];
        (&*reader).read_exact(&mut byte).unwrap();
    }
    assert!(calls > 0, "the end always came first: nothing was raced");
}

#[test]
fn a_forgotten_number_may_be_watched_again_at_once() {
    let reactor = Reactor::new(test_host);
    // The same numbers over and over: a late deregistration would hit the next one.
    for round in 0..2000 {
        let (reader, mut writer) = pipe().unwrap();
        let (watch, seen) = told(&reactor, reader);
        let watch = watch.unwrap();
        writer.write_all(b"x").unwrap();
        if round % 2 == 0 {
            expect(&seen, IN, &format!("the edge of round {round}"));
        }
        drop(watch);
        // The reader was closed with its watch: nobody reads any more.
        assert_eq!(
            writer.write_all(b"x").unwrap_err().raw_os_error(),
            Some(nix::libc::EPIPE)
        );
    }
}

#[test]
fn a_regular_file_is_always_ready() {
    let reactor = Reactor::new(test_host);
    let file = File::open("/proc/self/exe").unwrap();
    let (watch, _) = told(&reactor, file);
    assert_eq!(watch.unwrap_err(), WatchError::AlwaysReady);
}

#[test]
fn a_descriptor_is_watched_once() {
    let reactor = Reactor::new(test_host);
    let (reader, _writer) = pipe().unwrap();
    let reader = Arc::new(reader);
    let (first, _) = told(&reactor, reader.clone());
    let _first = first.unwrap();
    let (second, _) = told(&reactor, reader);
    let expected = WatchError::Reactor(ReactorError::Host(Errno::EEXIST));
    assert_eq!(second.unwrap_err(), expected);
}

#[test]
fn a_callback_may_drop_or_end_its_own_watch() {
    for must_end in [false, true] {
        let reactor = Reactor::new(test_host);
        let (reader, mut writer) = pipe().unwrap();
        let own = Arc::new(Plain::new(None::<Watch>));
        let (gone, is_gone) = channel();
        let slot = Arc::downgrade(&own);
        let watch = reactor
            .watch(reader, move |bits| {
                let watch = slot.upgrade().and_then(|slot| slot.lock().unwrap().take());
                if let (Some(watch), true) = (watch, bits & IN != 0) {
                    if must_end {
                        watch.end()
                    } else {
                        drop(watch)
                    }
                    let _ = gone.send(());
                }
            })
            .unwrap();
        *own.lock().unwrap() = Some(watch);
        writer.write_all(b"x").unwrap();
        is_gone.recv_timeout(PATIENCE).unwrap();
        until("the reader is closed", || (&writer).write(b"x").is_err());
    }
}

#[test]
fn a_panic_in_a_callback_ends_neither_its_watch_nor_the_reactor() {
    let reactor = Reactor::new(test_host);
    let (reader, mut writer) = pipe().unwrap();
    let (events, seen) = channel();
    let _watch = reactor
        .watch(reader, move |bits| {
            let _ = events.send(bits);
            panic!("a callback that panics on purpose");
        })
        .unwrap();
    for _ in 0..3 {
        writer.write_all(b"x").unwrap();
        expect(&seen, IN, "called in spite of the panic before");
    }
}

#[test]
fn a_stop_ends_the_thread_with_descriptors_watched_and_frees_them() {
    let (reactor, _, has_ended) = observed();
    let pipes: Vec<_> = (0..20).map(|_| pipe().unwrap()).collect();
    let (readers, writers): (Vec<PipeReader>, Vec<_>) = pipes.into_iter().unzip();
    let calls = Arc::new(AtomicUsize::new(0));
    let watches: Vec<Watch> = readers
        .into_iter()
        .map(|reader| {
            let calls = calls.clone();
            let count = move |_| {
                calls.fetch_add(1, Ordering::SeqCst);
            };
            reactor.watch(reader, count).unwrap()
        })
        .collect();
    let pending = reactor.spawn(std::future::pending::<()>()).unwrap();
    reactor.stop();
    reactor.stop();
    has_ended.recv_timeout(PATIENCE).unwrap();
    assert!(matches!(pending.wait(), Err(TicketError::Closed)));
    let before = calls.load(Ordering::SeqCst);
    for mut writer in &writers {
        writer.write_all(b"x").unwrap();
    }
    assert_eq!(calls.load(Ordering::SeqCst), before);
    drop(watches);
    // Only this test's own count is left: every callback is gone.
    assert_eq!(Arc::strong_count(&calls), 1);
    let (reader, _writer) = pipe().unwrap();
    let (late, _) = told(&reactor, reader);
    assert_eq!(
        late.unwrap_err(),
        WatchError::Reactor(ReactorError::Stopped)
    );
    assert!(matches!(
        reactor.spawn(async {}),
        Err(SpawnError::Closed(_))
    ));
}

#[test]
fn a_reactor_may_be_stopped_and_dropped_from_its_own_thread() {
    let (reactor, _, has_ended) = observed();
    let inside = reactor.clone();
    let ticket = reactor
        .spawn(async move {
            assert!(inside.is_current());
            // Ours may be the last one.
            drop(inside);
        })
        .unwrap();
    drop(reactor);
    has_ended.recv_timeout(PATIENCE).unwrap();
    // It ran, or the reactor was gone before.
    assert!(matches!(ticket.wait(), Ok(()) | Err(TicketError::Closed)));

    let (reactor, _, has_ended) = observed();
    let inside = reactor.clone();
    reactor
        .spawn(async move { inside.stop() })
        .unwrap()
        .detach();
    has_ended.recv_timeout(PATIENCE).unwrap();
    // The future held the last one but ours.
    until("its futures are gone", || Arc::strong_count(&reactor) == 1);
}

#[test]
fn an_unused_reactor_has_no_thread_and_a_refused_one_asks_again() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let reactor = Reactor::new(move |name, body| {
        assert_eq!(name, "rivix-reactor");
        if count.fetch_add(1, Ordering::SeqCst) < 2 {
            return Err(Errno::EAGAIN);
        }
        test_host(name, body)
    });
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    let refused = reactor.handle().map(drop);
    assert_eq!(refused, Err(ReactorError::NoThread(Errno::EAGAIN)));
    let Err(SpawnError::NoThread(Errno::EAGAIN, future)) = reactor.spawn(async { 7 }) else {
        panic!("the future comes back");
    };
    assert_eq!(reactor.spawn(future).unwrap().wait().unwrap(), 7);
    assert_eq!(reactor.spawn(async { 8 }).unwrap().wait().unwrap(), 8);
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[test]
fn a_refused_reactor_may_be_dropped_inside_another_runtime() {
    let runtime = Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let reactor = Reactor::new(|_, _| Err(Errno::EAGAIN));
        assert!(reactor.handle().is_err());
    });
}

struct Told(Arc<AtomicUsize>);
impl Drop for Told {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_cancelled_future_is_dropped_once_and_then_its_ticket_resolves() {
    let reactor = Reactor::new(test_host);
    for _ in 0..1000 {
        let drops = Arc::new(AtomicUsize::new(0));
        let told = Told(drops.clone());
        let ticket = reactor
            .spawn(async move {
                let _told = told;
                std::future::pending::<()>().await;
            })
            .unwrap();
        assert!(ticket.cancel());
        assert!(matches!(ticket.wait(), Err(TicketError::Cancelled)));
        assert_eq!(drops.load(Ordering::SeqCst), 1);
    }
    let done = reactor.spawn(async { 1 }).unwrap();
    until("it completes", || done.is_finished());
    assert!(!done.cancel());
    assert_eq!(done.wait().unwrap(), 1);
}

#[test]
fn a_panic_in_a_future_reaches_its_ticket_only() {
    let reactor = Reactor::new(test_host);
    let ticket = reactor
        .spawn(async { panic!("a future that panics on purpose") })
        .unwrap();
    let Err(TicketError::Panicked(payload)) = ticket.wait() else {
        panic!("the panic is the outcome");
    };
    assert!(crate::payload_text(&payload).contains("on purpose"));
    assert_eq!(reactor.spawn(async { 1 }).unwrap().wait().unwrap(), 1);
}

#[test]
fn a_descriptors_callback_is_dropped_with_its_watch() {
    let reactor = Reactor::new(test_host);
    let (reader, _writer) = pipe().unwrap();
    let held = Arc::new(());
    let inside = held.clone();
    let watch = reactor
        .watch(reader, move |_| {
            let _ = &inside;
        })
        .unwrap();
    let seen: Weak<()> = Arc::downgrade(&held);
    drop((held, watch));
    until("the callback is gone", || seen.upgrade().is_none());
}

/// A thread's CPU time in clock ticks, and how often it has slept.
#[derive(Debug, PartialEq, Eq)]
struct Usage {
    ticks: u64,
    sleeps: u64,
}

impl Usage {
    fn of(id: &AtomicU64) -> Usage {
        let folder = format!("/proc/self/task/{}", id.load(Ordering::SeqCst));
        let stat = std::fs::read_to_string(format!("{folder}/stat")).unwrap();
        let after_name = stat.rsplit_once(')').unwrap().1;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let status = std::fs::read_to_string(format!("{folder}/status")).unwrap();
        let sleeps = status
            .lines()
            .filter_map(|line| line.split_once("ctxt_switches:"))
            .map(|(_, count)| count.trim().parse::<u64>().unwrap())
            .sum();
        Usage {
            ticks: fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap(),
            sleeps,
        }
    }
}

#[test]
fn an_idle_reactor_never_wakes() {
    let (reactor, id, _) = observed();
    let pipes: Vec<_> = (0..10).map(|_| pipe().unwrap()).collect();
    let (readers, writers): (Vec<PipeReader>, Vec<_>) = pipes.into_iter().unzip();
    let _watches: Vec<_> = readers
        .into_iter()
        .map(|reader| told(&reactor, reader))
        .collect();
    assert_eq!(reactor.spawn(async { 1 }).unwrap().wait().unwrap(), 1);
    // It falls asleep some moments after its last answer.
    std::thread::sleep(Duration::from_millis(200));
    let before = Usage::of(&id);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(Usage::of(&id), before);
    drop(writers);
}
