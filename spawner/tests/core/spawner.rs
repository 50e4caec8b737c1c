//! What the spawner promises its callers.

use crate::{Gate, eventually, has_left, settle, threads_named};
use rivix_spawner::{DynamicThreadSpawner, NoContext, WorkerContext};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn spawner(max_idle: usize, name: &'static str) -> DynamicThreadSpawner {
    DynamicThreadSpawner::with_builder((), move |builder| builder.max_idle(max_idle).name(name))
        .unwrap()
}

#[test]
fn one_unit_runs() {
    let spawner = spawner(2, "one");
    let gate = Gate::default();
    let opener = gate.clone();
    spawner.spawn(move |_| opener.open()).unwrap();
    gate.pass();
}

#[test]
fn ten_units_run() {
    let spawner = spawner(2, "ten");
    let ran = Arc::new(AtomicUsize::new(0));
    for _ in 0..10 {
        let ran = ran.clone();
        let count = move |_: &mut NoContext| {
            ran.fetch_add(1, Ordering::SeqCst);
        };
        spawner.spawn(count).unwrap();
    }
    spawner.close();
    assert_eq!(ran.load(Ordering::SeqCst), 10);
}

#[test]
fn ten_blocked_units_do_not_stop_the_eleventh() {
    let spawner = spawner(1, "blocked");
    let gate = Gate::default();
    for _ in 0..10 {
        let gate = gate.clone();
        spawner.spawn(move |_| gate.pass()).unwrap();
    }
    let opener = gate.clone();
    spawner.spawn(move |_| opener.open()).unwrap();
    gate.pass();
}

#[test]
fn freed_threads_above_the_cap_vanish() {
    let spawner = spawner(1, "vanish");
    let gate = Gate::default();
    for _ in 0..10 {
        let gate = gate.clone();
        spawner.spawn(move |_| gate.pass()).unwrap();
    }
    // A thread names itself, after its birth.
    eventually("ten threads by that name", || threads_named("vanish") == 10);
    gate.open();
    settle(spawner.pool(), |s| s.live == 1 && s.idle == 1);
    eventually("the surplus threads are gone", || {
        threads_named("vanish") == 1
    });
    drop(spawner);
    has_left("vanish");
}

#[test]
fn the_result_is_a_future() {
    let spawner = spawner(2, "future");
    let ticket = spawner.spawn_and_get_result(|_| 3);
    assert_eq!(futures::executor::block_on(ticket).unwrap(), 3);
    assert_eq!(spawner.spawn_and_get_result_sync(|_| 4).unwrap(), 4);
}

/// What happened on a worker, in order.
struct Diary {
    lines: std::cell::RefCell<Vec<&'static str>>,
    pages: std::sync::mpsc::Sender<Vec<&'static str>>,
}

impl WorkerContext for Diary {
    type Seed = std::sync::Mutex<std::sync::mpsc::Sender<Vec<&'static str>>>;
    type Error = std::convert::Infallible;

    fn enter(seed: &Self::Seed, _: &str) -> Result<Self, Self::Error> {
        Ok(Diary {
            lines: std::cell::RefCell::default(),
            pages: seed.lock().unwrap().clone(),
        })
    }

    fn polled(&self) {
        self.lines.borrow_mut().push("polled");
    }

    fn end(&mut self) {
        let _ = self.pages.send(self.lines.take());
    }
}

/// Wakes itself once, and says when it is dropped.
struct Twice<'a> {
    diary: &'a Diary,
    is_second: bool,
}

impl Future for Twice<'_> {
    type Output = ();

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<()> {
        self.diary.lines.borrow_mut().push("poll");
        if self.is_second {
            return std::task::Poll::Ready(());
        }
        self.is_second = true;
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    }
}

impl Drop for Twice<'_> {
    fn drop(&mut self) {
        self.diary.lines.borrow_mut().push("drop");
    }
}

#[test]
fn the_asynchronous_form_uses_the_context() {
    let (pages, read) = std::sync::mpsc::channel();
    let spawner = DynamicThreadSpawner::<Diary>::new(1, std::sync::Mutex::new(pages)).unwrap();
    let ticket = spawner.spawn_async_and_get_result(async |diary: &Diary| {
        let mut twice = Twice {
            diary,
            is_second: false,
        };
        std::pin::Pin::new(&mut twice).await;
        7
    });
    assert_eq!(ticket.wait().unwrap(), 7);
    let lines = read.recv_timeout(crate::PATIENCE).unwrap();
    // What was put off is done after each poll and after the future is gone.
    assert_eq!(
        lines,
        ["poll", "polled", "poll", "drop", "polled", "polled"]
    );
}

#[test]
fn a_burst_that_ends_in_order_leaves_two_idle_for_ever() {
    let spawner = spawner(2, "burst");
    let gates: Vec<Gate> = (0..10).map(|_| Gate::default()).collect();
    for gate in &gates {
        let gate = gate.clone();
        spawner.spawn(move |_| gate.pass()).unwrap();
    }
    for (n, gate) in gates.iter().enumerate() {
        gate.open();
        settle(spawner.pool(), |s| s.running == 9 - n && s.idle <= 2);
    }
    settle(spawner.pool(), |s| s.idle == 2 && s.live == 2);
    for _ in 0..100 {
        spawner.spawn_and_get_result_sync(|_| ()).unwrap();
        let stats = settle(spawner.pool(), |s| s.running == 0);
        assert_eq!((stats.idle, stats.live), (2, 2));
    }
    assert_eq!(spawner.pool().stats().created, 10);
}

fn counters_stay_exact(units: usize, name: &'static str) {
    let spawner = spawner(4, name);
    let ran = Arc::new(AtomicUsize::new(0));
    for n in 0..units {
        let ran = ran.clone();
        let ticket = spawner.spawn_and_get_result(move |_| ran.fetch_add(1, Ordering::Relaxed));
        // A few hundred at once at most: the host's threads are not the subject.
        if n % 64 == 63 {
            ticket.wait().unwrap();
            settle(spawner.pool(), |s| s.running + s.queued < 64);
        }
    }
    let stats = settle(spawner.pool(), |s| {
        s.running + s.queued + s.starting + s.retiring == 0
    });
    assert_eq!(stats.units, units as u64);
    assert_eq!(ran.load(Ordering::Relaxed), units);
    assert_eq!(
        (stats.live, stats.panics, stats.refused),
        (stats.idle, 0, 0)
    );
    assert!(stats.idle <= 4 && stats.peak_idle <= 4, "{stats:?}");
    drop(spawner);
    has_left(name);
}

#[test]
fn three_hundred_units_leave_the_counters_exact() {
    counters_stay_exact(300, "exact300");
}

#[test]
fn seventy_thousand_units_leave_the_counters_exact() {
    counters_stay_exact(70_000, "exact70k");
}
