//! All fibers that are not complete, so that closing finds those that wait too.
//!
//! Growing it also makes room in the queue its fibers may be put in, so that a
//! wake never allocates: memory is refused where a fiber is spawned.

use super::fiber::Ref;
use super::queue::Queue;
use rivix_sync::sys::atomic::{AtomicUsize, Ordering};
use rivix_sync::{Mutex, level};

/// Shards of the executor's registry: spawners and workers meet in them.
const SHARDS: usize = if cfg!(rivix_model) { 1 } else { 16 };

enum Entry {
    Used(Ref),
    /// And the next free one.
    Free(Option<usize>),
}

#[derive(Default)]
struct Entries {
    list: Vec<Entry>,
    free: Option<usize>,
    used: usize,
    /// How many entries there is memory for, here and in the queue.
    room: usize,
    next_id: u64,
    is_shut: bool,
}

/// Why a fiber was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Closed,
    NoMemory,
}

/// A list of fibers under one lock.
#[derive(Default)]
pub(super) struct Shard(Mutex<level::Executor, Entries>);

impl Shard {
    /// Takes the registry's reference and numbers the fiber, `stride` apart and
    /// from `first`. `room` counts all entries whose fibers `queue` may hold.
    fn insert(
        &self,
        fiber: Ref,
        number: impl FnOnce(u64) -> u64,
        queue: &Queue<Ref>,
        room: &AtomicUsize,
    ) -> Result<(), (Refusal, Ref)> {
        let mut entries = self.0.lock();
        if entries.is_shut {
            return Err((Refusal::Closed, fiber));
        }
        if entries.free.is_none() && entries.list.len() == entries.room {
            let more = entries.list.len().max(16);
            let total = room.fetch_add(more, Ordering::Relaxed) + more;
            if entries.list.try_reserve_exact(more).is_err()
                || !queue.reserve(total, Some(&entries))
            {
                room.fetch_sub(more, Ordering::Relaxed);
                return Err((Refusal::NoMemory, fiber));
            }
            entries.room += more;
        }
        fiber.id.store(number(entries.next_id), Ordering::Relaxed);
        entries.next_id += 1;
        entries.used += 1;
        match entries.free {
            Some(place) => {
                if let Entry::Free(next) = entries.list[place] {
                    entries.free = next;
                }
                fiber.place.store(place as u64, Ordering::Relaxed);
                entries.list[place] = Entry::Used(fiber);
            }
            None => {
                let place = entries.list.len() as u64;
                fiber.place.store(place, Ordering::Relaxed);
                entries.list.push(Entry::Used(fiber));
            }
        }
        Ok(())
    }

    /// Gives the registry's reference back; the caller drops it without locks.
    fn remove(&self, fiber: &Ref) -> Option<Ref> {
        let mut entries = self.0.lock();
        let place = fiber.place.load(Ordering::Relaxed) as usize;
        let free = entries.free;
        let entry = entries.list.get_mut(place)?;
        match entry {
            Entry::Used(found) if found.is(fiber) => {}
            _ => return None,
        }
        let old = std::mem::replace(entry, Entry::Free(free));
        entries.free = Some(place);
        entries.used -= 1;
        match old {
            Entry::Used(fiber) => Some(fiber),
            Entry::Free(_) => None,
        }
    }

    fn list(&self, shut: bool) -> Vec<Ref> {
        let mut entries = self.0.lock();
        entries.is_shut |= shut;
        let used = entries.list.iter().filter_map(|entry| match entry {
            Entry::Used(fiber) => Some(fiber.clone()),
            Entry::Free(_) => None,
        });
        used.collect()
    }

    fn open(&self) {
        self.0.lock().is_shut = false;
    }

    fn used(&self) -> usize {
        self.0.lock().used
    }
}

pub(super) struct Registry {
    shards: [Shard; SHARDS],
    room: AtomicUsize,
}

impl Registry {
    pub(super) fn new() -> Self {
        Registry {
            shards: [(); SHARDS].map(|()| Shard::default()),
            room: AtomicUsize::new(0),
        }
    }

    /// The shard is this thread's, so that spawners on different threads seldom meet.
    pub(super) fn insert(&self, fiber: Ref, queue: &Queue<Ref>) -> Result<(), (Refusal, Ref)> {
        let on_stack = 0_u8;
        let stack = std::ptr::from_ref(&on_stack).addr() >> 20;
        let index = (stack ^ (stack >> 4)) % SHARDS;
        let number = |count: u64| count * SHARDS as u64 + index as u64;
        self.shards[index].insert(fiber, number, queue, &self.room)
    }

    /// See [`Shard::remove`]; the number says which shard.
    pub(super) fn remove(&self, fiber: &Ref) -> Option<Ref> {
        let index = fiber.id.load(Ordering::Relaxed) as usize % SHARDS;
        self.shards[index].remove(fiber)
    }

    /// References to all; `shut` refuses new ones from then on.
    pub(super) fn list(&self, shut: bool) -> Vec<Ref> {
        let mut all = Vec::new();
        for shard in &self.shards {
            all.extend(shard.list(shut));
        }
        all
    }

    pub(super) fn used(&self) -> usize {
        self.shards.iter().map(Shard::used).sum()
    }
}

/// The fibers of one worker that must not be stolen.
#[derive(Default)]
pub(super) struct Locals {
    shard: Shard,
    room: AtomicUsize,
}

impl Locals {
    /// Numbers are the top half, apart from those of the registry.
    pub(super) fn insert(
        &self,
        fiber: Ref,
        worker: usize,
        inbox: &Queue<Ref>,
    ) -> Result<(), (Refusal, Ref)> {
        let number = |count: u64| 1 << 63 | (worker as u64) << 48 | count;
        self.shard.insert(fiber, number, inbox, &self.room)
    }

    pub(super) fn remove(&self, fiber: &Ref) -> Option<Ref> {
        self.shard.remove(fiber)
    }

    pub(super) fn list(&self, shut: bool) -> Vec<Ref> {
        self.shard.list(shut)
    }

    pub(super) fn used(&self) -> usize {
        self.shard.used()
    }

    pub(super) fn open(&self) {
        self.shard.open();
    }
}
