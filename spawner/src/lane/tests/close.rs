//! The end of lanes, and of runners that never were.

use super::*;

#[test]
fn a_drain_runs_what_is_queued() {
    let _watchdog = within(LONG);
    let ran = Arc::new(AtomicUsize::new(0));
    let lanes = lanes();
    let lane = Lane::<Log>::new(&lanes, KEY).unwrap();
    let release = occupy(&lane);
    for _ in 0..100 {
        let ran = ran.clone();
        lane.submit(move |_| {
            ran.fetch_add(1, SeqCst);
        })
        .unwrap();
    }
    // A unit that submits while draining gets its unit back.
    let (own, refused) = (lane.clone(), ran.clone());
    lane.submit(move |_| {
        let counter = refused.clone();
        match own.submit(move |_| {
            counter.fetch_add(1000, SeqCst);
        }) {
            Err(SpawnError::Closed(_)) => refused.fetch_add(1, SeqCst),
            _ => 0,
        };
    })
    .unwrap();
    lane.shared.ring.close(Close::Drain);
    drop(release);
    lane.close(Close::Drain).unwrap();
    assert_eq!(ran.load(SeqCst), 101);
    assert!(matches!(lane.submit(|_| ()), Err(SpawnError::Closed(_))));
    assert!(matches!(lane.call(|_| ()), Err(TicketError::Closed)));
    assert!(matches!(lane.barrier(), Err(TicketError::Closed)));
}

#[test]
fn a_closed_key_gets_a_fresh_runner_and_fresh_state() {
    let _watchdog = within(LONG);
    let lanes = lanes();
    let mut former = None;
    for _ in 0..5 {
        let lane = Lane::<Log>::new(&lanes, KEY).unwrap();
        let runner = lane.exclusive(|| std::thread::current().id()).unwrap();
        assert_ne!(former.replace(runner), Some(runner));
        assert_eq!(lane.call(|log| log.0.len()).unwrap(), 0);
        lane.submit(|log| log.0.push(1)).unwrap();
        lane.close(Close::Drain).unwrap();
        lane.close(Close::Cancel).unwrap();
    }
    // One that is closing is waited for.
    let lane = Lane::<Log>::new(&lanes, KEY).unwrap();
    let release = occupy(&lane);
    let soon = Instant::now() + Duration::from_millis(20);
    assert_eq!(
        lane.close_until(Close::Drain, Some(soon)),
        Err(LaneError::TimedOut)
    );
    std::thread::scope(|scope| {
        let fresh = scope.spawn(|| Lane::<Log>::new(&lanes, KEY).unwrap());
        std::thread::sleep(Duration::from_millis(20));
        assert!(!fresh.is_finished());
        drop(release);
        let fresh = fresh.join().unwrap();
        assert!(fresh.call(|log| log.0.is_empty()).unwrap());
    });
    assert!(lanes.stats().len() == 1);
}

#[test]
fn closing_from_the_own_runner_is_refused() {
    let _watchdog = within(LONG);
    let lanes = Arc::new(lanes());
    let lane = Lane::<Log>::new(&lanes, KEY).unwrap();
    let (own, set) = (lane.clone(), lanes.clone());
    lane.call(move |_| {
        assert_eq!(own.close(Close::Drain), Err(LaneError::WouldDeadlock));
        assert_eq!(set.close(Close::Drain), Err(LaneError::WouldDeadlock));
    })
    .unwrap();
    assert_eq!(lane.call(|_| 1).unwrap(), 1, "nothing was closed");
    // The last handle of the set goes on the runner: marked, not waited for.
    let (dropped, is_dropped) = mpsc::channel();
    lane.submit(move |_| {
        drop(lanes);
        dropped.send(()).unwrap();
    })
    .unwrap();
    is_dropped.recv_timeout(LONG).unwrap();
    assert!(lane.shared.wait_ended(Some(Instant::now() + LONG)));
    assert!(lane.submit(|_| ()).is_err());
}

#[test]
fn a_close_under_scoped_calls_ends_each_with_its_borrows_gone() {
    let _watchdog = within(LONG);
    for round in 0..50 {
        let lanes = lanes().with_capacity(4);
        let lane = Lane::<Log>::new(&lanes, KEY).unwrap();
        let drops = Arc::new(AtomicUsize::new(0));
        let ran = AtomicUsize::new(0);
        let refused = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let release = occupy(&lane);
            // More callers than slots: some wait for a slot when the close comes.
            for _ in 0..8 {
                scope.spawn(|| {
                    let mut local = [0u64; 16];
                    let spy = Spy(drops.clone());
                    let borrow = &mut local;
                    let before = ran.load(SeqCst);
                    let outcome = lane.call(|_| {
                        let _spy = spy;
                        borrow[15] = 1;
                        ran.fetch_add(1, SeqCst);
                    });
                    let _ = before;
                    match outcome {
                        Ok(()) => assert_eq!(local[15], 1),
                        Err(TicketError::Closed) => {
                            assert_eq!(local[15], 0);
                            refused.fetch_add(1, SeqCst);
                        }
                        other => panic!("{other:?}"),
                    }
                });
            }
            let mode = if round % 2 == 0 {
                Close::Cancel
            } else {
                Close::Drain
            };
            std::thread::sleep(Duration::from_micros(round * 40));
            lane.shared.ring.close(mode);
            drop(release);
            lane.close(mode).unwrap();
        });
        assert_eq!(drops.load(SeqCst), 8);
        assert_eq!(ran.load(SeqCst) + refused.load(SeqCst), 8);
    }
}

