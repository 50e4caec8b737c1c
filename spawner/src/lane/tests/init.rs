//! Services are made once, on the runner, and several live on one lane.

use super::*;
use std::sync::Barrier;

#[test]
fn init_runs_once_under_contention() {
    let _watchdog = within(LONG);
    static INITS: AtomicUsize = AtomicUsize::new(0);
    struct Counting;
    impl Service for Counting {
        type Utilities = std::thread::ThreadId;
        fn init(_: LaneKey) -> Self {
            INITS.fetch_add(1, SeqCst);
            std::thread::sleep(Duration::from_millis(20));
            Counting
        }
        fn utilities(&self) -> std::thread::ThreadId {
            std::thread::current().id()
        }
    }
    let lanes = lanes();
    let barrier = Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                barrier.wait();
                let lane = Lane::<Counting>::new(&lanes, KEY).unwrap();
                // Made on the runner.
                let runner = lane.exclusive(|| std::thread::current().id()).unwrap();
                assert_eq!(**lane.utilities(), runner);
                assert_ne!(runner, std::thread::current().id());
            });
        }
    });
    assert_eq!(INITS.load(SeqCst), 1);
}

#[test]
fn a_panicking_init_fails_all_waiters_and_the_next_retries() {
    let _watchdog = within(LONG);
    static INITS: AtomicUsize = AtomicUsize::new(0);
    struct Fails;
    impl Service for Fails {
        type Utilities = ();
        fn init(_: LaneKey) -> Self {
            if INITS.fetch_add(1, SeqCst) == 0 {
                // Long enough that the other seven wait.
                std::thread::sleep(Duration::from_millis(200));
                panic!("no luck");
            }
            Fails
        }
        fn utilities(&self) {}
    }
    let lanes = lanes();
    let barrier = Barrier::new(8);
    let failed = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                barrier.wait();
                match Lane::<Fails>::new(&lanes, KEY) {
                    Err(LaneError::InitPanicked(text)) => {
                        assert_eq!(&*text, "no luck");
                        failed.fetch_add(1, SeqCst);
                    }
                    other => panic!("{other:?}"),
                }
            });
        }
        // Others go on meanwhile: another key, and (behind it in the queue)
        // another service of the same lane.
        scope.spawn(|| {
            barrier_free(&lanes);
        });
    });
    assert_eq!(failed.load(SeqCst), 8);
    assert_eq!(INITS.load(SeqCst), 1, "one attempt for all eight");
    Lane::<Fails>::new(&lanes, KEY).unwrap();
    assert_eq!(INITS.load(SeqCst), 2);
}

fn barrier_free(lanes: &Lanes) {
    let began = Instant::now();
    let other = Lane::<Log>::new(lanes, LaneKey::new("other", 1)).unwrap();
    other.call(|log| log.0.push(1)).unwrap();
    assert!(
        began.elapsed() < Duration::from_millis(150),
        "it waited for a stranger"
    );
}

static SHARED: std::sync::OnceLock<Lanes> = std::sync::OnceLock::new();

#[test]
fn init_may_open_other_services_and_not_itself() {
    let _watchdog = within(LONG);
    const NEST: LaneKey = LaneKey::new("nest", 0);
    struct Outer(Lane<Other>, Lane<Log>);
    impl Service for Outer {
        type Utilities = ();
        const STAGE: Stage = Stage::Upstream;
        fn init(key: LaneKey) -> Self {
            let lanes = SHARED.get().unwrap();
            let same = Lane::<Outer>::new(lanes, key);
            assert_eq!(same.err(), Some(LaneError::WouldDeadlock));
            // The other stage's runner, and this runner's own.
            let below = Lane::<Other>::new(lanes, key).unwrap();
            let far = Lane::<Log>::new(lanes, LaneKey::new("far", 0)).unwrap();
            Lane::<Inner>::new(lanes, key).unwrap();
            Outer(below, far)
        }
        fn utilities(&self) {}
    }
    struct Inner;
    impl Service for Inner {
        type Utilities = ();
        const STAGE: Stage = Stage::Upstream;
        fn init(_: LaneKey) -> Self {
            Inner
        }
        fn utilities(&self) {}
    }
    let lanes = SHARED.get_or_init(lanes);
    let lane = Lane::<Outer>::new(lanes, NEST).unwrap();
    assert_eq!(
        lane.call(|outer| outer.0.call(|other| other.0))
            .unwrap()
            .unwrap(),
        100
    );
    assert!(
        lane.call(|outer| outer.1.call(|log| log.0.is_empty()))
            .unwrap()
            .unwrap()
    );
    // From inside a unit, a service that was not there yet.
    let made = lane.call(|_| Lane::<Late>::new(lanes, NEST).map(|late| late.call(|_| 3).unwrap()));
    assert_eq!(made.unwrap(), Ok(3));
    struct Late;
    impl Service for Late {
        type Utilities = ();
        const STAGE: Stage = Stage::Upstream;
        fn init(_: LaneKey) -> Self {
            Late
        }
        fn utilities(&self) {}
    }
    lanes.close(Close::Drain).unwrap();
}

