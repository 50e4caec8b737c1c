//! What the host refuses to those without privilege. Limits and user ids are the
//! whole process's, so the test runs itself again as a child that gives them up.

use rivix_spawner::{Class, Creator, DynamicThreadSpawner, NoContext, Pool, PoolError, SpawnError};
use std::process::Command;
use std::time::{Duration, Instant};

const CHILD: &str = "RIVIX_UNPRIVILEGED_CHILD";
const NOBODY: libc::uid_t = 65534;

/// In the child: true, without privilege. In the parent: runs the child.
fn is_child(test: &str) -> bool {
    if std::env::var_os(CHILD).is_none() {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        let erred = String::from_utf8_lossy(&child.stderr);
        assert!(child.status.success(), "{said}\n{erred}");
        println!("{said}");
        return false;
    }
    // SAFETY: no pointers; glibc changes every thread of the process.
    let is_nobody = unsafe {
        libc::getuid() != 0
            || (libc::setresgid(NOBODY, NOBODY, NOBODY) == 0
                && libc::setresuid(NOBODY, NOBODY, NOBODY) == 0)
    };
    if !is_nobody {
        println!("not run: {}", std::io::Error::last_os_error());
    }
    is_nobody
}

/// Lets this user have `more` threads beyond those it has; false: no such limit here.
fn limit_threads(more: usize) -> bool {
    // SAFETY: no pointers.
    let uid = unsafe { libc::getuid() };
    let mut threads = 0;
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let status = std::fs::read_to_string(process.path().join("status")).unwrap_or_default();
        let field = |key: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(key));
            value.and_then(|value| value.split_whitespace().next()?.parse::<usize>().ok())
        };
        if field("Uid:") == Some(uid as usize) {
            threads += field("Threads:").unwrap_or(0);
        }
    }
    let limit = libc::rlimit {
        rlim_cur: (threads + more) as libc::rlim_t,
        rlim_max: libc::RLIM_INFINITY,
    };
    let mut old = limit;
    // SAFETY: initialised structures that live through the calls.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NPROC, &mut old);
        let limit = libc::rlimit {
            rlim_max: old.rlim_max,
            ..limit
        };
        libc::setrlimit(libc::RLIMIT_NPROC, &limit) == 0
    }
}

#[test]
fn at_the_hosts_limit_spawns_say_so_and_the_pool_recovers() {
    if !is_child("at_the_hosts_limit_spawns_say_so_and_the_pool_recovers") {
        return;
    }
    let creator = Creator::start().unwrap();
    let pool = Pool::<NoContext>::builder(&creator, ())
        .max_idle(1)
        .build()
        .unwrap();
    if !limit_threads(4) {
        println!("not run: the limit cannot be set");
        return;
    }
    let gate = std::sync::Arc::new(std::sync::RwLock::new(()));
    let shut = gate.write().unwrap();
    let mut taken = Vec::new();
    let mut refused = 0;
    for _ in 0..200 {
        let gate = gate.clone();
        match pool.spawn(move |_| drop(gate.read().unwrap())) {
            Ok(ticket) => taken.push(ticket),
            Err(SpawnError::NoThread(errno, unit)) => {
                assert_eq!(errno as i32, libc::EAGAIN);
                drop(unit);
                refused += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(refused > 0 && !taken.is_empty(), "{} taken", taken.len());
    println!("{} taken, {refused} refused", taken.len());
    assert_eq!(
        pool.stats().queued,
        0,
        "nobody waits for a thread that does not come"
    );
    drop(shut);
    for ticket in taken {
        let ended = ticket.wait_until(Instant::now() + Duration::from_secs(20));
        assert!(matches!(ended, Ok(Ok(()))));
    }
    assert_eq!(pool.run(|_| 6).unwrap(), 6);
}

#[test]
fn a_class_that_the_host_refuses_is_an_error_and_falling_back_is_counted() {
    if !is_child("a_class_that_the_host_refuses_is_an_error_and_falling_back_is_counted") {
        return;
    }
    let creator = Creator::start().unwrap();
    let fifo = || Pool::<NoContext>::builder(&creator, ()).class(Class::Fifo(10));
    let refused = fifo().build();
    assert!(
        matches!(refused, Err(PoolError::NoThread(errno)) if errno as i32 == libc::EPERM),
        "the host granted a real-time class"
    );
    let spawner = DynamicThreadSpawner::<NoContext>::new(1, ()).unwrap();
    let refused = spawner.spawn_class(Class::Fifo(10), |_| ());
    assert!(matches!(refused, Err(SpawnError::NoThread(..))));

    let pool = fifo().fall_back().build().unwrap();
    assert_eq!(pool.run(|_| 3).unwrap(), 3);
    let stats = pool.stats();
    assert!(
        stats.fallbacks >= 1 && stats.fallbacks == stats.created,
        "{stats:?}"
    );
}

#[test]
fn a_role_that_cannot_be_left_costs_the_worker() {
    if !is_child("a_role_that_cannot_be_left_costs_the_worker") {
        return;
    }
    let spawner = DynamicThreadSpawner::<NoContext>::new(1, ()).unwrap();
    let limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: an initialised structure that lives through the call. No nice
    // value may be lowered from now on.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NICE, &limit) }, 0);
    let role = rivix_spawner::Role {
        class: None,
        nice: Some(15),
    };
    let (tell, told) = std::sync::mpsc::channel();
    let unit = move |_: &mut NoContext| {
        let _ = tell.send(());
    };
    spawner.spawn_with_role("nicer", role, unit).unwrap();
    told.recv_timeout(Duration::from_secs(20)).unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    while spawner.pool().stats().live > 0 && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(spawner.pool().stats().live, 0);
    let nice = |_: &mut NoContext| {
        // SAFETY: no pointers; on Linux 0 is this thread.
        unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
    };
    assert!(spawner.spawn_and_get_result_sync(nice).unwrap() < 15);
}
