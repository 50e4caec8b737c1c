use super::*;
use allocator_api2::alloc::{AllocError, Allocator, Layout};
use futures::future::poll_fn;
use rivix_sync::{Mutex, Parker, level};
use std::cell::Cell;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::mpsc;
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

/// No test waits longer.
const LONG: Duration = Duration::from_secs(20);

fn far() -> Instant {
    Instant::now() + LONG
}

fn start(workers: usize) -> Executor {
    Executor::start(workers, |name, body| {
        let name = name.to_owned();
        thread::Builder::new().name(name).spawn(body).map(drop)
    })
    .unwrap()
}

/// The outcome, which must come.
fn joined<R>(handle: JoinHandle<R>) -> Joined<R> {
    match handle.wait_until(far()) {
        Ok(joined) => joined,
        Err(handle) => panic!("{handle:?} hangs"),
    }
}

fn close(executor: &Executor, mode: Close) {
    assert_eq!(executor.close_until(mode, far()), Ok(()));
    assert_eq!(executor.stats().live, 0);
}

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = far();
    while !is_so() {
        assert!(Instant::now() < end, "never: {what}");
        thread::sleep(Duration::from_micros(200));
    }
}

/// Pending once, having woken itself.
async fn yield_now() {
    let mut is_first = true;
    poll_fn(|context| {
        if std::mem::take(&mut is_first) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
}

/// Counts its drops.
#[derive(Clone)]
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Fills in a waker, and is pending until told.
#[derive(Clone, Default)]
struct Gate {
    waker: Arc<Mutex<level::Ticket, Option<Waker>>>,
    is_open: Arc<AtomicBool>,
}

impl Gate {
    async fn pass(self) {
        poll_fn(|context| {
            *self.waker.lock() = Some(context.waker().clone());
            if self.is_open.load(Ordering::SeqCst) {
                return Poll::Ready(());
            }
            Poll::Pending
        })
        .await;
    }

    fn waker(&self) -> Waker {
        let mut found = None;
        eventually("the fiber is polled", || {
            found = self.waker.lock().clone();
            found.is_some()
        });
        found.unwrap()
    }

    fn open(&self) {
        self.is_open.store(true, Ordering::SeqCst);
        self.waker().wake();
    }
}

#[test]
fn one_worker() {
    let executor = Executor::new();
    let worker = executor.worker().unwrap();
    let handle = executor
        .spawn(async {
            yield_now().await;
            2
        })
        .unwrap();
    let tick = worker.tick();
    assert_eq!((tick.polled, tick.completed), (2, 1));
    assert_eq!((tick.spawned, tick.woken_internal), (1, 1));
    assert!(!tick.has_remaining);
    assert_eq!(joined(handle).unwrap(), 2);
}

#[test]
fn close_from_a_fiber_ends_one_worker() {
    let executor = Executor::new();
    let was_called = Arc::new(AtomicBool::new(false));
    let (handle, called) = (executor.clone(), was_called.clone());
    executor
        .spawn(async move {
            yield_now().await;
            called.store(true, Ordering::SeqCst);
            handle.close(Close::Cancel);
        })
        .unwrap()
        .detach();
    let ended = executor.run(std::future::pending::<()>());
    assert_eq!(ended, Err(NoWorker::Closed));
    assert!(was_called.load(Ordering::SeqCst));
}

#[test]
fn close_from_a_fiber_ends_three_workers() {
    let executor = Executor::new();
    let (sender, receiver) = mpsc::channel();
    for _ in 0..3 {
        let (executor, sender) = (executor.clone(), sender.clone());
        thread::spawn(move || {
            let ended = executor.run(std::future::pending::<()>());
            sender.send(ended).unwrap();
        });
    }
    eventually("three workers", || executor.stats().workers == 3);
    let inner = executor.clone();
    let handle = executor.spawn(async move {
        yield_now().await;
        inner.close(Close::Cancel);
    });
    handle.unwrap().detach();
    for _ in 0..3 {
        assert_eq!(receiver.recv_timeout(LONG), Ok(Err(NoWorker::Closed)));
    }
}

#[test]
fn join_across_threads() {
    let executor = Executor::new();
    let (sender, receiver) = mpsc::channel();
    let runner = {
        let executor = executor.clone();
        thread::spawn(move || {
            let own = thread::current().id();
            let handle = executor.spawn(async move {
                assert_eq!(thread::current().id(), own);
                yield_now().await;
                assert_eq!(thread::current().id(), own);
                42
            });
            sender.send(handle.unwrap()).unwrap();
            executor.run(std::future::pending::<()>())
        })
    };
    let handle = receiver.recv_timeout(LONG).unwrap();
    assert_eq!(joined(handle).unwrap(), 42);
    close(&executor, Close::Cancel);
    assert_eq!(runner.join().unwrap(), Err(NoWorker::Closed));
}

#[test]
fn a_future_on_another_thread_awaits_a_handle() {
    let (one, other) = (start(1), start(1));
    let gate = Gate::default();
    let inner = one.spawn(gate.clone().pass()).unwrap();
    let outer = other.spawn(async move { inner.await.is_ok() }).unwrap();
    let first = gate.waker();
    assert!(!outer.is_complete());
    drop(first);
    gate.open();
    assert!(joined(outer).unwrap());
    close(&one, Close::Drain);
    close(&other, Close::Drain);
}

#[test]
fn a_push_wakes_one_of_many_sleepers() {
    let executor = start(64);
    eventually("all sleep", || executor.stats().sleeping == 64);
    for _ in 0..20 {
        let before = executor.stats().wakes;
        joined(executor.spawn(async {}).unwrap()).unwrap();
        eventually("all sleep", || executor.stats().sleeping == 64);
        let wakes = executor.stats().wakes - before;
        assert!((1..=2).contains(&wakes), "{wakes} wakes for one fiber");
    }
    close(&executor, Close::Drain);
}

#[test]
fn a_wake_by_value_in_mid_poll_is_not_lost() {
    let executor = start(1);
    for round in 0..200 {
        let (to_waker, wakers) = mpsc::channel::<Waker>();
        let (woken, is_woken) = mpsc::channel();
        let other = thread::spawn(move || {
            let waker = wakers.recv_timeout(LONG).unwrap();
            waker.wake();
            woken.send(()).unwrap();
        });
        let mut is_first = true;
        let handle = executor.spawn(poll_fn(move |context| {
            if std::mem::take(&mut is_first) {
                to_waker.send(context.waker().clone()).unwrap();
                // The wake comes before this poll ends.
                is_woken.recv_timeout(LONG).unwrap();
                return Poll::Pending;
            }
            Poll::Ready(round)
        }));
        assert_eq!(joined(handle.unwrap()).unwrap(), round);
        other.join().unwrap();
    }
    close(&executor, Close::Drain);
}

#[test]
fn cancel_in_mid_poll_drops_once_then_resolves() {
    let executor = start(2);
    let drops = Arc::new(AtomicUsize::new(0));
    let (entered, is_entered) = mpsc::channel();
    let (leave, may_leave) = mpsc::channel::<()>();
    let captured = Counted(drops.clone());
    let handle = executor
        .spawn(poll_fn(move |_| {
            let _ = &captured;
            entered.send(()).unwrap();
            may_leave.recv_timeout(LONG).unwrap();
            Poll::<()>::Pending
        }))
        .unwrap();
    is_entered.recv_timeout(LONG).unwrap();
    assert!(handle.cancel());
    assert!(handle.cancel(), "not complete yet");
    assert_eq!(drops.load(Ordering::SeqCst), 0);
    assert!(!handle.is_complete());
    leave.send(()).unwrap();
    match joined(handle) {
        Err(JoinError::Cancelled { completed: None }) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(drops.load(Ordering::SeqCst), 1);
    close(&executor, Close::Drain);
}

#[test]
fn cancel_of_queued_waiting_and_complete_fibers() {
    let executor = Executor::new();
    let worker = executor.worker().unwrap();
    let drops = Arc::new(AtomicUsize::new(0));
    let pending = || {
        let captured = Counted(drops.clone());
        async move {
            std::future::pending::<()>().await;
            drop(captured);
        }
    };
    let queued = executor.spawn(pending()).unwrap();
    assert!(queued.cancel());
    // The future goes on a worker, not here.
    assert_eq!(drops.load(Ordering::SeqCst), 0);
    assert_eq!(worker.tick().polled, 0);
    assert_eq!(drops.load(Ordering::SeqCst), 1);
    assert!(joined(queued).unwrap_err().is_cancelled());

    let waiting = executor.spawn(pending()).unwrap();
    assert_eq!(worker.tick().polled, 1);
    assert!(waiting.cancel());
    worker.tick();
    assert_eq!(drops.load(Ordering::SeqCst), 2);
    assert!(joined(waiting).unwrap_err().is_cancelled());

    let complete = executor.spawn(async { 5 }).unwrap();
    worker.tick();
    assert!(complete.is_complete() && !complete.cancel());
    assert_eq!(joined(complete).unwrap(), 5);
}

#[test]
fn ready_in_the_poll_that_was_cancelled_still_gives_the_output() {
    let executor = Executor::new();
    let worker = executor.worker().unwrap();
    let slot = Arc::new(Mutex::<level::Ticket, Option<JoinHandle<i32>>>::new(None));
    let inner = slot.clone();
    let handle = executor.spawn(async move {
        let own = inner.lock().take().unwrap();
        assert!(own.cancel());
        *inner.lock() = Some(own);
        9
    });
    *slot.lock() = Some(handle.unwrap());
    worker.tick();
    let handle = slot.lock().take().unwrap();
    let error = joined(handle).unwrap_err();
    assert!(error.is_cancelled());
    assert_eq!(error.into_output(), Some(9));
}

#[test]
fn a_fiber_that_wakes_itself_starves_nobody() {
    let executor = Executor::new();
    let spins = Arc::new(AtomicUsize::new(0));
    let count = spins.clone();
    let spinner = executor.spawn(async move {
        loop {
            count.fetch_add(1, Ordering::Relaxed);
            yield_now().await;
        }
    });
    spinner.unwrap().detach();
    let (handles, receiver) = mpsc::channel();
    let other = {
        let executor = executor.clone();
        thread::spawn(move || {
            // Into the injector, while the only worker spins.
            let injected = executor.spawn(async { 3 }).unwrap();
            handles.send(joined(injected).unwrap()).unwrap();
        })
    };
    let end = far();
    let mut turns = 0;
    let mut seen = None;
    let ended = executor.run(poll_fn(|context| {
        turns += 1;
        assert!(Instant::now() < end);
        context.waker().wake_by_ref();
        seen = seen.or_else(|| receiver.try_recv().ok());
        if turns > 100 && seen.is_some() {
            return Poll::Ready(());
        }
        Poll::Pending
    }));
    assert_eq!((ended, seen), (Ok(()), Some(3)));
    other.join().unwrap();
    assert!(spins.load(Ordering::Relaxed) > 0);
    close(&executor, Close::Cancel);
}

#[test]
fn a_drain_kept_up_by_a_fiber_names_it_and_can_be_cancelled() {
    let executor = start(2);
    let spinner = executor
        .builder()
        .name("spinner")
        .spawn(async {
            loop {
                yield_now().await;
            }
        })
        .unwrap();
    let soon = Instant::now() + Duration::from_millis(50);
    let stuck = executor.close_until(Close::Drain, soon).unwrap_err();
    assert_eq!(stuck.len(), 1);
    assert_eq!(stuck[0].name(), "spinner");
    close(&executor, Close::Cancel);
    assert!(matches!(joined(spinner), Err(JoinError::Closed)));
}

#[test]
fn thief_and_owner_want_one_item() {
    let executor = start(2);
    let polls = Arc::new(AtomicUsize::new(0));
    for round in 1..=5_000 {
        let count = polls.clone();
        // From a fiber, so that the item is in a ring and not in the injector.
        let outer = executor.spawn(async move {
            let inner = spawn(async move {
                count.fetch_add(1, Ordering::SeqCst);
            });
            Some(inner.unwrap())
        });
        let inner = joined(outer.unwrap()).unwrap().unwrap();
        joined(inner).unwrap();
        assert_eq!(polls.load(Ordering::SeqCst), round);
    }
    close(&executor, Close::Drain);
}

#[test]
fn wakers_outlive_the_executor() {
    let executor = start(2);
    let gates: Vec<_> = (0..8).map(|_| Gate::default()).collect();
    let handles: Vec<_> = gates
        .iter()
        .map(|gate| executor.spawn(gate.clone().pass()).unwrap())
        .collect();
    let wakers: Vec<_> = gates.iter().map(Gate::waker).collect();
    drop(executor);
    for handle in handles {
        assert!(matches!(joined(handle), Err(JoinError::Closed)));
    }
    drop(gates);
    for waker in wakers {
        let other = waker.clone();
        waker.wake_by_ref();
        thread::spawn(move || other.wake()).join().unwrap();
        waker.wake();
    }
}

#[test]
fn panics_of_futures_and_drops_reach_the_handle_and_nothing_else() {
    struct Loud;
    impl Drop for Loud {
        fn drop(&mut self) {
            panic!("a drop");
        }
    }
    let executor = start(1);
    let text = executor.spawn(async { panic!("at {}", "sea") });
    let text: Joined<()> = joined(text.unwrap());
    assert_eq!(text.unwrap_err().to_string(), "the fiber panicked: at sea");
    let payload = executor
        .spawn(async { std::panic::panic_any(Loud) })
        .unwrap();
    let payload: Joined<()> = joined(payload);
    crate::panics::drop_quietly(payload);
    // The captures' drop panics after the output is there; it stays.
    let output = executor.spawn({
        let mut loud = Some(Loud);
        poll_fn(move |_| {
            let _ = &mut loud;
            Poll::Ready(1)
        })
    });
    assert_eq!(joined(output.unwrap()).unwrap(), 1);
    // An output whose drop panics, and nobody to take it.
    executor.spawn(async { Loud }).unwrap().detach();
    let after = executor.spawn(async { 2 }).unwrap();
    assert_eq!(joined(after).unwrap(), 2);
    close(&executor, Close::Drain);
}

#[test]
fn local_fibers_stay_and_need_not_be_send() {
    let executor = start(2);
    let home = thread::current().id();
    let sum = Rc::new(Cell::new(0));
    let seen = sum.clone();
    let ended = executor.run(async move {
        let handles: Vec<_> = (0..100)
            .map(|n| {
                let sum = seen.clone();
                spawn_local(async move {
                    for _ in 0..5 {
                        assert_eq!(thread::current().id(), home);
                        yield_now().await;
                    }
                    sum.set(sum.get() + n);
                })
                .unwrap()
            })
            .collect();
        for handle in handles {
            handle.await.unwrap();
        }
    });
    assert_eq!(ended, Ok(()));
    assert_eq!(sum.get(), 4950);
    close(&executor, Close::Drain);
}

#[test]
fn local_fibers_are_woken_from_elsewhere_and_end_with_their_worker() {
    let executor = Executor::new();
    let gate = Gate::default();
    let drops = Arc::new(AtomicUsize::new(0));
    let worker = executor.worker().unwrap();
    let captured = (Counted(drops.clone()), Rc::new(()));
    let left = worker
        .spawn_local(async move {
            std::future::pending::<()>().await;
            drop(captured);
        })
        .unwrap();
    let woken = worker.spawn_local(gate.clone().pass()).unwrap();
    assert_eq!(worker.tick().polled, 2);
    thread::spawn(move || gate.open()).join().unwrap();
    let tick = worker.tick();
    assert_eq!((tick.woken_external, tick.completed), (1, 1));
    assert!(woken.is_complete());
    drop(worker);
    assert_eq!(drops.load(Ordering::SeqCst), 1);
    assert!(matches!(joined(left), Err(JoinError::Closed)));
}

#[test]
fn what_the_builder_said_is_found_at_the_fiber() {
    let executor = start(1);
    assert!(current_task().is_none());
    let line = line!();
    let builder = executor
        .builder()
        .name("reader")
        .kind("io")
        .metadata(17_u32);
    let handle = builder.spawn(async { current_task().unwrap() }).unwrap();
    let (id, outside) = (handle.id(), handle.fiber().clone());
    assert!(handle == outside);
    let inside = joined(handle).unwrap();
    assert_eq!((inside.id(), &inside), (id, &outside));
    assert_eq!((inside.name(), inside.kind()), ("reader", "io"));
    assert_eq!(inside.metadata::<u32>(), Some(&17));
    assert_eq!(inside.metadata::<u64>(), None);
    assert_eq!(inside.location().file(), file!());
    assert!((line..line + 6).contains(&inside.location().line()));
    let other = executor.spawn(async {}).unwrap();
    assert!(other != outside);
    assert!((line..line!()).contains(&other.fiber().location().line()));
    let place = inside.location();
    let elsewhere = executor.builder().location(place).spawn(async {}).unwrap();
    assert_eq!(elsewhere.fiber().location(), place);
    assert!(joined(elsewhere).is_ok());
    assert!(joined(other).is_ok());
    close(&executor, Close::Drain);
}

#[test]
fn the_current_task_is_there_during_a_poll_only() {
    let executor = Executor::new();
    let worker = Rc::new(executor.worker().unwrap());
    assert!(worker.current_task().is_none());
    let inner = worker.clone();
    let handle = worker.spawn_local(async move {
        // A tick within a fiber would run others on its stack.
        assert_eq!(inner.tick(), Tick::default());
        inner.run();
        inner.current_task().unwrap()
    });
    let handle = handle.unwrap();
    worker.tick();
    assert!(worker.current_task().is_none() && current_task().is_none());
    let id = handle.id();
    assert_eq!(joined(handle).unwrap().id(), id);
}

/// Gives memory so many times, and counts what is out.
#[derive(Clone)]
struct Limited {
    left: Arc<AtomicUsize>,
    out: Arc<AtomicUsize>,
}

// SAFETY: Global does it all.
unsafe impl Allocator for Limited {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        let take = |left: usize| left.checked_sub(1);
        if self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
            .is_err()
        {
            return Err(AllocError);
        }
        self.out.fetch_add(1, Ordering::SeqCst);
        Global.allocate(layout)
    }

    unsafe fn deallocate(&self, memory: NonNull<u8>, layout: Layout) {
        self.out.fetch_sub(1, Ordering::SeqCst);
        // SAFETY: it came from Global, in `allocate`.
        unsafe { Global.deallocate(memory, layout) }
    }
}

#[test]
fn refused_memory_gives_the_future_back() {
    let executor = start(1);
    let allocator = Limited {
        left: Arc::new(AtomicUsize::new(1)),
        out: Arc::new(AtomicUsize::new(0)),
    };
    let drops = Arc::new(AtomicUsize::new(0));
    let future = || {
        let captured = Counted(drops.clone());
        async move {
            let _captured = captured;
            4
        }
    };
    let first = executor.builder().spawn_in(future(), allocator.clone());
    let second = executor.builder().spawn_in(future(), allocator.clone());
    assert_eq!(joined(first.unwrap()).unwrap(), 4);
    assert_eq!(drops.load(Ordering::SeqCst), 1);
    let Err(SpawnFiberError::NoMemory(future)) = second else {
        panic!("{second:?}");
    };
    // Not lost: it can be spawned elsewhere.
    assert_eq!(joined(executor.spawn(future).unwrap()).unwrap(), 4);
    assert_eq!(drops.load(Ordering::SeqCst), 2);
    close(&executor, Close::Drain);
    assert_eq!(allocator.out.load(Ordering::SeqCst), 0);
}

#[test]
fn a_closed_executor_gives_the_future_back() {
    let executor = Executor::new();
    close(&executor, Close::Drain);
    let drops = Arc::new(AtomicUsize::new(0));
    let captured = Counted(drops.clone());
    let refused = executor.spawn(async move { drop(captured) });
    let Err(SpawnFiberError::Closed(future)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(drops.load(Ordering::SeqCst), 0);
    drop(future);
    assert_eq!(drops.load(Ordering::SeqCst), 1);
    assert!(matches!(executor.worker(), Err(NoWorker::Closed)));
    assert_eq!(executor.run(async {}), Err(NoWorker::Closed));
    assert!(executor.is_closed());
}

#[test]
fn drain_runs_what_is_queued_and_drops_what_waits() {
    let executor = Executor::new();
    let ran = Arc::new(AtomicUsize::new(0));
    let queued: Vec<_> = (0..1_000)
        .map(|_| {
            let ran = ran.clone();
            let future = async move {
                yield_now().await;
                ran.fetch_add(1, Ordering::SeqCst);
            };
            executor.spawn(future).unwrap()
        })
        .collect();
    let waiting = executor.spawn(std::future::pending::<()>()).unwrap();
    let workers: Vec<_> = (0..3)
        .map(|_| {
            let executor = executor.clone();
            thread::spawn(move || executor.worker().map(|worker| worker.run()))
        })
        .collect();
    eventually("a worker", || {
        executor.stats().workers == 3 || executor.stats().live < 500
    });
    close(&executor, Close::Drain);
    assert_eq!(ran.load(Ordering::SeqCst), 1_000);
    for handle in queued {
        joined(handle).unwrap();
    }
    assert!(matches!(joined(waiting), Err(JoinError::Closed)));
    for worker in workers {
        let _ = worker.join().unwrap();
    }
}

#[test]
fn without_workers_closing_drops_the_queued() {
    let executor = Executor::new();
    let handle = executor.spawn(async {}).unwrap();
    close(&executor, Close::Drain);
    assert!(matches!(joined(handle), Err(JoinError::Closed)));
}

#[test]
fn spawning_within_a_drop_while_closing_is_refused() {
    struct Spawner(Arc<AtomicUsize>);
    impl Drop for Spawner {
        fn drop(&mut self) {
            let refused = spawn(async {}).is_err() && spawn_local(async {}).is_err();
            self.0.fetch_add(usize::from(refused), Ordering::SeqCst);
        }
    }
    let executor = start(2);
    let refused = Arc::new(AtomicUsize::new(0));
    for _ in 0..10 {
        let captured = Spawner(refused.clone());
        let future = async move {
            std::future::pending::<()>().await;
            drop(captured);
        };
        executor.spawn(future).unwrap().detach();
    }
    close(&executor, Close::Cancel);
    assert_eq!(refused.load(Ordering::SeqCst), 10);
}

#[test]
fn a_refusing_host_is_an_error_and_leaves_nothing() {
    let threads = Mutex::<level::Ticket, Vec<thread::JoinHandle<()>>>::new(Vec::new());
    let started = Executor::start(3, |_, body| {
        let mut threads = threads.lock();
        if threads.len() == 2 {
            return Err("no more");
        }
        threads.push(thread::spawn(body));
        Ok(())
    });
    assert_eq!(started.err(), Some(StartError::Host("no more")));
    for thread in threads.into_inner() {
        thread.join().unwrap();
    }
}

#[test]
fn places_for_workers_are_given_once_and_again() {
    let executor = Executor::with_places(2);
    let (one, two) = (executor.worker().unwrap(), executor.worker().unwrap());
    assert_ne!(one.index(), two.index());
    assert_eq!(executor.worker().err(), Some(NoWorker::Full));
    // What is queued on a worker that goes is left to others.
    let handle = executor.spawn(async { yield_now().await }).unwrap();
    drop(one);
    assert_eq!(two.tick().polled, 2);
    assert!(joined(handle).is_ok());
    assert!(executor.worker().is_ok());
}

#[test]
fn a_tick_polls_256_at_most_and_counts_each_fiber_once() {
    let executor = Executor::new();
    let worker = executor.worker().unwrap();
    for _ in 0..1_000 {
        executor
            .spawn(async { yield_now().await })
            .unwrap()
            .detach();
    }
    let mut total = Tick::default();
    for _ in 0..100 {
        let tick = worker.tick();
        assert!(tick.polled <= 256 && tick.completed <= tick.polled);
        total.polled += tick.polled;
        total.completed += tick.completed;
        total.spawned += tick.spawned;
        total.woken_external += tick.woken_external;
        total.woken_internal += tick.woken_internal;
        if !tick.has_remaining && executor.stats().live == 0 {
            break;
        }
    }
    assert_eq!((total.polled, total.completed), (2_000, 1_000));
    assert_eq!((total.spawned, total.woken_internal), (1_000, 1_000));
    assert_eq!(total.woken_external, 0);
}

#[test]
fn a_fiber_does_not_wait_for_itself() {
    let executor = start(1);
    let slot = Arc::new(Mutex::<level::Ticket, Option<JoinHandle<bool>>>::new(None));
    let inner = slot.clone();
    let (sender, receiver) = mpsc::channel();
    let gate = Gate::default();
    let pass = gate.clone();
    let handle = executor.spawn(async move {
        pass.pass().await;
        let own = inner.lock().take().unwrap();
        sender
            .send(matches!(own.wait(), Err(JoinError::WouldDeadlock)))
            .unwrap();
        true
    });
    *slot.lock() = Some(handle.unwrap());
    gate.open();
    assert_eq!(receiver.recv_timeout(LONG), Ok(true));
    close(&executor, Close::Drain);
}

#[test]
fn the_traits_of_futures_spawn_too() {
    use futures::task::{LocalSpawnExt, SpawnExt};
    let executor = start(1);
    let (sender, receiver) = mpsc::channel();
    let other = sender.clone();
    SpawnExt::spawn(&executor, async move { sender.send(1).unwrap() }).unwrap();
    assert_eq!(receiver.recv_timeout(LONG), Ok(1));
    let local = Executor::new();
    let worker = local.worker().unwrap();
    LocalSpawnExt::spawn_local(&worker, async move { other.send(2).unwrap() }).unwrap();
    worker.tick();
    assert_eq!(receiver.recv_timeout(LONG), Ok(2));
}

#[test]
fn a_busy_ring_is_shared_out() {
    let executor = start(4);
    let outer = executor.spawn(async {
        // All of them begin in one worker's ring.
        let handles: Vec<_> = (0..2_000)
            .map(|_| {
                let future = async {
                    for _ in 0..20 {
                        std::hint::black_box((0..200).sum::<u64>());
                        yield_now().await;
                    }
                };
                spawn(future).unwrap()
            })
            .collect();
        for handle in handles {
            handle.await.unwrap();
        }
    });
    joined(outer.unwrap()).unwrap();
    let stats = executor.stats();
    let others = stats.polled.iter().filter(|&&polled| polled > 0).count();
    assert!(others >= 2, "nobody stole: {stats:?}");
    close(&executor, Close::Drain);
}

/// How evenly two workers share fibers that all began with one of them.
#[test]
fn work_is_spread_evenly() {
    let executor = start(2);
    let outer = executor.spawn(async {
        for _ in 0..200 {
            let future = async {
                loop {
                    std::hint::black_box((0..500).sum::<u64>());
                    yield_now().await;
                }
            };
            spawn(future).unwrap().detach();
        }
    });
    joined(outer.unwrap()).unwrap();
    let before = executor.stats();
    thread::sleep(Duration::from_millis(500));
    let spread = executor.stats().spread_since(&before);
    println!("busiest by idlest: {spread:?}");
    // A machine that is busy otherwise gives one of them less.
    assert!(spread.is_some_and(|spread| spread < 5.0), "{spread:?}");
    close(&executor, Close::Cancel);
}

#[test]
fn many_threads_spawn_wake_cancel_and_close() {
    let end = far();
    for round in 0..20 {
        let executor = start(3);
        let producers: Vec<_> = (0..4)
            .map(|producer| {
                let executor = executor.clone();
                thread::spawn(move || {
                    for n in 0..500 {
                        assert!(Instant::now() < end);
                        let gate = Gate::default();
                        let Ok(handle) = executor.spawn(gate.clone().pass()) else {
                            return;
                        };
                        match (n + producer) % 3 {
                            0 => drop(handle.cancel()),
                            1 => {
                                gate.is_open.store(true, Ordering::SeqCst);
                                let waker = gate.waker.lock().take();
                                if let Some(waker) = waker {
                                    waker.wake();
                                }
                                match joined(handle) {
                                    Ok(()) => {}
                                    Err(_) => assert!(executor.is_closed()),
                                }
                            }
                            _ => handle.detach(),
                        }
                    }
                })
            })
            .collect();
        thread::sleep(Duration::from_millis(round % 4));
        close(
            &executor,
            if round % 2 == 0 {
                Close::Cancel
            } else {
                Close::Drain
            },
        );
        for producer in producers {
            producer.join().unwrap();
        }
    }
}

/// Sleeping is sleeping: an executor with nothing to do uses no processor time.
#[test]
fn sleepers_stay_asleep() {
    let executor = start(4);
    eventually("all sleep", || executor.stats().sleeping == 4);
    let parker = Parker::new();
    for _ in 0..50 {
        parker.park_until(Some(Instant::now() + Duration::from_millis(1)));
        assert_eq!(executor.stats().sleeping, 4);
    }
    assert_eq!(executor.stats().wakes, 0);
    close(&executor, Close::Drain);
}
