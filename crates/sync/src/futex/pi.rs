//! Locks with an owner (futex(2), "Priority-inheritance futexes"). The word
//! holds the owner's thread id; the kernel knows of a lock only while someone
//! waits for it.

use super::queue::{Bucket, Entry, Kind, enter, entry, top};
use super::table::Table;
use super::{
    Futexes, Key, OWNER_DIED, Owner, Refused, State, TID_MASK, Told, WAITERS, Waiter, Word,
};
use crate::sys;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Who a thread id is. Looked up while no lock is held, so it may be outdated.
#[derive(Clone)]
pub struct Known {
    pub tid: u32,
    /// None: no such thread, or one at its end.
    pub owner: Option<Arc<Owner>>,
}

/// How an attempt to lock ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locking {
    /// The lock is the caller's, and the word says so.
    Taken,
    /// The waiter is queued; it is to call [`Futexes::leave_lock`] in the end.
    Queued,
    /// Look this thread up and try again.
    NeedOwner(u32),
    /// The word changed meanwhile: try again.
    Retry,
}

/// How an attempt to unlock ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlocking {
    Done,
    /// A waiter came meanwhile: look at the word and try again.
    Retry,
}

/// What stands between a task and a lock.
pub(super) enum Attempt {
    Taken,
    /// To be waited for; the owner, unless the lock is being inherited.
    Held(Option<Arc<Owner>>),
    NeedOwner(u32),
    Retry,
}

impl<K: Key> Futexes<K> {
    /// FUTEX_LOCK_PI, and FUTEX_TRYLOCK_PI (`is_try`: EAGAIN when taken).
    pub fn lock(
        &self,
        waiter: &Arc<Waiter>,
        key: K,
        word: &dyn Word,
        is_try: bool,
        known: Option<&Known>,
    ) -> Result<Locking, Refused> {
        let home = self.index(&key);
        let mut bucket = self.bucket(home);
        let mut table = self.table.lock();
        let attempt = attempt(&bucket, &table, key, word, &waiter.owner, false, known)?;
        let owner = match attempt {
            Attempt::Taken => return Ok(Locking::Taken),
            Attempt::NeedOwner(tid) => return Ok(Locking::NeedOwner(tid)),
            Attempt::Retry => return Ok(Locking::Retry),
            Attempt::Held(owner) => owner,
        };
        if is_try {
            return Err(Refused::Again);
        }
        if table.would_deadlock(&waiter.owner, owner.as_ref()) {
            return Err(Refused::Deadlock);
        }
        enter(&mut bucket, home, entry(waiter, key, Kind::Lock, u32::MAX));
        table.add(key, owner.as_ref(), waiter);
        Ok(Locking::Queued)
    }

    /// Ends a wait for a lock from the waiter's side. True: the lock is its own
    /// after all. EFAULT: so it is, but the word does not say so.
    pub fn leave_lock(&self, waiter: &Arc<Waiter>, word: &dyn Word) -> Result<bool, Refused> {
        self.with_home(waiter, |bucket, at| {
            self.leave_lock_at(bucket, at, waiter, word)
        })
    }

    pub(super) fn leave_lock_at(
        &self,
        bucket: &mut Bucket<K>,
        at: Option<usize>,
        waiter: &Arc<Waiter>,
        word: &dyn Word,
    ) -> Result<bool, Refused> {
        let mut table = self.table.lock();
        let Some(at) = at else {
            let is_granted = waiter.state() == State::Granted;
            return Ok(is_granted && !sys::mutant("futex-grant-forgotten"));
        };
        let Entry { key, .. } = bucket.remove(at);
        if waiter.state() != State::Inherits {
            waiter.set_state(State::Woken);
            table.remove(key, waiter);
            return Ok(false);
        }
        waiter.set_state(State::Granted);
        // The owner ended: the word is this task's to change, whose memory it is in.
        table.set_owner(key, Some(&waiter.owner));
        table.remove(key, waiter);
        let mut seen = word.load()?;
        loop {
            let next = waiter.owner.tid() | WAITERS | OWNER_DIED;
            match word.compare_exchange(seen, next)? {
                Ok(_) => return Ok(true),
                Err(now) => seen = now,
            }
        }
    }

    /// FUTEX_UNLOCK_PI of a word that was seen to be `seen`, with the caller's id.
    pub fn unlock(
        &self,
        owner: &Arc<Owner>,
        key: K,
        word: &dyn Word,
        seen: u32,
    ) -> Result<Unlocking, Refused> {
        let mut told = Told::default();
        let result = {
            let mut bucket = self.bucket(self.index(&key));
            self.unlock_at(&mut bucket, owner, key, word, seen, &mut told)
        };
        told.tell();
        result
    }

