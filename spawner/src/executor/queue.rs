//! Queues of runnable fibers: short locks, and a length to look at without one.
//!
//! - **Invariant Q1:** an item is in one queue, and whoever takes it under the
//!   lock is the only one to have it.
//! - **Invariant Q2:** of two queues' locks, that of the ring is taken before
//!   that of the injector, and never two of one kind.

use rivix_sync::sys::atomic::{AtomicUsize, Ordering};
use rivix_sync::sys::mutant;
use rivix_sync::{Mutex, MutexGuard, level};
use std::collections::VecDeque;

/// What a worker's own ring holds at most.
pub(super) const RING: usize = 256;

struct Items<T> {
    list: VecDeque<T>,
    is_shut: bool,
}

pub(super) struct Queue<T> {
    items: Mutex<level::Executor, Items<T>>,
    /// The list's length, written under the lock.
    len: AtomicUsize,
}

impl<T: Clone> Queue<T> {
    pub(super) fn new() -> Self {
        Queue {
            items: Mutex::new(Items {
                list: VecDeque::new(),
                is_shut: false,
            }),
            len: AtomicUsize::new(0),
        }
    }

    /// How many there are, or were a moment ago.
    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes room for `total` items, so that pushing them does not allocate.
    /// False: there is no memory.
    pub(super) fn reserve<G>(
        &self,
        total: usize,
        held: Option<&MutexGuard<'_, level::Executor, G>>,
    ) -> bool {
        let grow = |items: &mut Items<T>| {
            let more = total.saturating_sub(items.list.len());
            items.list.try_reserve(more).is_ok()
        };
        match held {
            // Registry shards come before queues and no queue's holder takes one.
            Some(held) => grow(&mut self.items.lock_second(held)),
            None => grow(&mut self.items.lock()),
        }
    }

    /// Appends; gives how many were there before, or the item if the queue is shut.
    pub(super) fn push(&self, item: T) -> Result<usize, T> {
        let mut items = self.items.lock();
        if items.is_shut {
            return Err(item);
        }
        let before = items.list.len();
        items.list.push_back(item);
        self.len.store(before + 1, Ordering::Relaxed);
        Ok(before)
    }

    /// Appends to a ring; a full one first gives its older half to `overflow`.
    /// Gives how many are elsewhere or were there before.
    pub(super) fn push_ring(&self, item: T, overflow: &Queue<T>) -> Result<usize, T> {
        let mut items = self.items.lock();
        if items.is_shut {
            return Err(item);
        }
        let before = items.list.len();
        if before >= RING {
            // Q2: ring, then injector.
            let mut injector = overflow.items.lock_second(&items);
            injector.list.extend(items.list.drain(..RING / 2));
            overflow.len.store(injector.list.len(), Ordering::Relaxed);
        }
        items.list.push_back(item);
        self.len.store(items.list.len(), Ordering::Relaxed);
        Ok(before)
    }

    /// Takes the oldest.
    pub(super) fn pop(&self) -> Option<T> {
        if self.is_empty() {
            return None;
        }
        let mut items = self.items.lock();
        let item = items.list.pop_front();
        self.len.store(items.list.len(), Ordering::Relaxed);
        item
    }

    /// Moves the oldest `most` of this injector into an empty-ish ring; how many.
    pub(super) fn refill(&self, ring: &Queue<T>, most: usize) -> usize {
        if self.is_empty() {
            return 0;
        }
        let mut items = ring.items.lock();
        if items.is_shut {
            return 0;
        }
        // Q2: ring, then injector.
        let mut injector = self.items.lock_second(&items);
        let room = RING - items.list.len().min(RING);
        let count = most.min(room).min(injector.list.len());
        items.list.extend(injector.list.drain(..count));
        self.len.store(injector.list.len(), Ordering::Relaxed);
        ring.len.store(items.list.len(), Ordering::Relaxed);
        count
    }

    /// Steals the older half, rounded up, into `loot`; how many. A queue that
    /// is being used by another is skipped, unless `must_wait`.
    pub(super) fn steal_half(&self, loot: &mut Vec<T>, must_wait: bool) -> usize {
        if self.is_empty() {
            return 0;
        }
        let mut items = if must_wait {
            self.items.lock()
        } else {
            match self.items.try_lock() {
                Some(items) => items,
                None => return 0,
            }
        };
        let count = items.list.len().div_ceil(2);
        if mutant("executor-double-steal") {
            loot.extend(items.list.iter().take(count).cloned());
        } else {
            loot.extend(items.list.drain(..count));
        }
        self.len.store(items.list.len(), Ordering::Relaxed);
        count
    }

