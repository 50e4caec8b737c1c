//! Panics end one unit and nothing else.

use super::*;

#[test]
fn a_panicking_call_gets_its_payload_and_the_lane_lives() {
    let _watchdog = within(LONG);
    let drops = Arc::new(AtomicUsize::new(0));
    let lanes = lanes();
    let lane = Lane::<Log>::new(&lanes, KEY).unwrap();
    let spy = Spy(drops.clone());
    let result: Outcome<()> = lane.call(move |_| {
        let _spy = &spy;
        std::panic::panic_any(77u32);
    });
    match result {
        Err(TicketError::Panicked(payload)) => assert_eq!(payload.downcast_ref(), Some(&77u32)),
        other => panic!("{other:?}"),
    }
    assert_eq!(drops.load(SeqCst), 1);
    assert_eq!(lane.call(|log| log.0.len()).unwrap(), 0);
}

#[test]
fn a_panicking_exclusive_gets_its_payload_and_the_lane_lives() {
    let _watchdog = within(LONG);
    let drops = Arc::new(AtomicUsize::new(0));
    let lanes = lanes();
    let lane = Lane::<Log>::new(&lanes, KEY).unwrap();
    let spy = Spy(drops.clone());
    let result: Outcome<()> = lane.exclusive(move || {
        let _spy = &spy;
        panic!("boom");
    });
    assert!(matches!(result, Err(TicketError::Panicked(_))));
    assert_eq!(drops.load(SeqCst), 1);
    assert_eq!(lane.exclusive(|| 7).unwrap(), 7);
}

#[test]
fn a_panicking_submit_is_counted_and_the_lane_lives() {
    let _watchdog = within(LONG);
    let lanes = lanes();
    let lane = Lane::<Log>::new(&lanes, KEY).unwrap();
    for at in 0..10 {
        lane.submit(move |log| {
            assert!(at % 2 == 0, "odd");
            log.0.push(at);
        })
        .unwrap();
    }
    assert_eq!(lane.call(|log| log.0.clone()).unwrap(), [0, 2, 4, 6, 8]);
    assert_eq!(lane.stats().panicked, 5);
}

/// Panics when dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("bomb");
        }
    }
}

#[test]
fn drops_that_panic_kill_nothing() {
    let _watchdog = within(LONG);
    let lanes = lanes();
    let lane = Lane::<Log>::new(&lanes, KEY).unwrap();
    // A capture.
    let bomb = Bomb;
    lane.submit(move |_| {
        let _bomb = &bomb;
    })
    .unwrap();
    // A capture under a call: the call's panic.
    let bomb = Bomb;
    let result = lane.call(move |_| {
        let _bomb = &bomb;
    });
    assert!(matches!(result, Err(TicketError::Panicked(_))));
    // A payload that nobody takes.
    lane.submit(|_| std::panic::panic_any(Bomb)).unwrap();
    assert_eq!(lane.call(|_| 1).unwrap(), 1);
    assert_eq!(lane.stats().panicked, 2);
    // Captures of units dropped at the close, and the state itself.
    struct Fragile {
        _bomb: Bomb,
    }
    impl Service for Fragile {
        type Utilities = ();
        fn init(_: LaneKey) -> Self {
            Fragile { _bomb: Bomb }
        }
        fn utilities(&self) {}
    }
    Lane::<Fragile>::new(&lanes, KEY).unwrap();
    let release = occupy(&lane);
    let bomb = Bomb;
    lane.submit(move |_| {
        let _bomb = &bomb;
    })
    .unwrap();
    lane.shared.ring.close(Close::Cancel);
    drop(release);
    lane.close(Close::Cancel).unwrap();
}

#[test]
fn a_hook_that_panics_is_silenced_until_a_unit_runs() {
    let _watchdog = within(LONG);
    struct Broken(Arc<AtomicUsize>);
    impl Service for Broken {
        type Utilities = Arc<AtomicUsize>;
        fn init(_: LaneKey) -> Self {
            Broken(Arc::default())
        }
        fn utilities(&self) -> Arc<AtomicUsize> {
            self.0.clone()
        }
        fn next_deadline(&mut self) -> Option<Instant> {
            Some(Instant::now())
        }
        fn on_deadline(&mut self) {
            self.0.fetch_add(1, SeqCst);
            panic!("hook");
        }
    }
    let lanes = lanes();
    let lane = Lane::<Broken>::new(&lanes, KEY).unwrap();
    for _ in 0..3 {
        lane.call(|_| ()).unwrap();
    }
    std::thread::sleep(Duration::from_millis(50));
    let calls = lane.utilities().load(SeqCst);
    assert!((1..=4).contains(&calls), "{calls} calls of the hook");
    lane.close(Close::Drain).unwrap();
}
