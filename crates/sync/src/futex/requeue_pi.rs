//! FUTEX_WAIT_REQUEUE_PI and FUTEX_CMP_REQUEUE_PI: a condition variable's waiters
//! become waiters of its lock without waking up in between.

use super::pi::{Attempt, Known, attempt};
use super::queue::{Entry, Kind, Two, enter, top};
use super::{Futexes, Key, Refused, State, Told, Waiter, Word};
use crate::sys;
use std::sync::Arc;

/// What is to be moved where.
pub struct Requeue<'a, K> {
    pub from: K,
    pub from_word: &'a dyn Word,
    /// What `from_word` has to be, else EAGAIN.
    pub expected: u32,
    pub to: K,
    pub to_word: &'a dyn Word,
    /// Waiters to move, besides the one that gets the lock at once.
    pub limit: usize,
}

/// How a requeue ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requeued {
    /// So many were moved or got the lock.
    Done(usize),
    /// Look this thread up and try again.
    NeedOwner(u32),
    /// A word changed meanwhile: try again.
    Retry,
}

/// How a wait to be requeued ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftRequeue {
    /// The lock is the waiter's.
    Owns,
    /// It had not been moved.
    Unmoved,
    /// It waited for the lock already.
    Moved,
}

impl<K: Key> Futexes<K> {
    /// FUTEX_WAIT_REQUEUE_PI: queues on `key` if the word is `expected`, to be
    /// moved to `target`; EINVAL when those are one.
    pub fn wait_requeue(
        &self,
        waiter: &Arc<Waiter>,
        key: K,
        word: &dyn Word,
        expected: u32,
        target: K,
    ) -> Result<(), Refused> {
        self.queue_if(
            waiter,
            key,
            Kind::Requeue { target },
            u32::MAX,
            word,
            expected,
        )
    }

    /// Ends such a wait from the waiter's side; `word` is the target's.
    pub fn leave_requeue(
        &self,
        waiter: &Arc<Waiter>,
        word: &dyn Word,
    ) -> Result<LeftRequeue, Refused> {
        self.with_home(waiter, |bucket, at| {
            if let Some(at) = at
                && bucket[at].kind != Kind::Lock
            {
                waiter.set_state(State::Woken);
                bucket.remove(at);
                return Ok(LeftRequeue::Unmoved);
            }
            let owns = self.leave_lock_at(bucket, at, waiter, word)?;
            Ok(if owns {
                LeftRequeue::Owns
            } else {
                LeftRequeue::Moved
            })
        })
    }

    /// FUTEX_CMP_REQUEUE_PI with one waiter to wake: the first one gets the lock
    /// if it is free, the others wait for it.
    pub fn requeue_pi(
        &self,
        request: &Requeue<'_, K>,
        known: Option<&Known>,
    ) -> Result<Requeued, Refused> {
        let mut told = Told::default();
        let result = {
            let mut two = self.two(&request.from, &request.to);
            self.requeue_pi_at(&mut two, request, known, &mut told)
        };
        told.tell();
        result
    }

    fn requeue_pi_at(
        &self,
        two: &mut Two<'_, K>,
        request: &Requeue<'_, K>,
        known: Option<&Known>,
        told: &mut Told,
    ) -> Result<Requeued, Refused> {
        let (from, to) = (request.from, request.to);
        if request.from_word.load()? != request.expected {
            return Err(Refused::Again);
        }
        // Read even when nobody waits, as Linux does: it may be out of reach.
        request.to_word.load()?;
        let Some(first) = top(two.first(), from).map(|e| (e.kind, e.waiter.clone())) else {
            return Ok(Requeued::Done(0));
        };
        if first.0 != (Kind::Requeue { target: to }) {
            return Err(Refused::Invalid);
        }
        let mut table = self.table.lock();
        let has_more = request.limit > 0;
        let who = &first.1.owner;
        let mut count = 0;
        let owner = match attempt(
            two.second(),
            &table,
            to,
            request.to_word,
            who,
            has_more,
            known,
        )? {
            Attempt::NeedOwner(tid) => return Ok(Requeued::NeedOwner(tid)),
            Attempt::Retry => return Ok(Requeued::Retry),
            Attempt::Held(owner) => owner,
            Attempt::Taken => {
                two.first().retain(|e| !Arc::ptr_eq(&e.waiter, &first.1));
                count = 1;
                told.add(first.1.clone(), State::Granted);
                Some(who.clone())
            }
        };
        // One more than asked for, unless the first one has the lock: it was to be woken.
        let limit = request.limit.saturating_add(1);
        let target = self.index(&to);
        while count < limit {
            let found = two.first().iter().position(|e| e.key == from);
            let Some(at) = found else {
                break;
            };
            let entry = &two.first()[at];
            if entry.kind != (Kind::Requeue { target: to }) {
                return Err(Refused::Invalid);
            }
            if table.would_deadlock(&entry.waiter.owner, owner.as_ref()) {
                return Err(Refused::Deadlock);
            }
            let entry = two.first().remove(at);
            if !sys::mutant("futex-requeue-unlisted") {
                table.add(to, owner.as_ref(), &entry.waiter);
            }
            let moved = Entry {
                key: to,
                kind: Kind::Lock,
                ..entry
            };
            enter(two.second(), target, moved);
            count += 1;
        }
        Ok(Requeued::Done(count))
    }
}
