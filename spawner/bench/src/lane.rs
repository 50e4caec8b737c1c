//! Sending closures to state on another thread, beside channels with a consumer.
//!
//! A channel's message is what the lane's inline slot holds: a function and six
//! words, no allocation; the consumer calls it with its state.

use crate::Settings;
use crate::allocations;
use crate::measure::{Row, Stopwatch, Subject, interleave};
use nix::errno::Errno;
use rivix_spawner::lane::Join;
use rivix_spawner::{Lane, LaneKey, Lanes, Service};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// Units that the lanes hold.
const CAPACITY: u32 = 1_024;

struct Sum(u64);

impl Service for Sum {
    type Utilities = ();

    fn init(_key: LaneKey) -> Self {
        Sum(0)
    }

    fn utilities(&self) {}
}

type Words = [u64; 5];
type Message = (fn(&mut u64, &Words), Words);

fn act(sum: &mut u64, words: &Words) {
    *sum = sum.wrapping_add(black_box(words).iter().sum::<u64>());
}

/// A thread for a lane.
fn host(name: &str, body: Box<dyn FnOnce() + Send>) -> Result<Join, Errno> {
    let thread = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body);
    let thread = thread.map_err(|_| Errno::EAGAIN)?;
    Ok(Box::new(move || drop(thread.join())))
}

pub(crate) fn rows(settings: &Settings, rows: &mut Vec<Row>) {
    for producers in [1, 2, 4, 8] {
        let name = format!("lane submit, {producers} producers");
        if settings.wants(&name) {
            rows.push(submit(settings, &name, producers));
        }
    }
    if settings.wants("lane wake") {
        rows.push(wake(settings));
    }
}

/// Nanoseconds per unit, as the producers see it: the time until the last of
/// them has sent its share, full buffers included.
fn sending(producers: usize, count: usize, send: impl Fn(Words) + Sync) -> f64 {
    let share = count / producers;
    let start = Instant::now();
    let work = || {
        for n in 0..share as u64 {
            send([n, n + 1, n + 2, n + 3, n + 4]);
        }
    };
    if producers == 1 {
        work();
    } else {
        std::thread::scope(|scope| {
            for _ in 0..producers {
                scope.spawn(work);
            }
        });
    }
    start.elapsed().as_nanos() as f64 / (share * producers) as f64
}

/// Has this thread sleep for room: its place to sleep is made at the first time.
fn fill_once(lane: &Lane<Sum>) {
    let pause = move |_: &mut Sum| std::thread::sleep(Duration::from_millis(5));
    assert!(lane.submit(pause).is_ok(), "the lane is open");
    for _ in 0..CAPACITY * 2 {
        let sent = lane.submit(|sum| sum.0 += 1);
        assert!(sent.is_ok(), "the lane is open");
    }
    lane.barrier().expect("the lane runs on");
}