/// A host whose thread gives up before it runs what it was given.
#[test]
fn a_runner_that_dies_unborn_fails_its_callers() {
    let _watchdog = within(LONG);
    let lanes = Lanes::new(|_: &str, body: Box<dyn FnOnce() + Send>| {
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            drop(body);
        });
        Ok(Box::new(move || thread.join().unwrap()) as Join)
    });
    let died = LaneError::NoThread(Errno::ECANCELED);
    assert_eq!(Lane::<Log>::new(&lanes, KEY).err(), Some(died));
}

#[test]
fn a_refusing_host_is_an_error_and_may_recover() {
    let _watchdog = within(LONG);
    let refusals = AtomicUsize::new(3);
    let lanes = Lanes::new(move |name: &str, body: Box<dyn FnOnce() + Send>| {
        let left = refusals.load(SeqCst);
        refusals.store(left.saturating_sub(1), SeqCst);
        match left {
            3 => Err(Errno::EAGAIN),
            2 => panic!("host"),
            1 => {
                drop(body);
                Err(Errno::ENOMEM)
            }
            _ => host(name, body),
        }
    });
    for errno in [Errno::EAGAIN, Errno::EIO, Errno::ENOMEM] {
        let refused = Lane::<Log>::new(&lanes, KEY);
        assert_eq!(refused.err(), Some(LaneError::NoThread(errno)));
    }
    let lane = Lane::insert(&lanes, KEY, Log(vec![4])).unwrap();
    assert_eq!(lane.call(|log| log.0[0]).unwrap(), 4);
}

/// Should the loop itself be unwound, what is queued is dropped, not stranded.
#[test]
fn a_body_dropped_with_units_queued_drops_them() {
    let _watchdog = within(LONG);
    let (shared, body) = Shared::new(KEY, Stage::Downstream, 8);
    let drops = Arc::new(AtomicUsize::new(0));
    for _ in 0..5 {
        let spy = Spy(drops.clone());
        let unit = Post::<Log, _>::new(move |_: &mut Log| drop(spy));
        assert!(shared.ring.push(StreamId::NONE, unit).is_ok());
    }
    std::thread::scope(|scope| {
        let mut local = 0;
        let ring = &shared.ring;
        let call = scope.spawn(move || {
            scoped::run(ring, |_: &local::Local| {
                local += 1;
                Ok(local)
            })
        });
        std::thread::sleep(Duration::from_millis(10));
        drop(body);
        assert!(matches!(call.join().unwrap(), Err(TicketError::Closed)));
    });
    assert_eq!(drops.load(SeqCst), 5);
    assert!(shared.has_ended());
}

#[test]
fn dropping_the_set_drains_and_drops_services_on_their_runner() {
    let _watchdog = within(LONG);
    struct Last(Arc<std::sync::Mutex<Vec<std::thread::ThreadId>>>);
    impl Service for Last {
        type Utilities = ();
        fn init(_: LaneKey) -> Self {
            unreachable!("it is inserted")
        }
        fn utilities(&self) {}
    }
    impl Drop for Last {
        fn drop(&mut self) {
            self.0.lock().unwrap().push(std::thread::current().id());
        }
    }
    let ended = Arc::new(std::sync::Mutex::new(Vec::new()));
    let lanes = lanes();
    let lane = Lane::insert(&lanes, KEY, Last(ended.clone())).unwrap();
    let runner = lane.exclusive(|| std::thread::current().id()).unwrap();
    drop(lanes);
    assert_eq!(*ended.lock().unwrap(), [runner]);
    assert!(lane.is_closed());
}

/// Who gave up waiting does not wait after all, when the set is dropped.
#[test]
fn dropping_a_set_that_was_given_up_waits_for_nothing() {
    let _watchdog = within(LONG);
    let lanes = lanes();
    let lane = Lane::<Log>::new(&lanes, KEY).unwrap();
    let release = occupy(&lane);
    let soon = Instant::now() + Duration::from_millis(20);
    assert_eq!(lanes.close_until(Close::Drain, Some(soon)), Err(vec![KEY]));
    // The unit ends only after the drop: one that waited would wait for it.
    drop(lanes);
    drop(release);
}

#[test]
fn submits_against_a_close_run_or_come_back() {
    let _watchdog = within(LONG);
    for round in 0..200 {
        let lanes = lanes().with_capacity(8);
        let lane = Lane::<Log>::new(&lanes, KEY).unwrap();
        let ran = Arc::new(AtomicUsize::new(0));
        let (taken, back) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let ran = ran.clone();
                        let submitted = lane.submit(move |_| {
                            ran.fetch_add(1, SeqCst);
                        });
                        match submitted {
                            Ok(()) => taken.fetch_add(1, SeqCst),
                            Err(SpawnError::Closed(_)) => back.fetch_add(1, SeqCst),
                            Err(other) => panic!("{other:?}"),
                        };
                    }
                });
            }
            std::thread::sleep(Duration::from_micros(round));
            lane.close(Close::Drain).unwrap();
        });
        assert_eq!(taken.load(SeqCst) + back.load(SeqCst), 600);
        assert_eq!(ran.load(SeqCst), taken.load(SeqCst));
    }
}
