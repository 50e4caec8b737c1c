//! Every interleaving of the lane's small protocols.

use super::cells::{Cells, Found};
use super::ring::{self, Consumer, Ring};
use super::scoped;
use super::slot::Unit;
use super::stream::StreamId;
use super::{Close, Outcome};
use loom::sync::Mutex;
use loom::thread;
use std::sync::Arc;

/// What the runner has seen.
type Log = Mutex<Vec<u32>>;

struct Note(u32);

impl Unit<Log> for Note {
    fn run(self, log: &Log, _: StreamId) {
        log.lock().unwrap().push(self.0);
    }
}

fn check(threads_may_switch: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(threads_may_switch);
    builder.check(model);
}

/// The runner's loop until the ring is closed or `wanted` units have run.
fn serve(consumer: &mut Consumer<Log>, log: &Log, wanted: usize) {
    while log.lock().unwrap().len() < wanted {
        consumer.wait(None);
        let Some(taken) = consumer.take() else {
            return;
        };
        consumer.run(log);
        if taken.is_last {
            return;
        }
    }
}

fn push(ring: &Ring<Log>, number: u32) -> bool {
    ring.push_wait(StreamId::NONE, Note(number)).is_ok()
}

/// A runner about to sleep against one who publishes: it always wakes.
#[test]
fn lane_publish_against_park() {
    check(3, || {
        let (ring, mut consumer) = ring::ring::<Log>(2);
        let producer = thread::spawn(move || assert!(push(&ring, 1)));
        let log = Log::default();
        serve(&mut consumer, &log, 1);
        producer.join().unwrap();
        assert_eq!(*log.lock().unwrap(), [1]);
    });
}

/// Two producers and a runner who seals while one has reserved and not yet
/// published: nothing is lost, run twice, or read while it is written.
#[test]
fn lane_seal_against_publish() {
    check(2, || {
        let (ring, mut consumer) = ring::ring::<Log>(2);
        let first = {
            let ring = ring.clone();
            thread::spawn(move || {
                assert!(push(&ring, 10));
                assert!(push(&ring, 11));
            })
        };
        let second = thread::spawn(move || assert!(push(&ring, 20)));
        let log = Log::default();
        serve(&mut consumer, &log, 3);
        first.join().unwrap();
        second.join().unwrap();
        let mut log = log.into_inner().unwrap();
        // Each producer's order.
        let at = |number| log.iter().position(|&other| other == number).unwrap();
        assert!(at(10) < at(11), "{log:?}");
        log.sort_unstable();
        assert_eq!(log, [10, 11, 20]);
    });
}

/// A ring of one slot: producers sleep for it, and are woken with one each.
#[test]
fn lane_full_ring_hands_slots_on() {
    check(2, || {
        let (ring, mut consumer) = ring::ring::<Log>(1);
        let other = {
            let ring = ring.clone();
            thread::spawn(move || assert!(push(&ring, 10)))
        };
        let more = thread::spawn(move || {
            assert!(push(&ring, 20));
            assert!(push(&ring, 21));
        });
        let log = Log::default();
        serve(&mut consumer, &log, 3);
        other.join().unwrap();
        more.join().unwrap();
        let mut log = log.into_inner().unwrap();
        log.sort_unstable();
        assert_eq!(log, [10, 20, 21]);
    });
}

/// A close against submits: each runs or comes back, and the runner ends.
#[test]
fn lane_submit_against_close() {
    check(2, || {
        let (ring, mut consumer) = ring::ring::<Log>(1);
        let producer = {
            let ring = ring.clone();
            thread::spawn(move || [push(&ring, 1), push(&ring, 2)])
        };
        let closer = thread::spawn(move || ring.close(Close::Drain));
        let log = Log::default();
        serve(&mut consumer, &log, usize::MAX);
        closer.join().unwrap();
        let taken = producer.join().unwrap();
        let mut expected = Vec::new();
        if taken[0] {
            expected.push(1);
        }
        if taken[1] {
            expected.push(2);
        }
        assert_eq!(*log.lock().unwrap(), expected);
    });
}

/// A scoped call against a close: its borrow is written before it returns, or was
/// never touched and is free.
#[test]
fn lane_call_against_close() {
    check(2, || {
        let (ring, mut consumer) = ring::ring::<Log>(1);
        let caller = {
            let ring = ring.clone();
            thread::spawn(move || {
                let mut local = 0;
                let borrow = &mut local;
                let outcome: Outcome<u32> = scoped::run(&ring, move |_: &Log| {
                    *borrow = 7;
                    Ok(8)
                });
                match outcome {
                    Ok(value) => assert_eq!((value, local), (8, 7)),
                    Err(_) => assert_eq!(local, 0),
                }
            })
        };
        let closer = thread::spawn(move || ring.close(Close::Cancel));
        serve(&mut consumer, &Log::default(), usize::MAX);
        closer.join().unwrap();
        caller.join().unwrap();
    });
}

/// Three ask for a service whose first making fails: one failure, told to all who
/// waited for it; who asks again makes it, once.
#[test]
fn lane_init_cell() {
    check(2, || {
        let cells = Arc::new(Cells::<u8, u32, ()>::default());
        let makes = Arc::new(Mutex::new(0));
        let ask = |cells: &Cells<u8, u32, ()>, makes: &Mutex<u32>| match cells.find(0) {
            Found::Ready(value) => Ok(value),
            Found::Starting(attempt) => attempt.wait().unwrap_or(Err(())),
            Found::Mine(starter) => {
                let serial = {
                    let mut makes = makes.lock().unwrap();
                    *makes += 1;
                    *makes
                };
                let made = if serial == 1 { Err(()) } else { Ok(serial) };
                starter.end(made);
                made
            }
        };
        let others: Vec<_> = (0..2)
            .map(|_| {
                let (cells, makes) = (cells.clone(), makes.clone());
                thread::spawn(move || ask(&cells, &makes))
            })
            .collect();
        let mine = ask(&cells, &makes);
        let mut seen = vec![mine];
        seen.extend(others.into_iter().map(|other| other.join().unwrap()));
        assert!(seen.contains(&Err(())));
        assert!(seen.iter().all(|seen| matches!(seen, Err(()) | Ok(2))));
        // A failure leaves no trace; a success stays.
        assert_eq!(ask(&cells, &makes), Ok(2));
        assert_eq!(ask(&cells, &makes), Ok(2));
        assert_eq!(*makes.lock().unwrap(), 2);
    });
}