    /// Appends all of `loot`, half a ring at most, to the own ring, which only
    /// its owner fills and which was found empty.
    pub(super) fn take_in(&self, loot: &mut Vec<T>) {
        let mut items = self.items.lock();
        items.list.extend(loot.drain(..));
        self.len.store(items.list.len(), Ordering::Relaxed);
    }

    /// Refuses from now on; gives what was queued.
    pub(super) fn shut(&self) -> VecDeque<T> {
        let mut items = self.items.lock();
        items.is_shut = true;
        self.len.store(0, Ordering::Relaxed);
        std::mem::take(&mut items.list)
    }

    /// Accepts again, with room for `room` items; false: there is no memory.
    pub(super) fn open(&self, room: usize) -> bool {
        let mut items = self.items.lock();
        items.is_shut = false;
        items.list.try_reserve(room).is_ok()
    }
}

#[cfg(all(test, not(rivix_model)))]
mod tests {
    use super::*;

    #[test]
    fn a_full_ring_gives_its_older_half_to_the_injector() {
        let (ring, injector) = (Queue::new(), Queue::new());
        for n in 0..RING {
            assert_eq!(ring.push_ring(n, &injector), Ok(n));
        }
        assert!(injector.is_empty());
        assert!(ring.push_ring(RING, &injector).is_ok());
        assert_eq!((ring.len(), injector.len()), (RING / 2 + 1, RING / 2));
        assert_eq!(injector.pop(), Some(0));
        assert_eq!(ring.pop(), Some(RING / 2));
    }

    #[test]
    fn a_thief_takes_half_rounded_up_and_skips_a_busy_queue() {
        let ring = Queue::new();
        for n in 0..5 {
            ring.push(n).unwrap();
        }
        let mut loot = Vec::new();
        {
            let _busy = ring.items.lock();
            // Same thread, so a wait would never end.
            std::thread::scope(|scope| {
                let stolen = scope.spawn(|| ring.steal_half(&mut Vec::new(), false));
                assert_eq!(stolen.join().unwrap(), 0);
            });
        }
        assert_eq!(ring.steal_half(&mut loot, false), 3);
        assert_eq!(loot, [0, 1, 2]);
        assert_eq!(ring.steal_half(&mut loot, false), 1);
        assert_eq!(ring.steal_half(&mut loot, false), 1);
        assert_eq!(ring.steal_half(&mut loot, false), 0);
        assert_eq!(loot, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn the_injector_gives_what_was_asked_and_no_more() {
        let (ring, injector) = (Queue::new(), Queue::new());
        for n in 0..600 {
            injector.push(n).unwrap();
        }
        assert_eq!(injector.refill(&ring, 10), 10);
        assert_eq!(injector.refill(&ring, 1000), RING - 10);
        assert_eq!(injector.refill(&ring, 1000), 0);
        assert_eq!((ring.len(), injector.len()), (RING, 600 - RING));
    }

    #[test]
    fn a_shut_queue_gives_the_item_back() {
        let queue = Queue::new();
        queue.push(1).unwrap();
        assert_eq!(queue.shut(), [1]);
        assert_eq!(queue.push(2), Err(2));
        assert!(queue.open(1) && queue.push(3) == Ok(0));
    }
}

#[cfg(all(test, rivix_loom))]
mod model {
    use super::*;
    use rivix_sync::sys::thread;
    use std::sync::Arc;

    /// Two thieves and the owner want three items: each goes to one of them.
    #[test]
    fn steal_against_pop() {
        loom::model(|| {
            let ring = Arc::new(Queue::new());
            for item in 0..3 {
                assert!(ring.push(item).is_ok());
            }
            let taken = Arc::new([(); 3].map(|()| AtomicUsize::new(0)));
            let thieves: Vec<_> = (0..2)
                .map(|thief| {
                    let (ring, taken) = (ring.clone(), taken.clone());
                    thread::spawn("", 0, move || {
                        let mut loot = Vec::new();
                        ring.steal_half(&mut loot, thief == 1);
                        for item in loot {
                            taken[item].fetch_add(1, Ordering::Relaxed);
                        }
                    })
                    .unwrap()
                })
                .collect();
            if let Some(item) = ring.pop() {
                taken[item].fetch_add(1, Ordering::Relaxed);
            }
            for thief in thieves {
                thief.join().unwrap();
            }
            while let Some(item) = ring.pop() {
                taken[item].fetch_add(1, Ordering::Relaxed);
            }
            for count in taken.iter() {
                assert_eq!(count.load(Ordering::Relaxed), 1);
            }
        });
    }
}