fn submit(settings: &Settings, name: &str, producers: usize) -> Row {
    let mut row = Row::new(name, "ns per unit");
    let count = settings.scaled(40_000);
    let lanes = Lanes::new(host).with_capacity(CAPACITY);
    let lane = Lane::<Sum>::new(&lanes, LaneKey::new("submit", 0)).expect("a lane");
    let allocated = AtomicU64::new(0);
    fill_once(&lane);
    let consume = |next: Box<dyn Fn() -> Option<Message> + Send>| {
        std::thread::spawn(move || {
            let mut sum = 0;
            while let Some((act, words)) = next() {
                act(&mut sum, &words);
            }
            black_box(sum)
        });
    };
    let mut subjects = vec![Subject::ours("rivix Lane::submit (1024)", |out| {
        let before = allocations::of_this_thread();
        let send = |words: Words| {
            let sent = lane.submit(move |sum| act(&mut sum.0, &words));
            assert!(sent.is_ok(), "the lane is open");
        };
        let each = sending(producers, count, send);
        let after = allocations::of_this_thread();
        out.push(each);
        if producers == 1 {
            allocated.fetch_add(after - before, Ordering::Relaxed);
        }
        lane.barrier().expect("the lane runs on");
    })];
    for capacity in [0, 32, 1_024] {
        // A rendezvous takes microseconds: fewer are enough.
        let count = if capacity == 0 { count / 20 } else { count };
        let (sender, receiver) = crossbeam_channel::bounded::<Message>(capacity);
        consume(Box::new(move || receiver.recv().ok()));
        subjects.push(Subject::peer(
            &format!("crossbeam-channel bounded({capacity})"),
            move |out| {
                let send = |words| sender.send((act, words)).expect("a consumer");
                out.push(sending(producers, count, send));
            },
        ));
        let (sender, receiver) = mpsc::sync_channel::<Message>(capacity);
        consume(Box::new(move || receiver.recv().ok()));
        subjects.push(Subject::peer(
            &format!("std sync_channel({capacity})"),
            move |out| {
                let send = |words| sender.send((act, words)).expect("a consumer");
                out.push(sending(producers, count, send));
            },
        ));
    }
    interleave(&mut row, settings.rounds() * 4, subjects);
    let ours = row.ours().map_or(f64::NAN, |figure| figure.p50);
    if producers == 1 {
        row.target("p50 at most 60 ns", format!("{ours:.1} ns"), ours <= 60.0);
        let allocated = allocated.into_inner();
        row.target("no allocation", allocated, allocated == 0);
    } else {
        row.at_most_best("p50 at most the best peer's", 1.0, |f| f.p50);
    }
    row
}

/// From the submit to the unit, the runner being asleep.
fn wake(settings: &Settings) -> Row {
    const PAUSE: Duration = Duration::from_micros(150);
    let mut row = Row::new("lane wake", "us");
    let count = settings.scaled(400);
    let lanes = Lanes::new(host);
    let lane = Lane::<Sum>::new(&lanes, LaneKey::new("wake", 0)).expect("a lane");
    let watch = Arc::new(Stopwatch::new());
    let is_over = Arc::new(AtomicBool::new(false));
    let sleeper = {
        let (watch, is_over) = (watch.clone(), is_over.clone());
        std::thread::spawn(move || {
            loop {
                std::thread::park();
                if is_over.load(Ordering::Acquire) {
                    break;
                }
                watch.stop();
            }
        })
    };
    let samples = |out: &mut Vec<f64>, go: &dyn Fn()| {
        for _ in 0..count {
            std::thread::sleep(PAUSE);
            let start = watch.now();
            go();
            out.push(watch.wait(start) / 1e3);
        }
    };
    let subjects = vec![
        Subject::ours("rivix Lane::submit, runner asleep", |out| {
            samples(out, &|| {
                let watch = watch.clone();
                assert!(lane.submit(move |_| watch.stop()).is_ok());
            });
        }),
        Subject::peer("std::thread::park", |out| {
            samples(out, &|| sleeper.thread().unpark());
        }),
    ];
    interleave(&mut row, settings.rounds(), subjects);
    is_over.store(true, Ordering::Release);
    sleeper.thread().unpark();
    row.at_most_best("p50 at most 1.3 times a park", 1.3, |f| f.p50);
    let span = Duration::from_secs(2);
    std::thread::sleep(Duration::from_millis(100));
    let before = runner_cpu("wake/0d");
    std::thread::sleep(span);
    let used = match (before, runner_cpu("wake/0d")) {
        (Some(before), Some(after)) => after.saturating_sub(before).as_secs_f64(),
        _ => f64::NAN,
    };
    let percent = used / span.as_secs_f64() * 100.0;
    row.target(
        "an idle runner uses less than 0.01% of a core",
        format!("{percent:.5}% over 2 s"),
        percent < 0.01,
    );
    row
}

/// The time that the thread of this name has been on a CPU.
fn runner_cpu(name: &str) -> Option<Duration> {
    for entry in std::fs::read_dir("/proc/self/task").ok()?.flatten() {
        let folder = entry.path();
        if std::fs::read_to_string(folder.join("comm")).ok()?.trim() == name {
            let text = std::fs::read_to_string(folder.join("schedstat")).ok()?;
            let nanoseconds = text.split_whitespace().next()?.parse().ok()?;
            return Some(Duration::from_nanos(nanoseconds));
        }
    }
    None
}