    fn unlock_at(
        &self,
        bucket: &mut Bucket<K>,
        owner: &Arc<Owner>,
        key: K,
        word: &dyn Word,
        seen: u32,
        told: &mut Told,
    ) -> Result<Unlocking, Refused> {
        let mut table = self.table.lock();
        let first = if sys::mutant("futex-unlock-blind") {
            None
        } else {
            top(bucket, key)
        };
        let Some(first) = first else {
            return match word.compare_exchange(seen, 0)? {
                Ok(_) => Ok(Unlocking::Done),
                Err(_) => Err(Refused::Again),
            };
        };
        let is_mine =
            matches!(table.owner(key), Some(Some(registered)) if Arc::ptr_eq(registered, owner));
        if first.kind != Kind::Lock || !is_mine {
            return Err(Refused::Invalid);
        }
        let heir = table.heir(key).ok_or(Refused::Invalid)?;
        if let Err(now) = word.compare_exchange(seen, WAITERS | heir.owner.tid())? {
            // The first waiter may have set its bit since the caller looked.
            return if now & TID_MASK == seen {
                Ok(Unlocking::Retry)
            } else {
                Err(Refused::Invalid)
            };
        }
        table.set_owner(key, Some(&heir.owner));
        table.remove(key, &heir);
        bucket.retain(|e| !Arc::ptr_eq(&e.waiter, &heir));
        told.add(heir, State::Granted);
        Ok(Unlocking::Done)
    }

    /// The task lets go of every lock that someone waits for: each goes to its
    /// heir. `is_end`: and it will never own one again.
    pub fn release_owned(&self, owner: &Arc<Owner>, is_end: bool) {
        let mut told = Told::default();
        {
            let mut table = self.table.lock();
            while let Some(key) = table.any_owned(owner) {
                table.set_owner(key, None);
                if let Some(heir) = table.heir(key) {
                    told.add(heir, State::Inherits);
                }
            }
            if is_end && !sys::mutant("futex-end-unmarked") {
                owner.is_dead.store(1, Ordering::Release);
            }
        }
        if !sys::mutant("futex-heir-untold") {
            told.tell();
        }
    }
}

/// Takes the lock for `who` if it is free, or finds out whom to wait for: what
/// the word says has to agree with what the table says (futex(2), EINVAL).
pub(super) fn attempt<K: Key>(
    bucket: &Bucket<K>,
    table: &Table<K>,
    key: K,
    word: &dyn Word,
    who: &Owner,
    has_more_waiters: bool,
    known: Option<&Known>,
) -> Result<Attempt, Refused> {
    let value = word.load()?;
    let tid = value & TID_MASK;
    if tid == who.tid() {
        return Err(Refused::Deadlock);
    }
    if let Some(first) = top(bucket, key) {
        let Some(owner) = table.owner(key).filter(|_| first.kind == Kind::Lock) else {
            return Err(Refused::Invalid);
        };
        let agrees = match owner {
            // Ended, and not yet inherited.
            None => value & OWNER_DIED != 0 && tid == 0,
            // Ending: its robust list has been seen to.
            Some(_) if value & OWNER_DIED != 0 && tid == 0 => true,
            Some(owner) => owner.tid() == tid,
        };
        return if agrees {
            Ok(Attempt::Held(owner.cloned()))
        } else {
            Err(Refused::Invalid)
        };
    }
    if tid == 0 {
        let more = if has_more_waiters { WAITERS } else { 0 };
        return Ok(
            match word.compare_exchange(value, value & OWNER_DIED | who.tid() | more)? {
                Ok(_) => Attempt::Taken,
                Err(_) => Attempt::Retry,
            },
        );
    }
    // From here on the owner's unlock comes to the kernel, and to this lock.
    let marked = value | WAITERS;
    if word.compare_exchange(value, marked)?.is_err() {
        return Ok(Attempt::Retry);
    }
    match known.filter(|known| known.tid == tid) {
        None => Ok(Attempt::NeedOwner(tid)),
        Some(Known {
            owner: Some(owner), ..
        }) => {
            if owner.is_dead() {
                // Ended since it was looked up; its id may be another's by now.
                return Ok(Attempt::NeedOwner(tid));
            }
            Ok(Attempt::Held(Some(owner.clone())))
        }
        Some(_) if word.load()? != marked => Ok(Attempt::Retry),
        Some(_) => Err(Refused::NoOwner),
    }
}
