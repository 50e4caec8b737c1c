//! Order, batches, fullness, flushes.

use super::*;

#[test]
fn state_persists_between_units() {
    let _watchdog = within(LONG);
    let lanes = lanes();
    let lane = Lane::<Log>::new(&lanes, KEY).unwrap();
    lane.submit(|log| log.0.push(1)).unwrap();
    assert_eq!(lane.call(|log| log.0.len()).unwrap(), 1);
    // The same state through another handle.
    let again = Lane::<Log>::new(&lanes, KEY).unwrap();
    assert_eq!(again.call(|log| log.0[0]).unwrap(), 1);
}

#[test]
fn a_call_borrows_from_its_callers_stack() {
    let _watchdog = within(LONG);
    let lanes = lanes();
    let lane = Lane::<Log>::new(&lanes, KEY).unwrap();
    let words = [String::from("a"), String::from("b")];
    let mut seen = Vec::new();
    let longest: &str = lane
        .call(|_| {
            seen.extend(words.iter().map(|word| word.as_str()));
            words[1].as_str()
        })
        .unwrap();
    assert_eq!((longest, seen), ("b", vec!["a", "b"]));
    let base = 42;
    assert_eq!(lane.exclusive(|| base + 8).unwrap(), 50);
}

#[test]
fn a_full_batch_needs_no_more() {
    let _watchdog = within(LONG);
    let lanes = lanes().with_capacity(32);
    let lane = Lane::<Log>::new(&lanes, KEY).unwrap();
    let release = occupy(&lane);
    let (done, is_done) = mpsc::channel();
    for at in 0..32 {
        let done = done.clone();
        lane.submit(move |log| {
            log.0.push(at);
            done.send(()).unwrap();
        })
        .unwrap();
    }
    assert!(!lane.try_submit(|_| ()), "exactly 32 fit");
    drop(release);
    for _ in 0..32 {
        is_done.recv_timeout(LONG).unwrap();
    }
    let log = lane.call(|log| log.0.clone()).unwrap();
    assert_eq!(log, (0..32).collect::<Vec<_>>());
}

#[test]
fn a_lone_unit_runs_without_a_flush_and_with_one() {
    let _watchdog = within(LONG);
    let lanes = lanes();
    let lane = Lane::<Log>::new(&lanes, KEY).unwrap();
    for flushes in [0, 1] {
        // The runner is asleep by now, or will be when the unit comes.
        std::thread::sleep(Duration::from_millis(20));
        let (done, is_done) = mpsc::channel();
        lane.submit(move |_| done.send(()).unwrap()).unwrap();
        for _ in 0..flushes {
            lane.flush();
        }
        is_done.recv_timeout(Duration::from_secs(1)).unwrap();
    }
}

#[test]
fn a_million_flushes_during_a_long_unit_lose_nothing() {
    let _watchdog = within(LONG);
    let lanes = lanes();
    let lane = Lane::<Log>::new(&lanes, KEY).unwrap();
    let release = occupy(&lane);
    for round in 0..100u64 {
        lane.submit(move |log| log.0.push(round)).unwrap();
        for _ in 0..20_000 {
            lane.flush();
        }
    }
    drop(release);
    let log = lane.call(|log| log.0.clone()).unwrap();
    assert_eq!(log, (0..100).collect::<Vec<_>>());
}

#[test]
fn generations_wrap_in_order() {
    use super::super::ring;
    use super::super::slot::Unit;
    let _watchdog = within(LONG);

    struct Push(u64);
    impl Unit<std::sync::Mutex<Vec<u64>>> for Push {
        fn run(self, log: &std::sync::Mutex<Vec<u64>>, _: StreamId) {
            log.lock().unwrap().push(self.0);
        }
    }
    // Three before the counter of 31 bits is back at zero.
    let (ring, mut consumer) = ring::ring_from(1, (1 << 31) - 3);
    let runner = std::thread::spawn(move || {
        let log = std::sync::Mutex::default();
        let mut generations = Vec::new();
        loop {
            consumer.wait(None);
            let taken = consumer.take().unwrap();
            consumer.run(&log);
            generations.push(taken.generation);
            if taken.is_last {
                return (log.into_inner().unwrap(), generations);
            }
        }
    });
    for at in 0..1000 {
        assert!(ring.push_wait(StreamId::NONE, Push(at)).is_ok());
        for _ in 0..1000 {
            ring.wake();
        }
    }
    ring.close(Close::Drain);
    let (log, generations) = runner.join().unwrap();
    assert_eq!(log, (0..1000).collect::<Vec<_>>());
    assert_eq!(
        generations[..4],
        [(1 << 31) - 3, (1 << 31) - 2, (1 << 31) - 1, 0]
    );
}

#[test]
fn each_producers_order_is_kept_through_a_full_ring() {
    let _watchdog = within(LONG);
    const PRODUCERS: u64 = 8;
    const EACH: u64 = 20_000;
    for capacity in [1, 3, 1024] {
        let each = if capacity == 1024 { EACH } else { EACH / 10 };
        let lanes = lanes().with_capacity(capacity);
        let lane = Lane::<Log>::new(&lanes, KEY).unwrap();
        std::thread::scope(|scope| {
            for producer in 0..PRODUCERS {
                let lane = lane.clone();
                scope.spawn(move || {
                    for at in 0..each {
                        lane.submit(move |log| log.0.push(producer << 32 | at))
                            .unwrap();
                    }
                });
            }
        });
        let log = lane.call(|log| std::mem::take(&mut log.0)).unwrap();
        assert_eq!(log.len() as u64, PRODUCERS * each);
        let mut next = [0; PRODUCERS as usize];
        for entry in log {
            let producer = (entry >> 32) as usize;
            assert_eq!(entry & 0xffff_ffff, next[producer]);
            next[producer] += 1;
        }
    }
}

