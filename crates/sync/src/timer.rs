//! Deadlines that call back: one heap, one thread.

use crate::{Mutex, Parker, level};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Instant;

/// Something with a deadline. Called on the timer thread without locks; it must not block.
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

type Start = Box<dyn Fn(Arc<Timers>) + Send + Sync>;

/// A sandbox's deadlines. The thread that runs them starts with the first.
pub struct Timers {
    heap: Mutex<level::TimerHeap, Heap>,
    changed: Parker,
    start: Start,
}

impl Timers {
    /// `start` must arrange for [`Timers::run`] to be called on a thread of its own.
    pub fn new(start: impl Fn(Arc<Timers>) + Send + Sync + 'static) -> Arc<Timers> {
        Arc::new(Timers {
            heap: Mutex::default(),
            changed: Parker::new(),
            start: Box::new(start),
        })
    }

    /// Calls `target` once at `at`, unless it is gone or disarmed by then. May
    /// be called under locks before `TimerHeap`.
    pub fn arm(self: &Arc<Self>, at: Instant, target: Weak<dyn Expire>) -> TimerId {
        let (id, must_start, is_first) = {
            let mut heap = self.heap.lock();
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
            (self.start)(self.clone());
        } else if is_first {
            self.changed.unpark();
        }
        id
    }

    /// A callback that has begun is not waited for.
    pub fn disarm(&self, id: TimerId) {
        let removed = self.heap.lock().armed.remove(&id);
        drop(removed);
    }

    /// Runs deadlines until [`Timers::stop`].
    pub fn run(&self) {
        loop {
            let (due, next) = {
                let mut heap = self.heap.lock();
                if heap.is_stopped {
                    return;
                }
                let now = Instant::now();
                match heap.armed.first_entry() {
                    Some(first) if first.key().at <= now => (Some(first.remove()), None),
                    Some(first) => (None, Some(first.key().at)),
                    None => (None, None),
                }
            };
            match due {
                Some(target) => {
                    if let Some(target) = target.upgrade() {
                        target.expire();
                    }
                }
                None => {
                    self.changed.park_until(next);
                }
            }
        }
    }

    /// Ends the thread; armed deadlines never come.
    pub fn stop(&self) {
        let dropped = {
            let mut heap = self.heap.lock();
            heap.is_stopped = true;
            heap.is_started = true;
            std::mem::take(&mut heap.armed)
        };
        drop(dropped);
        self.changed.unpark();
    }
}

#[cfg(all(test, not(rivix_model)))]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    struct Tell(u8, mpsc::Sender<u8>);
    impl Expire for Tell {
        fn expire(&self) {
            self.1.send(self.0).unwrap();
        }
    }

    #[test]
    fn runs_in_order_and_skips_the_disarmed() {
        let timers = Timers::new(|timers| {
            std::thread::spawn(move || timers.run());
        });
        let (tx, rx) = mpsc::channel();
        let targets: Vec<Arc<dyn Expire>> = (0..4)
            .map(|n| Arc::new(Tell(n, tx.clone())) as Arc<dyn Expire>)
            .collect();
        let now = Instant::now();
        let at = |ms| now + Duration::from_millis(ms);
        timers.arm(at(40), Arc::downgrade(&targets[0]));
        timers.arm(at(10), Arc::downgrade(&targets[1]));
        let gone = timers.arm(at(20), Arc::downgrade(&targets[2]));
        timers.disarm(gone);
        timers.arm(at(30), Arc::downgrade(&targets[3]));
        let got: Vec<u8> = (0..3).map(|_| rx.recv().unwrap()).collect();
        assert_eq!(got, [1, 3, 0]);
        timers.stop();
    }
}
