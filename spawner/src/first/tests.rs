use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

fn settle(spawner: &Spawner, done: impl Fn(SpawnerStats) -> bool) -> SpawnerStats {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let stats = spawner.stats();
        if done(stats) || Instant::now() > end {
            return stats;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A burst of blocked jobs needs a thread each; afterwards the cap holds and
/// later jobs reuse the idle.
#[test]
fn burst_then_cap_then_reuse() {
    let spawner = Spawner::new(2).unwrap();
    let gate = Arc::new(std::sync::Barrier::new(11));
    for _ in 0..10 {
        let gate = gate.clone();
        spawner
            .spawn("burst", move || {
                gate.wait();
            })
            .unwrap();
    }
    gate.wait();
    let stats = settle(&spawner, |s| s.live == 2);
    assert_eq!((stats.live, stats.idle, stats.created), (2, 2, 10));
    for _ in 0..100 {
        let (tx, rx) = std::sync::mpsc::channel();
        spawner.spawn("one", move || tx.send(()).unwrap()).unwrap();
        rx.recv().unwrap();
        settle(&spawner, |s| s.idle == 2);
    }
    assert_eq!(spawner.stats().created, 10);
}

#[test]
fn close_joins_all_and_refuses() {
    let ran = Arc::new(AtomicUsize::new(0));
    let spawner = Spawner::new(3).unwrap();
    for _ in 0..50 {
        let ran = ran.clone();
        spawner
            .spawn("job", move || {
                std::thread::sleep(Duration::from_millis(1));
                ran.fetch_add(1, Ordering::SeqCst);
            })
            .unwrap();
    }
    spawner.close();
    assert_eq!(ran.load(Ordering::SeqCst), 50);
    assert_eq!(spawner.stats().live, 0);
    assert!(matches!(
        spawner.spawn("late", || ()),
        Err(SpawnError::Closed(_))
    ));
}

#[test]
fn a_panic_kills_no_worker() {
    let spawner = Spawner::new(1).unwrap();
    spawner.spawn("bad", || panic!("on purpose")).unwrap();
    let stats = settle(&spawner, |s| s.idle == 1);
    assert_eq!((stats.idle, stats.panics, stats.live), (1, 1, 1));
}