#[test]
fn who_waits_for_a_slot_gets_it_in_turn() {
    let _watchdog = within(LONG);
    let lanes = lanes().with_capacity(1);
    let lane = Lane::<Log>::new(&lanes, KEY).unwrap();
    let release = occupy(&lane);
    lane.submit(|log| log.0.push(0)).unwrap();
    let mut threads = Vec::new();
    for at in 1..6 {
        let other = lane.clone();
        threads.push(std::thread::spawn(move || {
            other.submit(move |log| log.0.push(at)).unwrap();
        }));
        // Each has queued before the next comes.
        let since = Instant::now();
        while lane.shared.ring.waiting() < at as usize {
            assert!(since.elapsed() < LONG);
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    drop(release);
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(lane.call(|log| log.0.clone()).unwrap(), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn units_from_the_runner_queue_behind_what_is_there() {
    let _watchdog = within(LONG);
    for capacity in [1, 2, 4, 64] {
        let lanes = lanes().with_capacity(capacity);
        let lane = Lane::<Log>::new(&lanes, KEY).unwrap();
        let own = lane.clone();
        let release = occupy(&lane);
        // The first unit submits more than fits; each of those submits one more.
        lane.submit(move |log| {
            log.0.push(1000);
            for at in 0..20 {
                let again = own.clone();
                own.submit(move |log: &mut Log| {
                    log.0.push(at);
                    again
                        .submit(move |log: &mut Log| log.0.push(100 + at))
                        .unwrap();
                })
                .unwrap();
            }
            assert_eq!(log.0, [1000], "none ran at once");
        })
        .unwrap();
        drop(release);
        lane.barrier().unwrap();
        // The second generation is behind what one barrier can see.
        let mut log = Vec::new();
        for _ in 0..1000 {
            log = lane.call(|log| log.0.clone()).unwrap();
            if log.len() == 41 {
                break;
            }
        }
        let expected: Vec<u64> = [1000].into_iter().chain(0..20).chain(100..120).collect();
        assert_eq!(log, expected, "capacity {capacity}");
    }
}

#[test]
fn a_lossy_submit_counts_what_it_drops() {
    let _watchdog = within(LONG);
    let drops = Arc::new(AtomicUsize::new(0));
    let lanes = lanes().with_capacity(16);
    let lane = Lane::<Log>::new(&lanes, KEY).unwrap();
    let release = occupy(&lane);
    let mut taken = 0;
    for at in 0..100 {
        let spy = Spy(drops.clone());
        taken += u64::from(lane.try_submit(move |log| {
            let _spy = spy;
            log.0.push(at);
        }));
    }
    assert_eq!((taken, lane.stats().dropped), (16, 84));
    assert_eq!(drops.load(SeqCst), 84);
    drop(release);
    assert_eq!(lane.call(|log| log.0.len()).unwrap(), 16);
    assert_eq!(drops.load(SeqCst), 100);
    lane.close(Close::Drain).unwrap();
    assert!(!lane.try_submit(|_| ()));
    assert_eq!(lane.stats().dropped, 85);
}

#[test]
fn a_lossy_submit_from_the_runner_does_not_overtake() {
    let _watchdog = within(LONG);
    let lanes = lanes().with_capacity(2);
    let lane = Lane::<Log>::new(&lanes, KEY).unwrap();
    let own = lane.clone();
    lane.call(move |_| {
        let mut kept = 0;
        for at in 0..5 {
            own.submit(move |log: &mut Log| log.0.push(at)).unwrap();
            kept += u32::from(own.try_submit(move |log: &mut Log| log.0.push(at)));
        }
        assert!(kept <= 1, "it has no slot of its own to skip to");
    })
    .unwrap();
    for _ in 0..10 {
        lane.barrier().unwrap();
    }
    let log = lane.call(|log| log.0.clone()).unwrap();
    assert!(log.is_sorted() && log.len() <= 6, "{log:?}");
}

#[test]
fn the_callers_stream_is_carried() {
    let _watchdog = within(LONG);
    let lanes = lanes();
    let lane = Lane::<Log>::new(&lanes, KEY).unwrap();
    StreamId(5).scope(|| {
        lane.submit(|log| log.0.push(StreamId::current().0))
            .unwrap();
        lane.try_submit(|log| log.0.push(StreamId::current().0));
        assert_eq!(lane.call(|_| StreamId::current()).unwrap(), StreamId(5));
        assert_eq!(lane.exclusive(StreamId::current).unwrap(), StreamId(5));
        StreamId(6).scope(|| {
            lane.submit(|log| log.0.push(StreamId::current().0))
                .unwrap()
        });
    });
    assert_eq!(StreamId::current(), StreamId::NONE);
    lane.submit(|log| log.0.push(StreamId::current().0))
        .unwrap();
    assert_eq!(lane.call(|log| log.0.clone()).unwrap(), [5, 5, 6, 0]);
    // From unit to unit, too.
    let own = lane.clone();
    StreamId(8).scope(|| {
        lane.call(move |_| own.submit(|log| log.0.push(StreamId::current().0)).unwrap())
            .unwrap();
    });
    assert_eq!(lane.call(|log| log.0.pop()).unwrap(), Some(8));
}
