//! The protocol of futexes (futex(2)), apart from what a guest's words and
//! addresses are: queues of waiters by key, and locks with an owner.
//!
//! A waiter compares the word and enters its queue under the queue's lock; a
//! waker changes the word first and takes the lock then. So either the waiter
//! sees the new value, or the waker sees the waiter.
//!
//! - [`Futexes`]: all queues of a sandbox, and [`Futexes::wait`], `wake`, `requeue`.
//! - [`Waiter`]: one place in a queue. A task has one for all its single waits, so
//!   that a wait allocates nothing.
//! - [`Owner`]: who may own a lock that inherits priority (`pi.rs`).
//! - [`Word`]: the guest's word. It is only touched under the lock of its queue.
//!
//! **Invariant F1:** a waiter is in the queue of the bucket that its `home` names,
//! or in none. Both change under that bucket's lock, a move under both locks.
//!
//! **Invariant F2:** who is taken out of a queue by others has its new state
//! before the lock is released, and is told after.
//!
//! **Invariant F3:** a lock has an entry in the table of locks exactly while
//! someone waits for it, and those waiters are the entries of kind `Lock` with
//! its key.

mod pi;
mod queue;
mod requeue_pi;
mod table;

#[cfg(all(test, rivix_loom))]
mod model;
#[cfg(all(test, not(rivix_model)))]
mod tests;

pub use pi::{Known, Locking, Unlocking};
pub use queue::Futexes;
pub use requeue_pi::{LeftRequeue, Requeue, Requeued};

use crate::Notify;
use crate::sys::atomic::{AtomicU32, AtomicUsize, Ordering};
use smallvec::SmallVec;
use std::hash::Hash;
use std::sync::Arc;

/// FUTEX_WAITERS: unlocking needs the kernel.
pub const WAITERS: u32 = 0x8000_0000;
/// FUTEX_OWNER_DIED: the owner ended without unlocking.
pub const OWNER_DIED: u32 = 0x4000_0000;
/// FUTEX_TID_MASK: the owner.
pub const TID_MASK: u32 = 0x3fff_ffff;

/// What makes two words the same word.
pub trait Key: Copy + Eq + Hash + Send + Sync + 'static {}
impl<K: Copy + Eq + Hash + Send + Sync + 'static> Key for K {}

/// A 32-bit word that other threads change at any time.
pub trait Word {
    fn load(&self) -> Result<u32, Fault>;

    /// Stores `new` if the word is `old`: Ok; else what was found.
    fn compare_exchange(&self, old: u32, new: u32) -> Result<Result<u32, u32>, Fault>;
}

/// The word cannot be accessed (EFAULT).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault;

/// Why an operation did nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The word is not what was expected, or the lock is taken (EAGAIN).
    Again,
    Fault,
    /// Words, waiters and locks contradict each other (EINVAL).
    Invalid,
    /// The caller would wait for itself (EDEADLK).
    Deadlock,
    /// The word names a thread that does not exist (ESRCH).
    NoOwner,
    /// The caller does not own the lock (EPERM).
    NotOwner,
}

impl From<Fault> for Refused {
    fn from(_: Fault) -> Refused {
        Refused::Fault
    }
}

/// A task, as owner of locks. Lower numbers are more urgent.
pub struct Owner {
    tid: AtomicU32,
    priority: AtomicU32,
    /// It ended; written under the lock of the table of locks.
    is_dead: AtomicU32,
}

impl Owner {
    pub fn new(tid: u32, priority: u32) -> Owner {
        Owner {
            tid: AtomicU32::new(tid),
            priority: AtomicU32::new(priority),
            is_dead: AtomicU32::new(0),
        }
    }

    pub fn tid(&self) -> u32 {
        self.tid.load(Ordering::Acquire)
    }

    /// Only execve(2) of a thread that is not the leader changes it.
    pub fn set_tid(&self, tid: u32) {
        self.tid.store(tid, Ordering::Release);
    }

    pub fn priority(&self) -> u32 {
        self.priority.load(Ordering::Relaxed)
    }

    pub fn set_priority(&self, priority: u32) {
        self.priority.store(priority, Ordering::Relaxed);
    }

    pub fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::Acquire) != 0
    }
}

/// Where a waiter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum State {
    Queued,
    /// Taken out by a wake.
    Woken,
    /// The lock is its own, and the word says so.
    Granted,
    /// The lock's owner ended; the word is still to be changed. Still queued.
    Inherits,
}

/// One place in a queue.
pub struct Waiter {
    who: Arc<dyn Notify>,
    owner: Arc<Owner>,
    home: AtomicUsize,
    state: AtomicU32,
}

impl Waiter {
    /// `who` is told when the wait is over; `owner` is who gets a lock.
    pub fn new(who: Arc<dyn Notify>, owner: Arc<Owner>) -> Waiter {
        Waiter {
            who,
            owner,
            home: AtomicUsize::new(0),
            state: AtomicU32::new(State::Woken as u32),
        }
    }

    pub fn owner(&self) -> &Arc<Owner> {
        &self.owner
    }

    /// Has someone ended the wait?
    pub fn is_over(&self) -> bool {
        self.state() != State::Queued
    }

    fn state(&self) -> State {
        match self.state.load(Ordering::Acquire) {
            0 => State::Queued,
            2 => State::Granted,
            3 => State::Inherits,
            _ => State::Woken,
        }
    }

    fn set_state(&self, state: State) {
        self.state.store(state as u32, Ordering::Release);
    }
}

/// Those whose wait is over, to be told once no lock is held.
#[derive(Default)]
struct Told(SmallVec<[Arc<Waiter>; 4]>);

impl Told {
    fn add(&mut self, waiter: Arc<Waiter>, state: State) {
        waiter.set_state(state);
        self.0.push(waiter);
    }

    fn tell(self) {
        for waiter in self.0 {
            waiter.who.notify(0);
        }
    }
}
