//! The end of pools.

use crate::{Gate, PATIENCE, builder, eventually, has_left, settle, threads_named};
use rivix_spawner::{
    Close, Creator, DynamicThreadSpawner, Full, NoContext, Pool, SpawnError, TicketError,
};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[test]
fn dropping_a_pool_with_idle_busy_and_queued_leaves_no_thread() {
    let pool = builder("dropped")
        .cap(4, Full::Queue)
        .max_idle(2)
        .build()
        .unwrap();
    let ran = Arc::new(AtomicUsize::new(0));
    let gate = Gate::default();
    let warm: Vec<_> = (0..2).map(|_| pool.spawn(|_| ()).unwrap()).collect();
    warm.into_iter().for_each(|ticket| drop(ticket.wait()));
    for _ in 0..50 {
        let (ran, gate) = (ran.clone(), gate.clone());
        let unit = move |_: &mut NoContext| {
            gate.pass();
            ran.fetch_add(1, Ordering::SeqCst);
        };
        pool.spawn(unit).unwrap().detach();
    }
    let opener = gate.clone();
    let other = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        opener.open();
    });
    drop(pool);
    assert_eq!(ran.load(Ordering::SeqCst), 50);
    has_left("dropped");
    other.join().unwrap();
}

#[test]
fn dropping_the_spawner_inside_its_own_worker_ends_it() {
    let spawner =
        DynamicThreadSpawner::<NoContext>::with_builder((), |b| b.max_idle(0).name("inside"))
            .unwrap();
    let slot = Arc::new(Mutex::new(None));
    let own = slot.clone();
    let gate = Gate::default();
    let ready = gate.clone();
    let ticket = spawner.spawn_and_get_result(move |_| {
        ready.pass();
        drop(own.lock().unwrap().take());
        "survived"
    });
    *slot.lock().unwrap() = Some(spawner);
    gate.open();
    assert_eq!(ticket.wait().unwrap(), "survived");
    eventually("the worker ends", || threads_named("inside") == 0);
}

/// Closes a pool when it is dropped.
struct Closer(Pool<NoContext>);

impl Drop for Closer {
    fn drop(&mut self) {
        self.0.close(Close::Drain);
    }
}

#[test]
fn closing_inside_a_captures_drop_during_close_waits_for_nothing() {
    let pool = builder("capdrop").cap(1, Full::Queue).build().unwrap();
    let gate = Gate::default();
    let first = gate.clone();
    pool.spawn(move |_| first.pass()).unwrap().detach();
    let closer = Closer(pool.clone());
    let ticket = pool.spawn(move |_| drop(closer)).unwrap();
    let opener = std::thread::spawn({
        let gate = gate.clone();
        move || {
            std::thread::sleep(Duration::from_millis(10));
            gate.open();
        }
    });
    pool.close(Close::Drain);
    assert!(ticket.is_finished());
    ticket.wait().unwrap();
    has_left("capdrop");
    opener.join().unwrap();
}

#[test]
fn cancelling_close_drops_queued_units_unrun_and_refuses_the_rest() {
    let pool = builder("cancelcl").cap(1, Full::Queue).build().unwrap();
    let gate = Gate::default();
    let (first, again) = (gate.clone(), pool.clone());
    let running = pool.spawn(move |_| {
        first.pass();
        // A unit that still runs gets its unit back too.
        matches!(again.spawn(|_| ()), Err(SpawnError::Closed(_)))
    });
    let capture = Arc::new(());
    let held = capture.clone();
    let queued = pool.spawn(move |_| drop(held)).unwrap();
    let stuck = pool.close_timeout(Close::Cancel, Duration::from_millis(5));
    assert!(stuck.is_err());
    assert!(matches!(queued.wait(), Err(TicketError::Closed)));
    assert_eq!(Arc::strong_count(&capture), 1);
    gate.open();
    pool.close(Close::Cancel);
    assert!(running.unwrap().wait().unwrap());
    has_left("cancelcl");
    let Err(SpawnError::Closed(unit)) = pool.spawn(|_| 9) else {
        panic!("a closed pool took a unit");
    };
    assert_eq!(unit(&mut NoContext), 9);
}

#[test]
fn close_timeout_names_the_stuck_units_and_keeps_the_pool() {
    let pool = builder("stuck").build().unwrap();
    let gate = Gate::default();
    for name in ["first", "second"] {
        let gate = gate.clone();
        let unit = move |_: &mut NoContext| gate.pass();
        pool.spawn_named(name, unit).unwrap().detach();
    }
    settle(&pool, |s| s.running == 2);
    let stuck = pool
        .close_timeout(Close::Drain, Duration::from_millis(20))
        .unwrap_err();
    let mut names: Vec<_> = stuck.units.iter().map(|name| name.to_string()).collect();
    names.sort();
    assert_eq!(names, ["first", "second"]);
    assert_eq!(pool.stats().running, 2);
    gate.open();
    pool.close_timeout(Close::Drain, PATIENCE).unwrap();
    has_left("stuck");
}

