//! Deadlines that call back, served by a lane.

use crate::lane::{Close, Lane, LaneKey, Lanes, Service};
use rivix_sync::{Mutex, level};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

/// Something with a deadline. Called on the timers' runner without locks; it must not block.
pub trait Expire: Send + Sync {
    fn expire(&self);
}

/// An armed deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimerId {
    at: Instant,
    serial: u64,
}

#[derive(Default)]
struct Heap {
    armed: BTreeMap<TimerId, Weak<dyn Expire>>,
    serial: u64,
    is_started: bool,
    is_stopped: bool,
}

/// What the runner and those who arm share.
#[derive(Default)]
struct Shared {
    heap: Mutex<level::TimerHeap, Heap>,
    lane: OnceLock<Lane<Wheel>>,
}

/// The service: it parks until the first deadline.
struct Wheel(Arc<Shared>);

impl Service for Wheel {
    type Utilities = ();

    fn init(_: LaneKey) -> Self {
        Wheel(Arc::default())
    }

    fn utilities(&self) {}

    fn next_deadline(&mut self) -> Option<Instant> {
        let heap = self.0.heap.lock();
        heap.armed.first_key_value().map(|(first, _)| first.at)
    }

    fn on_deadline(&mut self) {
        while let Some(target) = self.0.take_due() {
            if let Some(target) = target.upgrade() {
                target.expire();
            }
        }
    }
}

impl Shared {
    fn take_due(&self) -> Option<Weak<dyn Expire>> {
        let mut heap = self.heap.lock();
        let first = heap.armed.first_entry()?;
        (first.key().at <= Instant::now()).then(|| first.remove())
    }
}

type Start = Box<dyn Fn(Box<dyn FnOnce() + Send>) + Send + Sync>;

/// One owner's deadlines. The lane that serves them opens with the first.
pub struct Timers {
    shared: Arc<Shared>,
    lanes: Arc<Lanes>,
    start: Start,
}

const KEY: LaneKey = LaneKey::new("timers", 0);

impl Timers {
    /// Deadlines served by a lane of `lanes`. `start` runs what opens it, on some
    /// other thread and without waiting for it: the first deadline may be armed
    /// by somebody who holds locks.
    pub fn new(
        lanes: Arc<Lanes>,
        start: impl Fn(Box<dyn FnOnce() + Send>) + Send + Sync + 'static,
    ) -> Arc<Timers> {
        Arc::new(Timers {
            shared: Arc::default(),
            lanes,
            start: Box::new(start),
        })
    }

    /// Calls `target` once at `at`, unless it is gone or disarmed by then. May
    /// be called under locks before `TimerHeap`; never waits.
    pub fn arm(&self, at: Instant, target: Weak<dyn Expire>) -> TimerId {
        let (id, must_start, is_first) = {
            let mut heap = self.shared.heap.lock();
            heap.serial += 1;
            let id = TimerId {
                at,
                serial: heap.serial,
            };
            let is_first = heap
                .armed
                .first_key_value()
                .is_none_or(|(first, _)| id < *first);
            heap.armed.insert(id, target);
            (id, !std::mem::replace(&mut heap.is_started, true), is_first)
        };
        if must_start {
            self.open();
        } else if is_first && let Some(lane) = self.shared.lane.get() {
            // It looks for the first deadline again before it sleeps. A full lane is awake.
            lane.try_submit(|_| ());
        }
        id
    }

    /// A callback that has begun is not waited for.
    pub fn disarm(&self, id: TimerId) {
        let removed = self.shared.heap.lock().armed.remove(&id);
        drop(removed);
    }

    fn open(&self) {
        let (shared, lanes) = (self.shared.clone(), self.lanes.clone());
        (self.start)(Box::new(move || {
            let opened = Lane::insert(&lanes, KEY, Wheel(shared.clone()));
            match opened {
                Ok(lane) => {
                    let _ = shared.lane.set(lane.clone());
                    // Deadlines armed between the runner's first look and this line.
                    lane.try_submit(|_| ());
                    if shared.heap.lock().is_stopped {
                        let _ = lane.close(Close::Cancel);
                    }
                }
                // Closed before it was opened: nobody waits for a deadline any more.
                Err(_) if shared.heap.lock().is_stopped => {}
                Err(error) => {
                    tracing::error!(%error, "no lane for timers: they will not fire");
                }
            }
        }));
    }

    /// Ends the lane and waits for it, except on the lane itself; armed
    /// deadlines never come.
    pub fn stop(&self) {
        let dropped = {
            let mut heap = self.shared.heap.lock();
            heap.is_stopped = true;
            heap.is_started = true;
            std::mem::take(&mut heap.armed)
        };
        drop(dropped);
        if let Some(lane) = self.shared.lane.get() {
            let _ = lane.close(Close::Cancel);
        }
    }
}

#[cfg(all(test, not(rivix_model)))]
mod tests {
    use super::*;
    use crate::{Creator, NoContext, Pool};
    use std::sync::mpsc;
    use std::time::Duration;

    struct Tell(u8, mpsc::Sender<u8>);
    impl Expire for Tell {
        fn expire(&self) {
            let _ = self.1.send(self.0);
        }
    }

    fn timers() -> (Pool, Arc<Timers>) {
        let creator = Creator::start().unwrap();
        let pool = Pool::<NoContext>::builder(&creator, ()).build().unwrap();
        let starter = pool.clone();
        let timers = Timers::new(Arc::new(Lanes::on(&pool)), move |open| {
            starter.spawn_nowait(|_| open()).detach();
        });
        (pool, timers)
    }

    #[test]
    fn runs_in_order_and_skips_the_disarmed() {
        let (_pool, timers) = timers();
        let (tx, rx) = mpsc::channel();
        let targets: Vec<Arc<dyn Expire>> = (0..4)
            .map(|n| Arc::new(Tell(n, tx.clone())) as Arc<dyn Expire>)
            .collect();
        let now = Instant::now();
        let at = |ms| now + Duration::from_millis(ms);
        timers.arm(at(80), Arc::downgrade(&targets[0]));
        timers.arm(at(20), Arc::downgrade(&targets[1]));
        let gone = timers.arm(at(40), Arc::downgrade(&targets[2]));
        timers.disarm(gone);
        timers.arm(at(60), Arc::downgrade(&targets[3]));
        let limit = Duration::from_secs(10);
        let got: Vec<u8> = (0..3).map(|_| rx.recv_timeout(limit).unwrap()).collect();
        assert_eq!(got, [1, 3, 0]);
        timers.stop();
    }

    /// An earlier deadline than the one the runner sleeps for wakes it.
    #[test]
    fn an_earlier_deadline_comes_first() {
        let (_pool, timers) = timers();
        let (tx, rx) = mpsc::channel();
        let targets: Vec<Arc<dyn Expire>> = (0..2)
            .map(|n| Arc::new(Tell(n, tx.clone())) as Arc<dyn Expire>)
            .collect();
        let now = Instant::now();
        timers.arm(now + Duration::from_secs(60), Arc::downgrade(&targets[0]));
        std::thread::sleep(Duration::from_millis(20));
        timers.arm(now + Duration::from_millis(30), Arc::downgrade(&targets[1]));
        assert_eq!(rx.recv_timeout(Duration::from_secs(10)), Ok(1));
        timers.stop();
    }
}
