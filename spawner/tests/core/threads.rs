//! What a worker's host thread is, whoever asked for it.

use crate::{builder, eventually, settle, threads_named};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::Pid;
use rivix_spawner::{Class, DynamicThreadSpawner, NoContext, PoolKey, Role, TicketError};

fn affinity() -> CpuSet {
    sched_getaffinity(Pid::from_raw(0)).unwrap()
}

fn nice() -> i32 {
    // SAFETY: no pointers; on Linux 0 is this thread.
    unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
}

fn policy() -> i32 {
    // SAFETY: no pointers; 0 is this thread.
    unsafe { libc::sched_getscheduler(0) }
}

fn name() -> String {
    std::fs::read_to_string("/proc/thread-self/comm")
        .unwrap()
        .trim_end()
        .to_owned()
}

#[test]
fn a_worker_has_nothing_of_an_odd_caller() {
    let spawner = DynamicThreadSpawner::<NoContext>::new(0, ()).unwrap();
    let (whole, usual) = (affinity(), nice());
    let odd = std::thread::spawn(move || {
        let mut one = CpuSet::new();
        let first = (0..CpuSet::count())
            .find(|cpu| whole.is_set(*cpu).unwrap())
            .unwrap();
        one.set(first).unwrap();
        sched_setaffinity(Pid::from_raw(0), &one).unwrap();
        // SAFETY: no pointers.
        assert_eq!(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 7) }, 0);
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGUSR1);
        mask.thread_set_mask().unwrap();
        let unit = |_: &mut NoContext| (affinity(), nice(), SigSet::thread_get_mask().unwrap());
        spawner.spawn_and_get_result_sync(unit).unwrap()
    });
    let (seen, seen_nice, mask) = odd.join().unwrap();
    assert_eq!(seen, whole);
    assert_eq!(seen_nice, usual);
    // Every signal is blocked: they belong to the embedder's threads.
    for signal in [
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGINT,
        Signal::SIGCHLD,
    ] {
        assert!(mask.contains(signal));
    }
}

#[test]
fn the_signal_mask_is_restored_between_units() {
    let pool = builder("mask").max_idle(1).build().unwrap();
    pool.run(|_| SigSet::empty().thread_set_mask().unwrap())
        .unwrap();
    settle(&pool, |s| s.idle == 1);
    let mask = pool.run(|_| SigSet::thread_get_mask().unwrap()).unwrap();
    assert!(mask.contains(Signal::SIGUSR1));
    assert_eq!(pool.stats().created, 1);
}

#[test]
fn name_and_role_are_restored_after_a_panic() {
    let spawner =
        DynamicThreadSpawner::<NoContext>::with_builder((), |b| b.max_idle(1).name("plain"))
            .unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let role = Role {
        class: Some(Class::Batch),
        nice: None,
    };
    let unit = move |_: &mut NoContext| {
        tell.send((name(), policy())).unwrap();
        panic!("on purpose");
    };
    spawner
        .spawn_with_role("a-name-longer-than-15", role, unit)
        .unwrap();
    let in_role = told.recv_timeout(crate::PATIENCE).unwrap();
    assert_eq!(in_role, ("a-name-longer-t".to_owned(), libc::SCHED_BATCH));
    settle(spawner.pool(), |s| s.idle == 1);
    eventually("the name is restored", || threads_named("plain") == 1);
    let after = spawner
        .spawn_and_get_result_sync(|_| (name(), policy()))
        .unwrap();
    let usual = std::thread::spawn(policy).join().unwrap();
    assert_eq!(after, ("plain".to_owned(), usual));
    assert_eq!(spawner.pool().stats().created, 1);
}

#[test]
fn a_spoiled_worker_retires_after_its_unit() {
    let pool = builder("spoiled").max_idle(2).build().unwrap();
    pool.run(|_| rivix_spawner::current::spoil()).unwrap();
    settle(&pool, |s| s.live == 0);
    pool.run(|_| ()).unwrap();
    let stats = settle(&pool, |s| s.idle == 1);
    assert_eq!((stats.created, stats.live), (2, 1));
}

#[test]
fn a_spoiled_rescuer_is_replaced() {
    let pool = builder("rescuer").rescue().max_idle(1).build().unwrap();
    let first = settle(&pool, |s| s.live == 1 && s.running == 0);
    assert_eq!(first.idle, 0, "the rescuer is kept back");
    pool.run(|_| ()).unwrap();
    let stats = settle(&pool, |s| s.live == 2 && s.running == 0);
    assert_eq!((stats.idle, stats.created), (1, 2));
}

#[test]
fn classes_are_the_hosts() {
    let spawner = DynamicThreadSpawner::<NoContext>::new(1, ()).unwrap();
    for (class, host) in [
        (Class::Batch, libc::SCHED_BATCH),
        (Class::Idle, libc::SCHED_IDLE),
    ] {
        let ticket = spawner.spawn_class(class, |_| policy()).unwrap();
        assert_eq!(ticket.wait().unwrap(), host);
        // The class's pool is kept and used again.
        settle(
            &spawner.pools().get(PoolKey { class, cpu: None }).unwrap(),
            |s| s.idle == 1,
        );
        assert_eq!(
            spawner
                .spawn_class(class, |_| policy())
                .unwrap()
                .wait()
                .unwrap(),
            host
        );
    }
    let names: Vec<_> = spawner.stats().iter().map(|stats| stats.class).collect();
    assert_eq!(names, [Class::Normal, Class::Batch, Class::Idle]);
    spawner.close();
    assert!(spawner.spawn_class(Class::Idle, |_| ()).is_err());
}

#[test]
fn pools_by_cpu_are_pinned() {
    let spawner = DynamicThreadSpawner::<NoContext>::new(1, ()).unwrap();
    let whole = affinity();
    let cpus = (0..CpuSet::count()).filter(|cpu| whole.is_set(*cpu).unwrap());
    for cpu in cpus.take(2) {
        let key = PoolKey {
            class: Class::Normal,
            cpu: Some(cpu),
        };
        let pool = spawner.pools().get(key).unwrap();
        let mut only = CpuSet::new();
        only.set(cpu).unwrap();
        assert_eq!(pool.run(|_| affinity()).unwrap(), only);
    }
    let absent = PoolKey {
        class: Class::Normal,
        cpu: Some(CpuSet::count() - 1),
    };
    assert!(spawner.pools().get(absent).is_err());
    // Falling back is asked for, and counted.
    let pool = builder("fallback")
        .cpu(CpuSet::count() - 1)
        .fall_back()
        .build()
        .unwrap();
    assert_eq!(pool.run(|_| affinity()).unwrap(), whole);
    assert!(pool.stats().fallbacks >= 1);
}

#[test]
fn a_unit_that_waits_for_itself_is_told() {
    let pool = builder("selfwait").build().unwrap();
    let (give, given) = std::sync::mpsc::channel::<rivix_spawner::Ticket<bool>>();
    let (tell, told) = std::sync::mpsc::channel();
    let ticket = pool.spawn(move |_| {
        let own = given.recv_timeout(crate::PATIENCE).unwrap();
        tell.send(matches!(own.wait(), Err(TicketError::WouldDeadlock)))
            .unwrap();
        true
    });
    give.send(ticket.unwrap()).unwrap();
    assert!(told.recv_timeout(crate::PATIENCE).unwrap());
}
