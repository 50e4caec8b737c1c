//! Panics stay where they belong.

use crate::{builder, settle};
use rivix_spawner::{Close, Full, NoContext, TicketError, payload_text};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

struct PanicsAtDrop(&'static str);

impl Drop for PanicsAtDrop {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            std::panic::panic_any(self.0);
        }
    }
}

#[test]
fn panics_in_unit_capture_payload_and_result_kill_nothing() {
    let pool = builder("panics").max_idle(1).build().unwrap();
    let in_unit = pool.spawn(|_| panic!("in the unit")).unwrap().wait();
    let Err(TicketError::Panicked(payload)) = in_unit else {
        panic!("no payload");
    };
    assert_eq!(payload_text(&payload), "in the unit");

    let capture = PanicsAtDrop("in a capture");
    let in_capture = pool.spawn(move |_| drop(capture)).unwrap().wait();
    assert!(matches!(in_capture, Err(TicketError::Panicked(_))));

    // Nobody reads these: the payload and the result are dropped by the pool.
    let carries = |_: &mut NoContext| std::panic::panic_any(PanicsAtDrop("in a payload"));
    pool.spawn(move |c| carries(c)).unwrap().detach();
    pool.spawn(|_| PanicsAtDrop("in a result"))
        .unwrap()
        .detach();
    let later = pool.spawn(|_| PanicsAtDrop("in a result")).unwrap();
    settle(&pool, |s| s.idle == 1 && s.running == 0);
    later.detach();

    let stats = settle(&pool, |s| s.idle == 1 && s.live == 1);
    assert_eq!(stats.panics, 3);
    assert_eq!(pool.run(|_| 1).unwrap(), 1);
}

#[test]
fn the_counters_change_the_same_on_both_exits() {
    let pool = builder("exits")
        .cap(2, Full::Queue)
        .max_idle(2)
        .build()
        .unwrap();
    for n in 0..1000 {
        let unit = move |_: &mut NoContext| assert!(n % 2 == 0, "on purpose");
        let ended = pool.spawn(unit).unwrap().wait();
        assert_eq!(ended.is_ok(), n % 2 == 0);
    }
    let stats = settle(&pool, |s| s.running == 0);
    assert_eq!((stats.units, stats.panics), (1000, 500));
    assert!(stats.live <= 2 && stats.live == stats.idle, "{stats:?}");
    pool.close(Close::Drain);
    assert_eq!(pool.stats().live, 0);
}

/// Counts its drops.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn captures_are_dropped_once_before_the_ticket_resolves() {
    let pool = builder("captures").build().unwrap();
    for does_panic in [false, true] {
        let drops = Arc::new(AtomicUsize::new(0));
        let counted = Counted(drops.clone());
        let unit = move |_: &mut NoContext| {
            let _counted = &counted;
            assert!(!does_panic, "on purpose");
        };
        let ended = pool.spawn(unit).unwrap().wait();
        assert_eq!(drops.load(Ordering::SeqCst), 1);
        assert_eq!(ended.is_err(), does_panic);
    }
}

#[test]
fn cancelled_work_drops_its_captures_on_the_canceller() {
    let pool = builder("canceller").cap(1, Full::Queue).build().unwrap();
    let gate = crate::Gate::default();
    let held = gate.clone();
    let first = pool.spawn(move |_| held.pass()).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let notice = Told(tell);
    let queued = pool.spawn(move |_| drop(notice)).unwrap();
    assert!(queued.cancel());
    assert_eq!(told.try_recv(), Ok(std::thread::current().id()));
    assert!(!queued.cancel());
    assert!(matches!(queued.wait(), Err(TicketError::Cancelled)));
    settle(&pool, |s| s.running == 1);
    gate.open();
    first.wait().unwrap();
    let began = pool.spawn(|_| 1).unwrap();
    while !began.is_finished() {
        std::thread::yield_now();
    }
    assert!(!began.cancel(), "it has run");
    assert_eq!(began.wait().unwrap(), 1);
}

struct Told(std::sync::mpsc::Sender<std::thread::ThreadId>);

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.0.send(std::thread::current().id());
    }
}