/// Who gave up waiting does not wait after all, when the pool is dropped.
#[test]
fn dropping_a_pool_that_was_given_up_waits_for_nothing() {
    let pool = builder("given-up").build().unwrap();
    let gate = Gate::default();
    let inside = gate.clone();
    let ticket = pool.spawn(move |_: &mut NoContext| inside.pass()).unwrap();
    let short = Duration::from_millis(20);
    pool.close_timeout(Close::Drain, short).unwrap_err();
    // The gate opens only after the drop: one that waited would wait for ever.
    drop(pool);
    gate.open();
    ticket.wait().unwrap();
}

thread_local! {
    static LAST: std::cell::RefCell<Option<Box<dyn std::any::Any>>> =
        const { std::cell::RefCell::new(None) };
}

/// Does something when it is dropped.
struct AtDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for AtDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Has `f` run by a destructor of the calling thread.
pub(crate) fn at_thread_end(f: impl FnMut() + 'static) {
    LAST.with(|last| *last.borrow_mut() = Some(Box::new(AtDrop(f))));
}

#[test]
fn when_close_returns_thread_local_destructors_have_run_for_every_closer() {
    for round in 0..20 {
        let pool = builder("destruct").max_idle(4).build().unwrap();
        let ended = Arc::new(AtomicUsize::new(0));
        let started = Arc::new(std::sync::Barrier::new(4));
        for _ in 0..4 {
            let (ended, started) = (ended.clone(), started.clone());
            let unit = move |_: &mut NoContext| {
                started.wait();
                at_thread_end(move || {
                    std::thread::sleep(Duration::from_millis(2));
                    ended.fetch_add(1, Ordering::SeqCst);
                });
            };
            pool.spawn(unit).unwrap().detach();
        }
        let closers: Vec<_> = (0..3)
            .map(|_| {
                let (pool, ended) = (pool.clone(), ended.clone());
                std::thread::spawn(move || {
                    pool.close(Close::Drain);
                    ended.load(Ordering::SeqCst)
                })
            })
            .collect();
        for closer in closers {
            assert_eq!(closer.join().unwrap(), 4, "round {round}");
        }
    }
}

#[test]
fn a_thread_local_destructor_may_close_its_own_pool() {
    let pool = builder("selfend").max_idle(0).build().unwrap();
    let closer = pool.clone();
    let ticket = pool.spawn(move |_| {
        let mut closer = Some(Closer(closer));
        at_thread_end(move || drop(closer.take()));
    });
    ticket.unwrap().wait().unwrap();
    eventually("the destructor closes", || pool.is_closed());
    pool.close(Close::Drain);
    has_left("selfend");
}

#[test]
fn a_pool_outlives_its_closed_creator_with_the_workers_it_has() {
    let creator = Creator::start().unwrap();
    let pool = Pool::<NoContext>::builder(&creator, ())
        .name("orphan")
        .build()
        .unwrap();
    pool.run(|_| ()).unwrap();
    settle(&pool, |s| s.idle == 1);
    creator.close();
    let gate = Gate::default();
    let held = gate.clone();
    let busy = pool.spawn(move |_| held.pass()).unwrap();
    let error = pool.spawn(|_| ()).map(drop);
    assert!(
        matches!(error, Err(SpawnError::NoThread(errno, _)) if errno as i32 == libc::ESHUTDOWN)
    );
    gate.open();
    busy.wait().unwrap();
    settle(&pool, |s| s.idle == 1);
    assert!(matches!(pool.spawn_nowait(|_| 5).wait(), Ok(5)));
    drop(pool);
    has_left("orphan");
}

#[test]
fn closing_the_creator_answers_every_spawner_that_waits_for_it() {
    for _ in 0..50 {
        let creator = Creator::start().unwrap();
        let pool = Pool::<NoContext>::builder(&creator, ())
            .max_idle(0)
            .build()
            .unwrap();
        let spawners: Vec<_> = (0..4)
            .map(|_| {
                let pool = pool.clone();
                std::thread::spawn(move || {
                    for _ in 0..20 {
                        match pool.spawn(|_| ()) {
                            Ok(ticket) => ticket.wait().unwrap(),
                            Err(error) => assert!(matches!(error, SpawnError::NoThread(..))),
                        }
                    }
                })
            })
            .collect();
        creator.close();
        spawners
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    }
}
