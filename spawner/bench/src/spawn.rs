//! From the call that spawns to the unit's first instruction.

use crate::Settings;
use crate::measure::{Row, Stopwatch, Subject, interleave, until};
use rivix_spawner::{Creator, Pool};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

/// Long enough for every peer's idle thread to have gone to sleep.
const PAUSE: Duration = Duration::from_micros(150);

type Task = Box<dyn FnOnce() + Send>;

pub(crate) fn rows(settings: &Settings, place: &str, rows: &mut Vec<Row>) {
    if settings.wants("spawn to run, idle worker") {
        rows.push(idle_worker(settings, place));
    }
    if settings.wants("spawn to run, new thread") {
        rows.push(new_thread(settings, place));
    }
}

/// `spawn` once per sample; the worker is asleep each time.
fn samples(count: usize, out: &mut Vec<f64>, mut spawn: impl FnMut(Task)) {
    let watch = Arc::new(Stopwatch::new());
    for _ in 0..count {
        let unit = watch.clone();
        let start = watch.now();
        spawn(Box::new(move || unit.stop()));
        out.push(watch.wait(start) / 1e3);
        std::thread::sleep(PAUSE);
    }
}

/// A thread that runs what comes out of `next`.
fn consumer(next: impl Fn() -> Option<Task> + Send + 'static) {
    std::thread::spawn(move || {
        while let Some(task) = next() {
            task();
        }
    });
}

fn idle_worker(settings: &Settings, place: &str) -> Row {
    let mut row = Row::new(format!("spawn to run, idle worker, {place}"), "us");
    let count = settings.scaled(400);
    let creator = Creator::start().expect("a creator");
    let pool: Pool = Pool::builder(&creator, ()).build().expect("a pool");
    let (crossbeam, receiver) = crossbeam_channel::bounded::<Task>(0);
    consumer(move || receiver.recv().ok());
    let (sync, receiver) = mpsc::sync_channel::<Task>(0);
    consumer(move || receiver.recv().ok());
    let tokio = blocking_runtime(2, Duration::from_secs(60));
    let rayon = rayon::ThreadPoolBuilder::new()
        .num_threads(2)
        .build()
        .expect("a rayon pool");
    let subjects = vec![
        Subject::ours("rivix Pool::spawn", |out| {
            samples(count, out, |task| {
                pool.spawn(move |_| task()).expect("a worker").detach();
            });
        }),
        Subject::ours("rivix Pool::spawn_nowait", |out| {
            samples(count, out, |task| {
                pool.spawn_nowait(move |_| task()).detach();
            });
        }),
        Subject::peer("crossbeam-channel bounded(0)", |out| {
            samples(count, out, |task| crossbeam.send(task).expect("a consumer"));
        }),
        Subject::peer("std sync_channel(0)", |out| {
            samples(count, out, |task| sync.send(task).expect("a consumer"));
        }),
        Subject::peer("tokio spawn_blocking", |out| {
            samples(count, out, |task| drop(tokio.spawn_blocking(task)));
        }),
        Subject::peer("rayon::spawn", |out| {
            samples(count, out, |task| rayon.spawn(task));
        }),
    ];
    interleave(&mut row, settings.rounds(), subjects);
    row.at_most_best("p50 at most the best peer's", 1.0, |f| f.p50);
    row.at_most_best("p99 at most twice the best peer's", 2.0, |f| f.p99);
    row
}

fn new_thread(settings: &Settings, place: &str) -> Row {
    let mut row = Row::new(format!("spawn to run, new thread, {place}"), "us");
    let count = settings.scaled(200);
    let creator = Creator::start().expect("a creator");
    let pool: Pool = Pool::builder(&creator, ())
        .max_idle(0)
        .build()
        .expect("a pool");
    // A worker that has nothing to wait for goes at once.
    let tokio = blocking_runtime(2, Duration::ZERO);
    let subjects = vec![
        Subject::ours("rivix Pool::spawn, none idle", |out| {
            samples(count, out, |task| {
                pool.spawn(move |_| task()).expect("a worker").detach();
            });
            until(Duration::from_secs(1), || pool.stats().live == 0);
        }),
        Subject::peer("std::thread::spawn", |out| {
            let mut last = None;
            samples(count, out, |task| {
                last = Some(std::thread::spawn(task));
            });
            if let Some(last) = last {
                last.join().expect("a thread ends");
            }
        }),
        Subject::peer("tokio spawn_blocking, none idle", |out| {
            samples(count, out, |task| drop(tokio.spawn_blocking(task)));
        }),
    ];
    interleave(&mut row, settings.rounds(), subjects);
    let ratio = match (row.ours(), row.named("std::thread::spawn")) {
        (Some(ours), Some(peer)) => ours.p50 / peer.p50,
        _ => f64::NAN,
    };
    row.target(
        "p50 at most 1.5 times std::thread's",
        format!("{ratio:.2}"),
        ratio <= 1.5,
    );
    row
}

pub(crate) fn blocking_runtime(threads: usize, keep: Duration) -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(threads)
        .thread_keep_alive(keep)
        .build()
        .expect("a tokio runtime")
}
