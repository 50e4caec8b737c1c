//! What scheduling a job costs: no allocation, no sleep. Alone in its process,
//! for it replaces the allocator.

use rivix_spawner::{Creator, Full, Interlock, Job, NoContext, Pool, Scheduled};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::mpsc;
use std::time::Duration;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

/// Counts what the calling thread asks for.
struct Counting;

fn count() {
    let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
}

// SAFETY: everything is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's duties are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's duties are the same.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's duties are the same.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of this thread during `f`.
fn allocations<R>(f: impl FnOnce() -> R) -> (u64, R) {
    let before = CALLS.with(Cell::get);
    let result = f();
    (CALLS.with(Cell::get) - before, result)
}

/// How often this thread has gone to sleep.
fn sleeps() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("voluntary_ctxt"));
    let count = line.and_then(|line| line.split_whitespace().last());
    count.unwrap().parse().unwrap()
}

const LONG: Duration = Duration::from_secs(20);

/// Sleeps on a lock: the first time, parking_lot makes its record of the thread.
fn sleep_once(interlock: &Interlock<u32>) {
    let (tell, held) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let _guard = interlock.lock();
            tell.send(()).unwrap();
            std::thread::sleep(Duration::from_millis(50));
        });
        held.recv_timeout(LONG).unwrap();
        drop(interlock.lock());
    });
}

/// One test: the parts would disturb each other.
#[test]
fn scheduling_neither_allocates_nor_sleeps() {
    let creator = Creator::start().unwrap();
    let interlock: Interlock<u32> = Interlock::default();
    sleep_once(&interlock);

    // The counter counts.
    assert!(allocations(|| Box::new(1)).0 >= 1);
    let make = || {
        Job::<u32>::new("counted", &interlock, |job, running| {
            let mut runs = job.lock();
            *runs += 1;
            running.done(&runs);
        })
    };
    let (made, jobs) = allocations(|| [(); 100].map(|()| make()));
    assert_eq!(made, 100, "one allocation for each job");

    // Behind a worker that is busy: every job goes into the queue. Nobody else
    // uses the pool's lock, so that a sleep would be the scheduler's own.
    let pool = Pool::<NoContext>::builder(&creator, ())
        .cap(1, Full::Queue)
        .build()
        .unwrap();
    let (go, gate) = mpsc::channel::<()>();
    let (tell, busy) = mpsc::channel();
    let blocker = pool.spawn(move |_| {
        tell.send(()).unwrap();
        gate.recv_timeout(LONG).unwrap();
    });
    busy.recv_timeout(LONG).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    let slept = sleeps();
    let (count, ()) = allocations(|| {
        let guard = interlock.lock();
        for job in &jobs {
            assert_eq!(job.schedule(&guard, &pool), Scheduled::Queued);
            assert_eq!(job.schedule_again(&guard, &pool), Scheduled::Pending);
        }
        for job in jobs.iter().step_by(2) {
            assert!(job.cancel_async(&guard));
            assert_eq!(job.schedule(&guard, &pool), Scheduled::Queued);
        }
    });
    assert_eq!(count, 0, "queueing");
    assert_eq!(sleeps(), slept, "queueing");
    go.send(()).unwrap();
    blocker.unwrap().wait().unwrap();
    drop(pool);
    assert_eq!(*interlock.lock(), 100);

    // Without a cap: to idle workers, and to the creator when there are none.
    let pool = Pool::<NoContext>::builder(&creator, ()).build().unwrap();
    for _ in 0..50 {
        let (count, ()) = allocations(|| {
            let guard = interlock.lock();
            for job in &jobs {
                let scheduled = job.schedule(&guard, &pool);
                assert!(!matches!(scheduled, Scheduled::Refused));
            }
        });
        assert_eq!(count, 0, "handing over");
    }
    drop(pool);
}
