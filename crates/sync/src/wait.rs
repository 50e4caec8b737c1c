//! Wait queues: who wants to hear of an event.
//!
//! The protocol of every sleeper: register, look, sleep, look again; drop the
//! entry when done. A waker changes the state first and notifies after, so a
//! sleeper either sees the state or hears of it.

use crate::{Mutex, level};
use std::sync::Arc;

/// Someone who can be told that something happened.
pub trait Notify: Send + Sync {
    /// `events` is the poll(2) mask that became true, 0 when unknown. Called
    /// without the queue's lock; it must not block.
    fn notify(&self, events: u32);
}

struct Slot {
    id: u64,
    /// poll(2) mask of interest; an event outside it is not delivered.
    interest: u32,
    exclusive: bool,
    who: Arc<dyn Notify>,
}

#[derive(Default)]
struct Slots {
    next: u64,
    list: Vec<Slot>,
}

/// A queue of those who wait for one object. Cheap to clone: clones are the same queue.
#[derive(Clone, Default)]
pub struct WaitQueue {
    slots: Arc<Mutex<level::WaitQueue, Slots>>,
}

impl WaitQueue {
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers `who` for `interest` until the entry is dropped.
    #[must_use = "dropping the entry ends the registration"]
    pub fn register(&self, who: Arc<dyn Notify>, interest: u32) -> WaitEntry {
        self.add(who, interest, false)
    }

    /// As `register`, but of all exclusive waiters one `notify` tells only the first.
    #[must_use = "dropping the entry ends the registration"]
    pub fn register_exclusive(&self, who: Arc<dyn Notify>, interest: u32) -> WaitEntry {
        self.add(who, interest, true)
    }

    fn add(&self, who: Arc<dyn Notify>, interest: u32, exclusive: bool) -> WaitEntry {
        let mut slots = self.slots.lock();
        slots.next += 1;
        let id = slots.next;
        slots.list.push(Slot {
            id,
            interest,
            exclusive,
            who,
        });
        WaitEntry {
            queue: self.clone(),
            id,
        }
    }

    /// Tells everyone interested in `events` (all, when `events` is 0).
    pub fn notify(&self, events: u32) {
        let mut told_exclusive = false;
        let tell: smallvec::SmallVec<[Arc<dyn Notify>; 4]> = {
            let slots = self.slots.lock();
            slots
                .list
                .iter()
                .filter(|s| events == 0 || s.interest & events != 0)
                .filter(|s| !s.exclusive || !std::mem::replace(&mut told_exclusive, true))
                .map(|s| s.who.clone())
                .collect()
        };
        for who in tell {
            who.notify(events);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.slots.lock().list.is_empty()
    }
}

/// A registration; dropping it ends it.
pub struct WaitEntry {
    queue: WaitQueue,
    id: u64,
}

impl Drop for WaitEntry {
    fn drop(&mut self) {
        let removed = {
            let mut slots = self.queue.slots.lock();
            let at = slots.list.iter().position(|s| s.id == self.id);
            at.map(|at| slots.list.remove(at))
        };
        // The waiter is dropped without the lock: its own drop may notify.
        drop(removed);
    }
}
