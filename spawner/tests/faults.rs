//! Thread creation that fails at random. The fault is the whole process's, so
//! these tests have a process of their own, and one test.

use rivix_spawner::{Creator, Full, NoContext, Pool, SpawnError, TicketError, fault};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Every unit runs exactly once or comes back, whatever the host refuses.
fn storm(pool: &Pool<NoContext>, what: &str) {
    let ran = Arc::new(AtomicUsize::new(0));
    let spawners: Vec<_> = (0..8)
        .map(|n| {
            let (pool, ran) = (pool.clone(), ran.clone());
            std::thread::spawn(move || {
                let (mut taken, mut refused) = (0, 0);
                for round in 0..200 {
                    let ran = ran.clone();
                    let unit = move |_: &mut NoContext| {
                        ran.fetch_add(1, Ordering::Relaxed);
                        assert!((n + round) % 7 != 0, "on purpose");
                    };
                    let ticket = match round % 2 {
                        0 => pool.spawn(unit),
                        _ => Ok(pool.spawn_nowait(unit)),
                    };
                    match ticket.map(|t| t.wait_until(Instant::now() + Duration::from_secs(20))) {
                        Ok(Ok(Ok(()) | Err(TicketError::Panicked(_)))) => taken += 1,
                        Ok(Ok(Err(TicketError::NoThread(_)))) => refused += 1,
                        Err(SpawnError::NoThread(..)) => refused += 1,
                        Ok(Err(_)) => panic!("a unit is nobody's"),
                        Ok(Ok(Err(error))) => panic!("{error:?}"),
                        Err(error) => panic!("{error:?}"),
                    }
                }
                (taken, refused)
            })
        })
        .collect();
    let (mut taken, mut refused) = (0, 0);
    for spawner in spawners {
        let (t, r) = spawner.join().unwrap();
        taken += t;
        refused += r;
    }
    assert_eq!(taken + refused, 1600, "{what}");
    assert_eq!(ran.load(Ordering::Relaxed), taken, "{what}");
    println!(
        "{what}: {taken} ran, {refused} came back; {:?}",
        pool.stats()
    );
}

#[test]
fn no_unit_is_lost_when_threads_are_refused_at_random() {
    // A thousand panics on purpose need no thousand backtraces.
    std::panic::set_hook(Box::new(|_| ()));
    let creator = Creator::start().unwrap();
    let plain = || Pool::<NoContext>::builder(&creator, ()).max_idle(0);
    for per_million in [100_000, 500_000, 1_000_000] {
        fault::fail_creations(per_million);
        storm(&plain().build().unwrap(), "no cap");
        storm(&plain().cap(2, Full::Queue).build().unwrap(), "cap 2");
        fault::fail_creations(0);
        let rescue = plain().rescue().build().unwrap();
        fault::fail_creations(per_million);
        storm(&rescue, "rescue");
        assert_eq!(rescue.stats().units, 1600, "a rescue pool refuses nobody");
    }
    fault::fail_creations(0);
    let pool = plain().build().unwrap();
    assert_eq!(pool.run(|_| 1).unwrap(), 1);
}
