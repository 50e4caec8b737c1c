//! Pools, tickets, the creator and the spawner, from outside.

mod close;
mod panics;
mod places;
mod spawner;
mod threads;
mod units;

use rivix_spawner::{Creator, NoContext, Pool, PoolBuilder, PoolStats, WorkerContext};
use std::time::{Duration, Instant};

/// No test waits longer for something that must happen.
const PATIENCE: Duration = Duration::from_secs(20);

fn builder(name: &str) -> PoolBuilder<NoContext> {
    let creator = Creator::start().unwrap();
    Pool::builder(&creator, ()).name(name)
}

/// Waits until the pool's counters are as wanted; the last ones seen.
#[track_caller]
fn settle<C: WorkerContext>(pool: &Pool<C>, is_so: impl Fn(&PoolStats) -> bool) -> PoolStats {
    let end = Instant::now() + PATIENCE;
    loop {
        let stats = pool.stats();
        if is_so(&stats) {
            return stats;
        }
        assert!(Instant::now() < end, "it never came to that: {stats:?}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Waits until something is so.
#[track_caller]
fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// This process's threads of that name, as the host counts them.
fn threads_named(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .filter(|comm| comm.trim_end() == name)
        .count()
}

/// No thread of that name is left. A joined one may be listed for a moment longer.
#[track_caller]
fn has_left(name: &str) {
    let end = Instant::now() + Duration::from_secs(1);
    while threads_named(name) > 0 && Instant::now() < end {
        std::thread::sleep(Duration::from_micros(200));
    }
    assert_eq!(threads_named(name), 0, "threads called {name}");
}

/// A number from the environment, for longer runs.
fn scale(variable: &str, default: usize) -> usize {
    let set = std::env::var(variable).ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A door that opens once, for any number of threads.
#[derive(Clone, Default)]
struct Gate(std::sync::Arc<(std::sync::Mutex<bool>, std::sync::Condvar)>);

impl Gate {
    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    #[track_caller]
    fn pass(&self) {
        let shut = self.0.0.lock().unwrap();
        let (open, _) = self
            .0
            .1
            .wait_timeout_while(shut, PATIENCE, |open| !*open)
            .unwrap();
        assert!(*open, "the gate stayed shut");
    }
}
