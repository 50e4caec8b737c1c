//! Caps, queues, idle times, spares.

use crate::{Gate, PATIENCE, builder, eventually, scale, settle, threads_named};
use rivix_spawner::{Close, Full, NoContext, Pool, PoolError, SpawnError, TicketError};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

#[test]
fn a_retiring_time_out_against_dispatch_loses_no_unit() {
    // The full million rounds: RIVIX_ROUNDS=1000000.
    let rounds = scale("RIVIX_ROUNDS", 30_000);
    let pool = builder("retire")
        .max_idle(1)
        .idle_timeout(Duration::from_micros(20))
        .build()
        .unwrap();
    let ran = Arc::new(AtomicUsize::new(0));
    let end = Instant::now() + Duration::from_secs(scale("RIVIX_SECONDS", 30) as u64);
    let mut done = 0;
    while done < rounds && Instant::now() < end {
        let ran = ran.clone();
        let ticket = pool
            .spawn(move |_| ran.fetch_add(1, Ordering::Relaxed))
            .unwrap();
        assert!(
            ticket.wait_until(Instant::now() + PATIENCE).is_ok(),
            "a unit was lost"
        );
        done += 1;
        // Land before, at and after the time-out.
        let pause = Duration::from_nanos((done as u64 * 977) % 40_000);
        let until = Instant::now() + pause;
        while Instant::now() < until {
            std::hint::spin_loop();
        }
    }
    assert_eq!(ran.load(Ordering::Relaxed), done);
    let stats = settle(&pool, |s| s.live == 0);
    assert_eq!(stats.units, done as u64);
    assert!(stats.created > 1, "no time-out was ever met: {stats:?}");
}

/// Runs units inside units, `depth` deep.
fn nested(pool: &Pool<NoContext>, depth: usize) -> usize {
    if depth == 0 {
        return 0;
    }
    let own = pool.clone();
    1 + pool.run(move |_| nested(&own, depth - 1)).unwrap()
}

#[test]
fn nested_run_deeper_than_the_cap_completes() {
    for cap in 1..=4 {
        let pool = builder("nested").cap(cap, Full::Queue).build().unwrap();
        assert_eq!(nested(&pool, cap + 1), cap + 1);
        let stats = settle(&pool, |s| s.running == 0 && s.blocked == 0);
        assert!(stats.live <= cap.max(2), "{stats:?}");
        pool.close(Close::Drain);
        assert_eq!(pool.stats().live, 0);
    }
}

#[test]
fn marks_of_sleeping_count_once_and_only_within_units() {
    let pool = builder("marks").cap(2, Full::Queue).build().unwrap();
    let seen = pool.clone();
    let unit = move |_: &mut NoContext| {
        let _outer = rivix_spawner::current::block();
        let _inner = rivix_spawner::current::block();
        std::mem::forget(rivix_spawner::current::block());
        seen.stats().blocked
    };
    assert_eq!(pool.run(unit).unwrap(), 1);
    settle(&pool, |s| s.blocked == 0 && s.running == 0);
    let _outside = rivix_spawner::current::block();
    assert_eq!(pool.stats().blocked, 0);
}

