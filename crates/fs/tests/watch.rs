//! Host descriptors wake those who wait for them.

use rivix_abi::Errno;
use rivix_abi::poll::{POLLHUP, POLLIN};
use rivix_fs::{File, Namespace, NamespaceConfig, SpawnFn, VecSink};
use rivix_sync::Notify;
use std::io::{Write, pipe};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

struct Tell(Mutex<Sender<u32>>);

impl Notify for Tell {
    fn notify(&self, events: u32) {
        let _ = self.0.lock().unwrap().send(events);
    }
}

fn told(file: &File) -> (rivix_sync::WaitEntry, Receiver<u32>) {
    let (events, seen) = channel();
    let queue = file.wait_queue().expect("the host can watch it");
    let tell = Arc::new(Tell(Mutex::new(events)));
    (queue.register(tell, POLLIN | POLLHUP), seen)
}

/// Waits until the queue has told of `bit`, and looks whether that is so.
fn expect(file: &File, seen: &Receiver<u32>, bit: u32, what: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match seen.recv_timeout(left) {
            Ok(events) if events & bit != 0 && file.poll() & bit != 0 => return,
            Ok(_) => {}
            Err(_) => panic!("{what}"),
        }
    }
}

/// Threads that count their starts and ends.
fn spawner() -> (Arc<SpawnFn>, Arc<AtomicUsize>, Receiver<()>) {
    let started = Arc::new(AtomicUsize::new(0));
    let (ended, has_ended) = channel();
    let ended = Mutex::new(ended);
    let count = started.clone();
    let spawn = move |_: &str, body: Box<dyn FnOnce() + Send>| {
        count.fetch_add(1, Ordering::SeqCst);
        let ended = ended.lock().unwrap().clone();
        std::thread::spawn(move || {
            body();
            let _ = ended.send(());
        });
        Ok(())
    };
    (Arc::new(spawn), started, has_ended)
}

fn namespace(spawn: Option<Arc<SpawnFn>>) -> Arc<Namespace> {
    Namespace::new(NamespaceConfig {
        spawn,
        ..NamespaceConfig::empty()
    })
    .unwrap()
}

#[test]
fn one_lazy_thread_tells_of_bytes_and_hang_ups_and_ends_when_told() {
    let (spawn, started, has_ended) = spawner();
    let ns = namespace(Some(spawn));
    let (first, mut to_first) = pipe().unwrap();
    let (second, mut to_second) = pipe().unwrap();
    let first = ns.adopt(OwnedFd::from(first)).unwrap();
    let second = ns.adopt(OwnedFd::from(second)).unwrap();
    assert_eq!(started.load(Ordering::SeqCst), 0);
    let (_entry, seen_first) = told(&first);
    let (_entry, seen_second) = told(&second);
    for round in 0..1000 {
        for (writer, file, seen) in [
            (&mut to_first, &first, &seen_first),
            (&mut to_second, &second, &seen_second),
        ] {
            writer.write_all(b"x").unwrap();
            expect(file, seen, POLLIN, &format!("the byte of round {round}"));
            let mut sink = VecSink::new(1);
            assert_eq!(file.read(&mut sink, None), Ok(1));
        }
    }
    drop(to_first);
    expect(&first, &seen_first, POLLHUP, "the hang-up");
    assert_eq!(started.load(Ordering::SeqCst), 1);
    ns.stop_watching();
    has_ended.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn what_is_always_ready_has_no_queue() {
    let (spawn, ..) = spawner();
    let ns = namespace(Some(spawn));
    let null = std::fs::File::open("/dev/null").unwrap();
    let file = ns.adopt(OwnedFd::from(null)).unwrap();
    assert!(file.wait_queue().is_none());
    assert!(file.wait_queue().is_none());
}

#[test]
fn without_threads_nothing_is_watched_until_there_are_some() {
    let ns = namespace(None);
    let (reader, mut writer) = pipe().unwrap();
    let file = ns.adopt(OwnedFd::from(reader)).unwrap();
    assert!(file.wait_queue().is_none());
    // A host that refuses is asked again.
    let (spawn, ..) = spawner();
    let refusals = AtomicUsize::new(0);
    ns.set_spawn(Arc::new(move |name: &str, body| {
        if refusals.fetch_add(1, Ordering::SeqCst) == 0 {
            return Err(Errno::EAGAIN);
        }
        spawn(name, body)
    }));
    assert!(file.wait_queue().is_none());
    let (_entry, seen) = told(&file);
    writer.write_all(b"x").unwrap();
    expect(&file, &seen, POLLIN, "the byte");
}

#[test]
fn a_closed_file_is_forgotten_and_its_number_serves_the_next() {
    let (spawn, ..) = spawner();
    let ns = namespace(Some(spawn));
    let before = ns.shared().host_fds();
    for round in 0..500 {
        let (reader, mut writer) = pipe().unwrap();
        let file = ns.adopt(OwnedFd::from(reader)).unwrap();
        let (entry, seen) = told(&file);
        writer.write_all(b"x").unwrap();
        expect(&file, &seen, POLLIN, &format!("the byte of round {round}"));
        drop((entry, file));
        let error = writer.write_all(b"x").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EPIPE));
    }
    assert_eq!(ns.shared().host_fds(), before);
}

#[test]
fn namespaces_share_a_reactor() {
    let (spawn, started, has_ended) = spawner();
    let reactor = Arc::new(rivix_spawner::Reactor::new(move |name, body| {
        spawn(name, body).map_err(|_| nix::errno::Errno::EAGAIN)
    }));
    for _ in 0..2 {
        let ns = namespace(None);
        ns.set_reactor(reactor.clone());
        let (reader, mut writer) = pipe().unwrap();
        let file = ns.adopt(OwnedFd::from(reader)).unwrap();
        let (_entry, seen) = told(&file);
        writer.write_all(b"x").unwrap();
        expect(&file, &seen, POLLIN, "the byte");
    }
    assert_eq!(started.load(Ordering::SeqCst), 1);
    drop(reactor);
    has_ended.recv_timeout(PATIENCE).unwrap();
}
