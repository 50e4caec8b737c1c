//! One pool, its counters and its end.

use super::*;
use crate::{Close, Creator, NoContext};
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

pub(crate) fn settle<C: WorkerContext>(
    pool: &Pool<C>,
    done: impl Fn(&PoolStats) -> bool,
) -> PoolStats {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let stats = pool.stats();
        if done(&stats) || Instant::now() > end {
            return stats;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

fn pool(max_idle: usize) -> Pool {
    let creator = Creator::start().unwrap();
    Pool::<NoContext>::builder(&creator, ())
        .max_idle(max_idle)
        .build()
        .unwrap()
}

#[test]
fn burst_then_cap_then_reuse() {
    let pool = pool(2);
    let gate = Arc::new(std::sync::Barrier::new(11));
    for _ in 0..10 {
        let gate = gate.clone();
        pool.spawn(move |_| {
            gate.wait();
        })
        .unwrap()
        .detach();
    }
    gate.wait();
    let stats = settle(&pool, |s| s.live == 2 && s.idle == 2);
    assert_eq!((stats.live, stats.idle, stats.created), (2, 2, 10));
    for n in 0..100 {
        assert_eq!(pool.run(move |_| n).unwrap(), n);
        settle(&pool, |s| s.idle == 2);
    }
    assert_eq!(pool.stats().created, 10);
}

#[test]
fn close_runs_what_is_queued_and_refuses_more() {
    let ran = Arc::new(AtomicUsize::new(0));
    let creator = Creator::start().unwrap();
    let pool = Pool::<NoContext>::builder(&creator, ())
        .cap(2, Full::Queue)
        .build()
        .unwrap();
    for _ in 0..50 {
        let ran = ran.clone();
        pool.spawn(move |_| {
            std::thread::sleep(Duration::from_millis(1));
            ran.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        })
        .unwrap()
        .detach();
    }
    pool.close(Close::Drain);
    assert_eq!(ran.load(std::sync::atomic::Ordering::SeqCst), 50);
    assert_eq!(pool.stats().live, 0);
    assert!(matches!(pool.spawn(|_| ()), Err(SpawnError::Closed(_))));
    assert!(matches!(
        pool.spawn_nowait(|_| ()).wait(),
        Err(TicketError::Closed)
    ));
}

#[test]
fn a_panic_kills_no_worker() {
    let pool = pool(1);
    let ticket = pool.spawn(|_| panic!("on purpose")).unwrap();
    let Err(TicketError::Panicked(payload)) = ticket.wait() else {
        panic!("no panic arrived");
    };
    assert_eq!(crate::payload_text(&payload), "on purpose");
    let stats = settle(&pool, |s| s.idle == 1);
    assert_eq!((stats.idle, stats.panics, stats.live), (1, 1, 1));
}

#[test]
fn asynchronous_units_are_polled_to_their_end() {
    let pool = pool(1);
    let (sender, receiver) = futures::channel::oneshot::channel::<u32>();
    let ticket = pool
        .spawn_async(async move |_: &NoContext| receiver.await.unwrap_or(0) + 1)
        .unwrap();
    sender.send(41).unwrap();
    assert_eq!(futures::executor::block_on(ticket).unwrap(), 42);
}

#[test]
fn a_unit_waiting_for_itself_is_told() {
    let pool = pool(1);
    let slot: Arc<rivix_sync::Mutex<rivix_sync::level::Interlock, Option<Ticket<()>>>> =
        Arc::default();
    let own = slot.clone();
    let (tell, told) = std::sync::mpsc::channel();
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let ticket = pool
        .spawn(move |_| {
            gone.recv().unwrap();
            let ticket = own.lock().take();
            let error = ticket.map(Ticket::wait);
            tell.send(matches!(error, Some(Err(TicketError::WouldDeadlock))))
                .unwrap();
        })
        .unwrap();
    *slot.lock() = Some(ticket);
    go.send(()).unwrap();
    assert!(told.recv_timeout(Duration::from_secs(10)).unwrap());
}