#[test]
fn a_trickle_on_thirty_idle_workers_leaves_one() {
    let pool = builder("trickle")
        .max_idle(30)
        .idle_timeout(Duration::from_millis(200))
        .build()
        .unwrap();
    let gate = Gate::default();
    for _ in 0..30 {
        let gate = gate.clone();
        pool.spawn(move |_| gate.pass()).unwrap().detach();
    }
    gate.open();
    settle(&pool, |s| s.idle == 30);
    let end = Instant::now() + Duration::from_secs(1);
    while Instant::now() < end {
        pool.run(|_| ()).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    let stats = settle(&pool, |s| s.running == 0 && s.retiring == 0);
    assert_eq!((stats.idle, stats.live, stats.created), (1, 1, 30));
}

#[test]
fn the_idle_time_ends_the_last_worker_and_zero_is_refused() {
    let pool = builder("timeout")
        .idle_timeout(Duration::from_millis(30))
        .build()
        .unwrap();
    pool.run(|_| ()).unwrap();
    settle(&pool, |s| s.live == 0);
    eventually("the thread is gone", || threads_named("timeout") == 0);
    assert_eq!(pool.run(|_| 2).unwrap(), 2);
    let refused = builder("zero").idle_timeout(Duration::ZERO).build();
    assert!(matches!(refused, Err(PoolError::Invalid(_))));
}

#[test]
fn spares_are_there_before_the_first_unit_and_do_not_time_out() {
    let pool = builder("spare")
        .max_idle(3)
        .spare(2)
        .idle_timeout(Duration::from_millis(5))
        .build()
        .unwrap();
    settle(&pool, |s| s.idle == 2);
    let gate = Gate::default();
    let held = gate.clone();
    let busy = pool.spawn(move |_| held.pass()).unwrap();
    settle(&pool, |s| s.idle == 2 && s.running == 1);
    gate.open();
    busy.wait().unwrap();
    settle(&pool, |s| s.idle == 2 && s.live == 2);
    std::thread::sleep(Duration::from_millis(30));
    assert_eq!(pool.stats().idle, 2);
}

#[test]
fn a_full_pool_that_refuses_gives_the_unit_back() {
    let pool = builder("full").cap(2, Full::Refuse).build().unwrap();
    let gate = Gate::default();
    let held: Vec<_> = (0..2)
        .map(|_| {
            let gate = gate.clone();
            pool.spawn(move |_| gate.pass()).unwrap()
        })
        .collect();
    let Err(SpawnError::Full(unit)) = pool.spawn(|_| 4) else {
        panic!("a full pool took a unit");
    };
    assert!(matches!(
        pool.spawn_nowait(|_| ()).wait(),
        Err(TicketError::NoThread(_))
    ));
    gate.open();
    held.into_iter().for_each(|ticket| ticket.wait().unwrap());
    settle(&pool, |s| s.idle == 2);
    assert_eq!(pool.run(unit).unwrap(), 4);
}

#[test]
fn a_cap_holds_and_the_queue_is_first_in_first_out() {
    let pool = builder("fifo").cap(1, Full::Queue).build().unwrap();
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let gate = Gate::default();
    let held = gate.clone();
    pool.spawn(move |_| held.pass()).unwrap().detach();
    for n in 0..100 {
        let order = order.clone();
        let unit = move |_: &mut NoContext| order.lock().unwrap().push(n);
        match n % 2 {
            0 => pool.spawn(unit).unwrap().detach(),
            _ => pool.spawn_nowait(unit).detach(),
        }
    }
    gate.open();
    pool.close(Close::Drain);
    assert_eq!(*order.lock().unwrap(), (0..100).collect::<Vec<_>>());
    assert_eq!(pool.stats().peak_live, 1);
}

#[test]
fn one_unit_wakes_one_worker() {
    let pool = builder("wakeone").max_idle(16).build().unwrap();
    let gate = Gate::default();
    for _ in 0..16 {
        let gate = gate.clone();
        pool.spawn(move |_| gate.pass()).unwrap().detach();
    }
    gate.open();
    settle(&pool, |s| s.idle == 16);
    std::thread::sleep(Duration::from_millis(20));
    let before = switches("wakeone");
    pool.run(|_| ()).unwrap();
    settle(&pool, |s| s.idle == 16);
    std::thread::sleep(Duration::from_millis(20));
    let after = switches("wakeone");
    let woken = before
        .iter()
        .filter(|(tid, count)| after.get(*tid) != Some(count));
    assert_eq!(woken.count(), 1);
}

/// How often each thread of that name went to sleep.
fn switches(name: &str) -> std::collections::BTreeMap<String, String> {
    let mut found = std::collections::BTreeMap::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
        let field = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            line.unwrap_or("").trim().to_owned()
        };
        if field("Name:") == name {
            found.insert(field("Pid:"), field("voluntary_ctxt_switches:"));
        }
    }
    found
}

#[test]
fn a_ticket_waits_until_a_deadline_and_comes_back() {
    let pool = builder("deadline").build().unwrap();
    let gate = Gate::default();
    let held = gate.clone();
    let ticket = pool.spawn(move |_| held.pass()).unwrap();
    let Err(ticket) = ticket.wait_until(Instant::now() + Duration::from_millis(5)) else {
        panic!("the unit cannot have ended");
    };
    assert!(!ticket.is_finished());
    assert!(!ticket.cancel(), "it has begun");
    gate.open();
    assert!(matches!(
        ticket.wait_until(Instant::now() + PATIENCE),
        Ok(Ok(()))
    ));
}

#[test]
fn dropping_the_ticket_does_not_cancel() {
    let pool = builder("detached").build().unwrap();
    let ran = Arc::new(AtomicUsize::new(0));
    let count = ran.clone();
    drop(
        pool.spawn(move |_| count.fetch_add(1, Ordering::SeqCst))
            .unwrap(),
    );
    pool.close(Close::Drain);
    assert_eq!(ran.load(Ordering::SeqCst), 1);
}

#[test]
fn waiting_runs_nobody_elses_work_on_the_waiters_stack() {
    let pool = builder("ownstack").cap(2, Full::Queue).build().unwrap();
    let own = pool.clone();
    let ids = pool.run(move |_| {
        let me = std::thread::current().id();
        let inner: Vec<_> = (0..20)
            .map(|_| own.spawn(|_| std::thread::current().id()).unwrap())
            .collect();
        let met = inner.into_iter().map(|ticket| ticket.wait().unwrap());
        (me, met.collect::<Vec<_>>())
    });
    let (me, met) = ids.unwrap();
    assert!(met.iter().all(|id| *id != me));
}
