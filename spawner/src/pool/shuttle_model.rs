//! Whole pools under many random schedules.

use super::*;
use crate::{Close, Creator};
use rivix_sync::sys::atomic::AtomicUsize;
use rivix_sync::sys::thread;

const SCHEDULES: usize = 500;

fn pool(creator: &Creator, cap: Option<usize>) -> Pool<NoContext> {
    let mut builder = Pool::builder(creator, ()).max_idle(2);
    if let Some(cap) = cap {
        builder = builder.cap(cap, Full::Queue);
    }
    builder.build().ok().expect("a plain pool")
}

/// Several spawners, one cancelling, on one pool; then it is closed.
fn several_spawners(cap: Option<usize>) {
    let creator = Creator::start().expect("a creator");
    let pool = pool(&creator, cap);
    let ran = Arc::new(AtomicUsize::new(0));
    let spawners: Vec<_> = (0..4)
        .map(|n| {
            let (pool, ran) = (pool.clone(), ran.clone());
            let body = move || {
                for _ in 0..2 {
                    let ran = ran.clone();
                    let unit = move |_: &mut NoContext| {
                        ran.fetch_add(1, Ordering::SeqCst);
                    };
                    let ticket = pool.spawn(unit).ok().expect("a thread");
                    let is_cancelled = n == 0 && ticket.cancel();
                    assert_eq!(ticket.wait().is_err(), is_cancelled);
                    assert!(pool.stats().idle <= 2);
                    if is_cancelled {
                        ran_instead(&pool);
                    }
                }
            };
            thread::spawn("spawner", 0, body).expect("a thread")
        })
        .collect();
    spawners
        .into_iter()
        .for_each(|thread| thread.join().expect("no panic"));
    pool.close(Close::Drain);
    assert_eq!(
        (pool.stats().live, pool.shared.state.lock().unjoined),
        (0, 0)
    );
    assert!(ran.load(Ordering::SeqCst) >= 6);
    drop(pool);
    creator.close();
}

/// A cancelled unit leaves the pool able to run another.
fn ran_instead(pool: &Pool<NoContext>) {
    assert!(matches!(pool.run(|_| 1), Ok(1)));
}

#[test]
fn spawners_without_a_cap() {
    shuttle::check_pct(|| several_spawners(None), SCHEDULES, 3);
}

#[test]
fn spawners_with_a_cap() {
    shuttle::check_pct(|| several_spawners(Some(2)), SCHEDULES, 3);
}

/// Units that wait for units of the same capped pool.
#[test]
fn nested_run() {
    let body = || {
        let creator = Creator::start().expect("a creator");
        let pool = pool(&creator, Some(1));
        let (outer, inner) = (pool.clone(), pool.clone());
        let nested = pool.run(move |_| {
            let third = inner.clone();
            inner.run(move |_| third.run(|_| 3).ok()).ok().flatten()
        });
        drop(outer);
        assert!(matches!(nested, Ok(Some(3))));
        pool.close(Close::Drain);
        assert_eq!(pool.stats().live, 0);
        drop(pool);
        creator.close();
    };
    shuttle::check_pct(body, SCHEDULES, 3);
}

/// Closed from inside a unit, from outside and by a second closer at once.
#[test]
fn close_from_inside_and_outside() {
    let body = || {
        let creator = Creator::start().expect("a creator");
        let pool = pool(&creator, None);
        let own = pool.clone();
        let inside = pool.spawn(move |_| own.close(Close::Drain)).ok();
        let closers: Vec<_> = (0..2)
            .map(|_| {
                let pool = pool.clone();
                let body = move || {
                    pool.close(Close::Cancel);
                    assert_eq!(pool.shared.state.lock().unjoined, 0);
                };
                thread::spawn("closer", 0, body).expect("a thread")
            })
            .collect();
        closers
            .into_iter()
            .for_each(|thread| thread.join().expect("no panic"));
        assert!(inside.expect("a thread").wait().is_ok());
        drop(pool);
        creator.close();
    };
    shuttle::check_pct(body, SCHEDULES, 3);
}

/// A creator that is closed answers all who wait for it.
fn creators_end(cap: Option<usize>) {
    let body = move || {
        let creator = Creator::start().expect("a creator");
        let pool = pool(&creator, cap);
        let spawners: Vec<_> = (0..3)
            .map(|_| {
                let pool = pool.clone();
                let body = move || {
                    if let Ok(ticket) = pool.spawn(|_| ()) {
                        let ended = ticket.wait();
                        assert!(matches!(ended, Ok(()) | Err(TicketError::NoThread(_))));
                    }
                };
                thread::spawn("spawner", 0, body).expect("a thread")
            })
            .collect();
        creator.close();
        spawners
            .into_iter()
            .for_each(|thread| thread.join().expect("no panic"));
    };
    shuttle::check_pct(body, SCHEDULES, 3);
}

#[test]
fn spawners_against_the_creators_end() {
    creators_end(None);
}

/// Some are queued behind a thread that never comes.
#[test]
fn queued_units_against_the_creators_end() {
    creators_end(Some(1));
}

/// A unit runs before the close returns, or comes back.
#[test]
fn spawners_against_close() {
    let body = || {
        let creator = Creator::start().expect("a creator");
        let pool = pool(&creator, None);
        let counts = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
        let spawners: Vec<_> = (0..4)
            .map(|_| {
                let (pool, counts) = (pool.clone(), counts.clone());
                let body = move || {
                    let ran = counts.clone();
                    let unit = move |_: &mut NoContext| {
                        ran.0.fetch_add(1, Ordering::SeqCst);
                    };
                    if pool.spawn(unit).map(Ticket::detach).is_ok() {
                        counts.1.fetch_add(1, Ordering::SeqCst);
                    }
                };
                thread::spawn("spawner", 0, body).expect("a thread")
            })
            .collect();
        pool.close(Close::Drain);
        let ran = counts.0.load(Ordering::SeqCst);
        spawners
            .into_iter()
            .for_each(|thread| thread.join().expect("no panic"));
        assert_eq!(ran, counts.1.load(Ordering::SeqCst));
        drop(pool);
        creator.close();
    };
    shuttle::check_pct(body, SCHEDULES, 3);
}
