//! Small protocols of a pool, in every interleaving that loom finds within its
//! bounds: the real pool, creator and tickets.

use super::*;
use crate::{Close, Creator};
use rivix_sync::sys::atomic::AtomicUsize;
use rivix_sync::sys::thread;

fn check(preemptions: usize, body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 20_000;
    builder.check(body);
}

fn pool(creator: &Creator, max_idle: usize) -> Pool<NoContext> {
    let builder = Pool::builder(creator, ()).max_idle(max_idle);
    builder.build().ok().expect("a plain pool")
}

/// A parked worker's time-out against a unit for it: the unit runs once.
#[test]
fn hand_off_against_retire() {
    check(2, || {
        let creator = Creator::start().expect("a creator");
        let pool = pool(&creator, 1);
        let ran = Arc::new(AtomicUsize::new(0));
        for _ in 0..2 {
            let ran = ran.clone();
            let unit = move |_: &mut NoContext| ran.fetch_add(1, Ordering::Relaxed);
            assert!(pool.spawn(unit).ok().expect("a thread").wait().is_ok());
        }
        pool.close(Close::Drain);
        drop(pool);
        creator.close();
        assert_eq!(ran.load(Ordering::Relaxed), 2);
    });
}

/// A unit against the close: it runs before the close returns, or comes back.
#[test]
fn spawn_against_close() {
    check(2, || {
        let creator = Creator::start().expect("a creator");
        let pool = pool(&creator, 0);
        let ran = Arc::new(AtomicUsize::new(0));
        let taken = Arc::new(AtomicUsize::new(0));
        let spawner = {
            let taken = taken.clone();
            let (pool, ran) = (pool.clone(), ran.clone());
            thread::spawn("spawner", 0, move || {
                let unit = move |_: &mut NoContext| {
                    ran.fetch_add(1, Ordering::Relaxed);
                };
                let is_taken = pool.spawn(unit).map(Ticket::detach).is_ok();
                taken.store(usize::from(is_taken), Ordering::Relaxed);
            })
            .expect("a thread")
        };
        pool.close(Close::Drain);
        let ran_by_then = ran.load(Ordering::Relaxed);
        spawner.join().expect("no panic");
        assert_eq!(ran_by_then, taken.load(Ordering::Relaxed));
        assert_eq!(pool.stats().live, 0);
        drop(pool);
        creator.close();
    });
}

/// Two workers retire: each dead thread is joined, by the next or the closer.
#[test]
fn chain_reap() {
    check(2, || {
        let creator = Creator::start().expect("a creator");
        let pool = pool(&creator, 0);
        for _ in 0..2 {
            pool.spawn(|_| ()).ok().expect("a thread").detach();
        }
        pool.close(Close::Drain);
        assert_eq!(pool.shared.state.lock().unjoined, 0);
        drop(pool);
        creator.close();
    });
}
