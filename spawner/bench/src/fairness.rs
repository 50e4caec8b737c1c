//! How evenly stealing spreads work: many tasks that give way at each step, all
//! begun from one thread, and how often each of two or more workers polled.

use crate::Settings;
use crate::measure::{Row, Samples};
use rivix_spawner::executor::{Close, Executor};
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

const TASKS: usize = 64;
const SPAN: Duration = Duration::from_secs(1);

pub(crate) fn rows(settings: &Settings, rows: &mut Vec<Row>) {
    if !settings.wants("steal fairness") {
        return;
    }
    let workers = std::thread::available_parallelism().map_or(2, |n| n.get().max(2));
    let mut row = Row::new(
        format!("steal fairness, {TASKS} tasks on {workers} workers over 1 s"),
        "most over least polls",
    );
    let (mut ours, mut tokio, mut rayon) =
        (Samples::default(), Samples::default(), Samples::default());
    for _ in 0..settings.rounds() {
        ours.0.push(of_ours(workers));
        tokio.0.push(of_tokio(workers));
        rayon.0.push(of_rayon(workers));
    }
    row.figure("rivix Executor", true, &ours);
    row.figure("tokio multi-thread", false, &tokio);
    row.figure("rayon", false, &rayon);
    // What else runs on the host takes time from one worker or the other: as in
    // every row, a single sample says little.
    let (p50, worst) = (ours.p50(), ours.max());
    row.target(
        "p50 at most 1.25",
        format!("{p50:.3}, {worst:.3} at worst"),
        p50 <= 1.25,
    );
    rows.push(row);
}

/// Gives way once.
async fn give_way() {
    let mut is_first = true;
    poll_fn(move |context| {
        if std::mem::take(&mut is_first) {
            context.waker().wake_by_ref();
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
}

fn of_ours(workers: usize) -> f64 {
    let host = |name: &str, body: Box<dyn FnOnce() + Send>| {
        let thread = std::thread::Builder::new().name(name.to_owned());
        thread.spawn(body).map(drop)
    };
    let executor = Executor::start(workers, host).expect("workers");
    let is_over = Arc::new(AtomicBool::new(false));
    for _ in 0..TASKS {
        let is_over = is_over.clone();
        let fiber = executor.spawn(async move {
            while !is_over.load(Ordering::Relaxed) {
                give_way().await;
            }
        });
        fiber.expect("an open executor").detach();
    }
    std::thread::sleep(Duration::from_millis(50));
    let before = executor.stats();
    std::thread::sleep(SPAN);
    let spread = executor.stats().spread_since(&before);
    is_over.store(true, Ordering::Relaxed);
    executor.close(Close::Drain);
    spread.unwrap_or(f64::INFINITY)
}

/// Counts per worker.
struct Counts {
    polls: Vec<AtomicU64>,
    next: AtomicUsize,
}

impl Counts {
    fn of(workers: usize) -> Arc<Counts> {
        Arc::new(Counts {
            polls: (0..workers).map(|_| AtomicU64::new(0)).collect(),
            next: AtomicUsize::new(0),
        })
    }

    fn at(&self, worker: usize) {
        if let Some(count) = self.polls.get(worker) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn spread(&self) -> f64 {
        let read = || -> Vec<u64> {
            let counts = self.polls.iter();
            counts.map(|n| n.load(Ordering::Relaxed)).collect()
        };
        std::thread::sleep(Duration::from_millis(50));
        let before = read();
        std::thread::sleep(SPAN);
        let polled: Vec<u64> = read().iter().zip(&before).map(|(a, b)| a - b).collect();
        let least = polled.iter().min().copied().unwrap_or(0);
        let most = polled.iter().max().copied().unwrap_or(0);
        most as f64 / least as f64
    }
}

fn of_tokio(workers: usize) -> f64 {
    thread_local! {
        static WORKER: std::cell::Cell<usize> = const { std::cell::Cell::new(usize::MAX) };
    }
    let counts = Counts::of(workers);
    let numbering = counts.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .on_thread_start(move || {
            WORKER.set(numbering.next.fetch_add(1, Ordering::Relaxed));
        })
        .build()
        .expect("a tokio runtime");
    let is_over = Arc::new(AtomicBool::new(false));
    for _ in 0..TASKS {
        let (is_over, counts) = (is_over.clone(), counts.clone());
        runtime.spawn(async move {
            while !is_over.load(Ordering::Relaxed) {
                counts.at(WORKER.get());
                give_way().await;
            }
        });
    }
    let spread = counts.spread();
    is_over.store(true, Ordering::Relaxed);
    spread
}

fn of_rayon(workers: usize) -> f64 {
    fn step(counts: Arc<Counts>, is_over: Arc<AtomicBool>) {
        if !is_over.load(Ordering::Relaxed) {
            counts.at(rayon::current_thread_index().unwrap_or(usize::MAX));
            rayon::spawn(move || step(counts, is_over));
        }
    }
    let counts = Counts::of(workers);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(workers)
        .build()
        .expect("a rayon pool");
    let is_over = Arc::new(AtomicBool::new(false));
    for _ in 0..TASKS {
        let (counts, is_over) = (counts.clone(), is_over.clone());
        pool.spawn(move || step(counts, is_over));
    }
    let spread = counts.spread();
    is_over.store(true, Ordering::Relaxed);
    spread
}
