//! The processor's and the host kernel's part in a model: a thread whose signals
//! are taken between any two of its steps, at the latest when it sleeps.
//!
//! A signal taken inside the window is the handler's to fix up; one taken outside
//! is spent. That is all the real window does, so what is checked is the rest: who
//! sets, clears and looks at what, and in which order.

use super::NoKickSignal;
use crate::Kick;
use crate::sys::{self, Futex, atomic::Ordering};

pub(super) const ABORTED: isize = -512;

/// What the thread sleeps on: a signal, or the event the call is for.
const SIGNAL: u32 = 1;
const EVENT: u32 = 2;

/// The host's side of one thread.
pub(crate) struct ModelThread {
    sleep: Futex,
}

impl Default for ModelThread {
    fn default() -> Self {
        ModelThread {
            sleep: Futex::new(0),
        }
    }
}

impl ModelThread {
    fn raise(&self, bit: u32) {
        self.sleep.word.fetch_or(bit, Ordering::SeqCst);
        self.sleep.wake_one();
    }

    /// What the call waits for has happened.
    #[cfg(all(test, rivix_loom))]
    pub(crate) fn complete(&self) {
        self.raise(EVENT);
    }

    /// Has a signal come? It is spent by the look.
    fn takes_signal(&self) -> bool {
        self.sleep.word.fetch_and(!SIGNAL, Ordering::SeqCst) & SIGNAL != 0
    }
}

/// Blocks until the event, which the call takes.
pub(super) unsafe fn call(kick: Option<&Kick>, _: i64, _: [usize; 6]) -> isize {
    let Some(kick) = kick else {
        return 0;
    };
    let thread = &kick.model_thread;
    // Before the window: a late signal finds nothing to do.
    thread.takes_signal();
    if kick.is_set() {
        return ABORTED;
    }
    // Inside the window: the handler moves the program counter.
    if thread.takes_signal() && !sys::mutant("hostcall-no-fixup") {
        return ABORTED;
    }
    // In the kernel, which looks and goes to sleep in one step.
    loop {
        let word = thread.sleep.word.load(Ordering::SeqCst);
        if word & EVENT != 0 {
            thread.sleep.word.fetch_and(!EVENT, Ordering::SeqCst);
            return 1;
        }
        if word & SIGNAL != 0 {
            thread.takes_signal();
            return -(libc::EINTR as isize);
        }
        thread.sleep.wait(0, None);
    }
}

pub(super) fn thread_id() -> u32 {
    1
}

pub(super) fn interrupt(kick: &Kick, _: u32) {
    kick.model_thread.raise(SIGNAL);
}

pub(super) fn install() -> Result<i32, NoKickSignal> {
    Err(NoKickSignal)
}

pub(super) fn let_in() {}
