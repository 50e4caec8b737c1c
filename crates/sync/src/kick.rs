//! Kicks: making one task's thread look up.

use crate::{Notify, Parker, hooks};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

/// How a sleep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parked {
    /// Something was notified, or the kick word is set: look again.
    Woken,
    TimedOut,
}

/// One per task. Its word is polled by the engine at block entries and loop
/// back-edges, checked by the host-call window, and ends sleeps.
///
/// Publish the reason (signal queued, kill flag set) first, then [`Kick::kick`].
/// The task's thread calls [`Kick::clear`] first, then looks for reasons.
#[derive(Default)]
pub struct Kick {
    word: AtomicU32,
    parker: Parker,
    /// Host thread id while the owner is inside an interruptible host call, else 0.
    pub(crate) in_host_call: AtomicU32,
}

impl Kick {
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the owner stop running guest code, sleeping, or blocking in the host.
    pub fn kick(&self) {
        self.word.store(1, Ordering::SeqCst);
        if hooks::has_fixup() {
            self.parker.unpark();
        } else {
            self.parker.wake_sleeper();
        }
        self.interrupt_host_call();
    }

    /// Nonzero: the owner should return to its guest loop.
    pub fn word(&self) -> &AtomicU32 {
        &self.word
    }

    pub fn is_set(&self) -> bool {
        self.word.load(Ordering::SeqCst) != 0
    }

    pub fn clear(&self) {
        self.word.swap(0, Ordering::SeqCst);
    }

    /// Sleeps until notified, kicked, or `deadline`. Returns at once when the word is set.
    pub fn park_until(&self, deadline: Option<Instant>) -> Parked {
        if self.is_set() {
            return Parked::Woken;
        }
        hooks::widen();
        hooks::count_caught(self.is_set());
        match self.parker.park_until(deadline) {
            true => Parked::Woken,
            false => Parked::TimedOut,
        }
    }

    fn interrupt_host_call(&self) {
        let tid = self.in_host_call.load(Ordering::SeqCst);
        if tid != 0 {
            crate::hostcall::signal_thread(tid);
        }
    }
}

/// A notification ends a sleep without interrupting guest code.
impl Notify for Kick {
    fn notify(&self, _events: u32) {
        self.parker.unpark();
    }
}