#[test]
fn insert_refuses_a_live_key_and_gives_the_service_back() {
    let _watchdog = within(LONG);
    let lanes = lanes();
    let lane = Lane::insert(&lanes, KEY, Log(vec![1])).unwrap();
    match Lane::insert(&lanes, KEY, Log(vec![2])) {
        Err(InsertError {
            error: LaneError::Live,
            service: Some(log),
        }) => assert_eq!(log.0, [2]),
        other => panic!("{other:?}"),
    }
    assert_eq!(lane.call(|log| log.0.clone()).unwrap(), [1]);
    // Another key, another state; another type, another service.
    Lane::insert(&lanes, LaneKey::new("test", 1), Log(vec![3])).unwrap();
    Lane::insert(&lanes, KEY, Other(5)).unwrap();
    assert_eq!(lane.call(|log| log.0.clone()).unwrap(), [1]);
}

#[test]
fn services_of_one_lane_share_a_runner_and_call_each_other_at_once() {
    let _watchdog = within(LONG);
    let lanes = lanes();
    let log = Lane::<Log>::new(&lanes, KEY).unwrap();
    let other = Lane::<Other>::new(&lanes, KEY).unwrap();
    let there = |lane: &Lane<Log>| lane.exclusive(|| std::thread::current().id()).unwrap();
    assert_eq!(
        there(&log),
        other.exclusive(|| std::thread::current().id()).unwrap()
    );
    let (own, second) = (log.clone(), other.clone());
    let seen = log
        .call(|log| {
            let value = second
                .call(|other| {
                    other.0 += 1;
                    // Back to the first, further down the stack.
                    assert!(matches!(own.call(|_| ()), Err(TicketError::WouldDeadlock)));
                    other.0
                })
                .unwrap();
            log.0.push(value);
            assert!(matches!(own.call(|_| ()), Err(TicketError::WouldDeadlock)));
            assert!(matches!(own.barrier(), Err(TicketError::WouldDeadlock)));
            assert_eq!(own.exclusive(|| 5).unwrap(), 5);
            let inner: Outcome<()> = second.call(|_| panic!("inner"));
            assert!(matches!(inner, Err(TicketError::Panicked(_))));
            value
        })
        .unwrap();
    assert_eq!(seen, 101);
    // Without a hop: the runner is busy.
    let release = occupy(&log);
    assert_eq!(other.utilities().load(SeqCst), 7);
    drop(release);
}

#[test]
fn upstream_waits_for_downstream() {
    struct Up;
    impl Service for Up {
        type Utilities = ();
        const STAGE: Stage = Stage::Upstream;
        fn init(_: LaneKey) -> Self {
            Up
        }
        fn utilities(&self) {}
    }
    let _watchdog = within(LONG);
    let lanes = lanes().with_capacity(1);
    let up = Lane::<Up>::new(&lanes, KEY).unwrap();
    let down = Lane::<Other>::new(&lanes, KEY).unwrap();
    let below = down.clone();
    assert_eq!(
        up.call(move |_| below.call(|other| other.0))
            .unwrap()
            .unwrap(),
        100
    );
    // The reverse is refused where it would wait: always in debug builds for calls,
    // and by giving the unit back where a full lane would have to be waited for.
    let above = up.clone();
    if cfg!(debug_assertions) {
        match down.call(move |_| above.call(|_| ())) {
            Err(TicketError::Panicked(payload)) => {
                let text = crate::payload_text(&payload);
                assert!(
                    text.contains("must not wait for an upstream lane"),
                    "{text}"
                );
            }
            other => panic!("{other:?}"),
        }
    }
    let release = occupy(&up);
    up.submit(|_| ()).unwrap();
    let above = up.clone();
    let refused = down.call(move |_| {
        above
            .submit(|_| ())
            .is_err_and(|error| matches!(error, SpawnError::Full(_)))
    });
    assert!(refused.unwrap());
    drop(release);
    up.barrier().unwrap();
    let above = up.clone();
    down.call(move |_| above.submit(|_| ()).unwrap()).unwrap();
}
