//! The table of locks that someone waits for: who owns each, who waits, and who
//! waits for what. One lock guards it, so that a chain of owners is looked at as
//! it is at one moment.

use super::{Key, Owner, Waiter};
use std::collections::HashMap;
use std::sync::Arc;

/// A chain of locks longer than this counts as a deadlock, as on Linux
/// (`max_lock_depth` of proc(5)'s sys/kernel).
const MAX_DEPTH: usize = 1024;
/// How far urgency is inherited: it costs host stack.
const MAX_INHERITED: usize = 64;

pub(super) struct Table<K> {
    locks: HashMap<K, Lock>,
    /// By the owner's address, which its `Arc`s in `locks` keep.
    tasks: HashMap<usize, Involved<K>>,
}

/// A lock that someone waits for.
struct Lock {
    /// None: the owner ended, and the waiter that inherits has yet to say so in the word.
    owner: Option<Arc<Owner>>,
    /// In order of arrival.
    waiters: Vec<Arc<Waiter>>,
}

/// What a task has to do with locks that are waited for.
struct Involved<K> {
    waits_for: Option<K>,
    owns: Vec<K>,
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        Table {
            locks: HashMap::new(),
            tasks: HashMap::new(),
        }
    }
}

fn id(owner: &Owner) -> usize {
    std::ptr::from_ref(owner) as usize
}

impl<K: Key> Table<K> {
    /// The owner of a lock that someone waits for; `Some(None)` while it is inherited.
    pub(super) fn owner(&self, key: K) -> Option<Option<&Arc<Owner>>> {
        self.locks.get(&key).map(|lock| lock.owner.as_ref())
    }

    /// Would `who` wait for itself if it waited for what `owner` owns?
    pub(super) fn would_deadlock(&self, who: &Owner, owner: Option<&Arc<Owner>>) -> bool {
        let mut owner = owner;
        for _ in 0..MAX_DEPTH {
            let Some(current) = owner else {
                return false;
            };
            if std::ptr::eq(Arc::as_ptr(current), who) {
                return true;
            }
            let next = self.tasks.get(&id(current)).and_then(|t| t.waits_for);
            owner = next
                .and_then(|key| self.locks.get(&key))
                .and_then(|lock| lock.owner.as_ref());
        }
        true
    }

    /// Adds a waiter; the first one brings the owner along.
    pub(super) fn add(&mut self, key: K, owner: Option<&Arc<Owner>>, waiter: &Arc<Waiter>) {
        let lock = self.locks.entry(key).or_insert_with(|| {
            if let Some(owner) = owner {
                involved(&mut self.tasks, owner).owns.push(key);
            }
            Lock {
                owner: owner.cloned(),
                waiters: Vec::new(),
            }
        });
        lock.waiters.push(waiter.clone());
        involved(&mut self.tasks, &waiter.owner).waits_for = Some(key);
    }

    /// Takes a waiter out; the last one takes the lock along.
    pub(super) fn remove(&mut self, key: K, waiter: &Arc<Waiter>) {
        self.stop_waiting(&waiter.owner);
        let Some(lock) = self.locks.get_mut(&key) else {
            return;
        };
        lock.waiters.retain(|w| !Arc::ptr_eq(w, waiter));
        if lock.waiters.is_empty() {
            self.set_owner(key, None);
            self.locks.remove(&key);
        }
    }

    /// Names another owner, or none.
    pub(super) fn set_owner(&mut self, key: K, owner: Option<&Arc<Owner>>) {
        let Some(lock) = self.locks.get_mut(&key) else {
            return;
        };
        if let Some(old) = std::mem::replace(&mut lock.owner, owner.cloned()) {
            if let Some(task) = self.tasks.get_mut(&id(&old)) {
                task.owns.retain(|k| *k != key);
            }
            self.tidy(&old);
        }
        if let Some(owner) = owner {
            involved(&mut self.tasks, owner).owns.push(key);
        }
    }

    pub(super) fn stop_waiting(&mut self, who: &Owner) {
        if let Some(task) = self.tasks.get_mut(&id(who)) {
            task.waits_for = None;
        }
        self.tidy(who);
    }

    fn tidy(&mut self, who: &Owner) {
        let is_idle = |t: &Involved<K>| t.waits_for.is_none() && t.owns.is_empty();
        if self.tasks.get(&id(who)).is_some_and(is_idle) {
            self.tasks.remove(&id(who));
        }
    }

    /// Who gets the lock next: the most urgent, then the one that came first.
    pub(super) fn heir(&self, key: K) -> Option<Arc<Waiter>> {
        let waiters = &self.locks.get(&key)?.waiters;
        match waiters.as_slice() {
            [] => None,
            [only] => Some(only.clone()),
            all => all
                .iter()
                .min_by_key(|waiter| self.urgency(&waiter.owner, MAX_INHERITED))
                .cloned(),
        }
    }

    /// The owner's priority, or that of the most urgent task that waits for it.
    fn urgency(&self, owner: &Owner, depth: usize) -> u32 {
        let own = owner.priority();
        let Some(task) = self.tasks.get(&id(owner)) else {
            return own;
        };
        if depth == 0 {
            return own;
        }
        task.owns
            .iter()
            .filter_map(|key| self.locks.get(key))
            .flat_map(|lock| &lock.waiters)
            .map(|waiter| self.urgency(&waiter.owner, depth - 1))
            .fold(own, u32::min)
    }

    /// A lock that `owner` owns and someone waits for.
    pub(super) fn any_owned(&self, owner: &Owner) -> Option<K> {
        self.tasks.get(&id(owner))?.owns.first().copied()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.locks.is_empty() && self.tasks.is_empty()
    }
}

fn involved<'a, K>(
    tasks: &'a mut HashMap<usize, Involved<K>>,
    owner: &Arc<Owner>,
) -> &'a mut Involved<K> {
    tasks.entry(id(owner)).or_insert(Involved {
        waits_for: None,
        owns: Vec::new(),
    })
}
