//! Pools by key, and what becomes of workers nobody needs.

use rivix_spawner::{Class, Creator, NoContext, Pool, PoolKey, PoolStats, Pools};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(20);

fn pools(creator: &Creator) -> Pools<NoContext> {
    Pools::new(creator, |creator, _| Pool::builder(creator, ()))
}

fn settle(pool: &Pool, done: impl Fn(&PoolStats) -> bool) -> PoolStats {
    let end = Instant::now() + LONG;
    loop {
        let stats = pool.stats();
        if done(&stats) || Instant::now() > end {
            return stats;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Do two handles mean one pool? One that runs a unit of `a` is `b`'s worker too.
fn is_same(a: &Pool, b: &Pool) -> bool {
    let b = b.clone();
    a.run(move |_| b.is_own()).unwrap()
}

#[test]
fn one_pool_for_a_key_unbound() {
    let creator = Creator::start().unwrap();
    let pools = pools(&creator);
    let batch = PoolKey {
        class: Class::Batch,
        cpu: None,
    };
    let first = pools.get(PoolKey::default()).unwrap();
    let again = pools.get(PoolKey::default()).unwrap();
    let other = pools.get(batch).unwrap();
    assert!(is_same(&first, &again));
    assert!(!is_same(&first, &other));
    assert!(is_same(&other, &pools.get(batch).unwrap()));
    assert_eq!(pools.in_use().len(), 2);
}

#[test]
fn one_pool_for_a_key_on_each_cpu() {
    let creator = Creator::start().unwrap();
    let pools = pools(&creator);
    let cpus = std::thread::available_parallelism().unwrap().get().min(2);
    let first = pools.per_cpu(Class::Normal, cpus).unwrap();
    let again = pools.per_cpu(Class::Normal, cpus).unwrap();
    let unbound = pools.get(PoolKey::default()).unwrap();
    for (cpu, pool) in first.iter().enumerate() {
        assert!(is_same(pool, &again[cpu]));
        assert!(!is_same(pool, &unbound));
        assert!(first[..cpu].iter().all(|other| !is_same(pool, other)));
        // From whatever CPU it is used, its workers stay on theirs.
        let allowed = pool.run(|_| {
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let line = status.lines().find(|l| l.starts_with("Cpus_allowed_list"));
            line.and_then(|line| line.split_whitespace().last().map(str::to_owned))
        });
        assert_eq!(allowed.unwrap(), Some(cpu.to_string()));
    }
}

#[test]
fn racing_gets_and_puts_leave_none() {
    const THREADS: usize = 8;
    let creator = Creator::start().unwrap();
    // A name of its own: other tests have workers too.
    let pools = Pools::<NoContext>::new(&creator, |creator, _| {
        Pool::builder(creator, ()).name("racing")
    });
    let gate = Barrier::new(THREADS);
    let disagreements = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..200 {
                    gate.wait();
                    let own = pools.get(PoolKey::default()).unwrap();
                    // Everybody holds one now: there must be exactly one.
                    gate.wait();
                    let known = pools.in_use();
                    if known.len() != 1 {
                        disagreements.fetch_add(1, Ordering::SeqCst);
                    }
                    drop(known);
                    let other = pools.get(PoolKey::default()).unwrap();
                    if !is_same(&own, &other) {
                        disagreements.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    assert_eq!(disagreements.load(Ordering::SeqCst), 0);
    assert!(pools.in_use().is_empty());
    // A joined thread may be listed for a moment longer.
    let end = Instant::now() + LONG;
    while threads_called("racing") > 0 && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(threads_called("racing"), 0);
}

fn threads_called(name: &str) -> usize {
    std::fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .filter(|comm| comm.trim_end() == name)
        .count()
}

/// Thirty idle workers and a trickle of work: the last one parked is the first
/// one used, so the others grow old. Ten seconds and one unit a second, in a
/// thirtieth of the time.
#[test]
fn a_trickle_keeps_one_worker() {
    const WORKERS: usize = 30;
    let timeout = Duration::from_millis(300);
    let creator = Creator::start().unwrap();
    let pool = Pool::<NoContext>::builder(&creator, ())
        .max_idle(WORKERS)
        .idle_timeout(timeout)
        .build()
        .unwrap();
    let gate = Arc::new(Barrier::new(WORKERS));
    let tickets: Vec<_> = (0..WORKERS)
        .map(|_| {
            let gate = gate.clone();
            pool.spawn(move |_| gate.wait().is_leader()).unwrap()
        })
        .collect();
    for ticket in tickets {
        ticket.wait().unwrap();
    }
    assert_eq!(settle(&pool, |s| s.idle == WORKERS).idle, WORKERS);
    let begun = Instant::now();
    let end = begun + LONG;
    let mut units = 0;
    while (begun.elapsed() < 3 * timeout || pool.stats().live > 1) && Instant::now() < end {
        pool.run(|_| ()).unwrap();
        units += 1;
        std::thread::sleep(Duration::from_millis(20));
    }
    let stats = settle(&pool, |s| s.live == 1);
    assert_eq!((stats.live, stats.idle), (1, 1), "after {units} units");
    assert_eq!(
        stats.created, WORKERS as u64,
        "the trickle needed no new thread"
    );
    assert!(begun.elapsed() < 10 * timeout, "{:?}", begun.elapsed());
}
