//! Which workers sleep, and which of them a new item wakes.
//!
//! The rule that no wake is lost: who adds work publishes it, fences, and looks
//! for searchers and sleepers; who goes to sleep registers, fences, looks for
//! work again, and parks. One of the two sees the other.
//!
//! A worker that looks for work elsewhere is a *searcher*. New work wakes a
//! sleeper only when nobody searches, and the woken one is a searcher from that
//! moment. The last searcher, when it takes its first item or gives up, looks
//! whether more is there and wakes the next: one item wakes one thread, a
//! thousand items wake them all.

use rivix_sync::sys::atomic::{AtomicU64, Ordering, fence};
use rivix_sync::sys::mutant;
use rivix_sync::{Mutex, level};

const SEARCHER: u64 = 1;
const SLEEPER: u64 = 1 << 32;

pub(super) struct Idle {
    /// Searchers below, sleepers above.
    word: AtomicU64,
    /// The sleepers, the latest on top: its caches are the warmest.
    stack: Mutex<level::Executor, Vec<usize>>,
    /// How many sleepers new work has woken, ever.
    wakes: AtomicU64,
}

/// What a worker sees when it has registered as a sleeper.
#[derive(Clone, Copy, Debug)]
pub(super) struct Registered {
    pub(super) sleepers: usize,
    /// Others search, and will look again before they stop.
    pub(super) is_searched: bool,
}

impl Registered {
    /// Is there work that nobody else will look for?
    pub(super) fn must_stay(self, has_work: impl FnOnce() -> bool) -> bool {
        !mutant("executor-blind-sleep") && !self.is_searched && has_work()
    }
}

fn searchers(word: u64) -> usize {
    (word & (SLEEPER - 1)) as usize
}

fn sleepers(word: u64) -> usize {
    (word / SLEEPER) as usize
}

impl Idle {
    pub(super) fn new(most: usize) -> Self {
        Idle {
            word: AtomicU64::new(0),
            stack: Mutex::new(Vec::with_capacity(most)),
            wakes: AtomicU64::new(0),
        }
    }

    /// Work was published: takes a sleeper to wake, if one is needed. It counts
    /// as a searcher already; the caller unparks it.
    pub(super) fn choose(&self) -> Option<usize> {
        if !mutant("executor-no-publish-fence") {
            fence(Ordering::SeqCst);
        }
        let word = self.word.load(Ordering::Relaxed);
        if searchers(word) > 0 || sleepers(word) == 0 {
            return None;
        }
        let mut stack = self.stack.lock();
        if searchers(self.word.load(Ordering::Relaxed)) > 0 {
            // Another producer has woken one meanwhile.
            return None;
        }
        let worker = stack.pop()?;
        self.word
            .fetch_add(SEARCHER.wrapping_sub(SLEEPER), Ordering::AcqRel);
        self.wakes.fetch_add(1, Ordering::Relaxed);
        Some(worker)
    }

    /// A worker wants to search; false: half of the workers do already.
    pub(super) fn start_search(&self, workers: usize) -> bool {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if 2 * searchers(word) >= workers.max(1) {
                return false;
            }
            match self.word.compare_exchange_weak(
                word,
                word + SEARCHER,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
    }

    /// The end of a search; true: nobody searches now, so the caller looks
    /// whether there is work (a fence was passed).
    pub(super) fn stop_search(&self) -> bool {
        let before = self.word.fetch_sub(SEARCHER, Ordering::AcqRel);
        fence(Ordering::SeqCst);
        searchers(before) == 1
    }

    /// `worker` is about to sleep. Afterwards it looks for work once more (a
    /// fence was passed), then parks; and calls `unregister` when it is awake.
    pub(super) fn register(&self, worker: usize) -> Registered {
        let mut stack = self.stack.lock();
        stack.push(worker);
        let word = self.word.fetch_add(SLEEPER, Ordering::AcqRel) + SLEEPER;
        drop(stack);
        fence(Ordering::SeqCst);
        Registered {
            sleepers: sleepers(word),
            is_searched: searchers(word) > 0,
        }
    }

    /// `worker` is awake. False: new work chose it, so it is a searcher.
    pub(super) fn unregister(&self, worker: usize) -> bool {
        let mut stack = self.stack.lock();
        let Some(place) = stack.iter().rposition(|&other| other == worker) else {
            return false;
        };
        stack.remove(place);
        self.word.fetch_sub(SLEEPER, Ordering::AcqRel);
        true
    }

    pub(super) fn sleepers(&self) -> usize {
        sleepers(self.word.load(Ordering::Relaxed))
    }

    pub(super) fn wakes(&self) -> u64 {
        self.wakes.load(Ordering::Relaxed)
    }
}

#[cfg(all(test, rivix_loom))]
mod model {
    use super::*;
    use crate::executor::queue::Queue;
    use rivix_sync::Parker;
    use rivix_sync::sys::thread;
    use std::sync::Arc;

    struct Small {
        idle: Idle,
        queue: Queue<u32>,
        parkers: [Parker; 2],
        done: AtomicU64,
    }

    const ITEMS: u64 = 2;

    impl Small {
        fn wake(&self) {
            if let Some(worker) = self.idle.choose() {
                self.parkers[worker].unpark();
            }
        }

        /// A worker, as `Worker::tick` and `Worker::sleep` are one. It stops when
        /// all is done, for which the one that does the last wakes the others.
        fn work(&self, worker: usize) {
            let mut is_searching = false;
            loop {
                if self.done.load(Ordering::Acquire) == ITEMS {
                    return;
                }
                if !is_searching {
                    is_searching = self.idle.start_search(2);
                }
                let item = if is_searching { self.queue.pop() } else { None };
                if is_searching {
                    is_searching = false;
                    if self.idle.stop_search() && !self.queue.is_empty() {
                        self.wake();
                        if item.is_none() {
                            continue;
                        }
                    }
                }
                if item.is_some() {
                    if self.done.fetch_add(1, Ordering::AcqRel) + 1 == ITEMS {
                        self.parkers[1 - worker].unpark();
                        return;
                    }
                    continue;
                }
                let registered = self.idle.register(worker);
                if !registered.must_stay(|| !self.queue.is_empty()) {
                    self.parkers[worker].park();
                }
                is_searching = !self.idle.unregister(worker);
            }
        }
    }

    /// One producer and two workers: both items are done, and everybody ends. A
    /// lost wake leaves all of them parked, which the model reports.
    #[test]
    fn one_producer_two_workers() {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(2);
        builder.check(|| {
            let small = Arc::new(Small {
                idle: Idle::new(2),
                queue: Queue::new(),
                parkers: [Parker::new(), Parker::new()],
                done: AtomicU64::new(0),
            });
            let workers: Vec<_> = (0..2)
                .map(|worker| {
                    let small = small.clone();
                    thread::spawn("", 0, move || small.work(worker)).unwrap()
                })
                .collect();
            for item in 0..ITEMS {
                assert!(small.queue.push(item as u32).is_ok());
                small.wake();
            }
            for worker in workers {
                worker.join().unwrap();
            }
            assert_eq!(small.done.load(Ordering::Relaxed), ITEMS);
        });
    }
}
