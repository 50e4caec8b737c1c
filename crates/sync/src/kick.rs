//! Kicks: making one task's thread look up.

use crate::sys::{
    self,
    atomic::{AtomicU32, Ordering, fence},
};
use crate::{Notify, Parker, hooks};
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
pub struct Kick {
    word: AtomicU32,
    parker: Parker,
    /// Host thread id while the owner is inside an interruptible host call, else 0.
    pub(crate) in_host_call: AtomicU32,
    #[cfg(rivix_model)]
    pub(crate) model_thread: crate::hostcall::ModelThread,
}

impl Default for Kick {
    fn default() -> Self {
        Kick {
            word: AtomicU32::new(0),
            parker: Parker::new(),
            in_host_call: AtomicU32::new(0),
            #[cfg(rivix_model)]
            model_thread: Default::default(),
        }
    }
}

impl Kick {
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the owner stop running guest code, sleeping, or blocking in the host.
    pub fn kick(&self) {
        self.word.store(1, Ordering::Release);
        if !hooks::has_fixup() || sys::mutant("kick-no-permit") {
            self.parker.wake_sleeper();
        } else {
            self.parker.unpark();
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
        // As in the owner, between the two words.
        fence(Ordering::SeqCst);
        let tid = self.in_host_call.load(Ordering::Relaxed);
        if tid != 0 && !sys::mutant("kick-no-interrupt") {
            crate::hostcall::interrupt(self, tid);
        }
    }
}

/// A notification ends a sleep without interrupting guest code.
impl Notify for Kick {
    fn notify(&self, _events: u32) {
        self.parker.unpark();
    }
}

#[cfg(all(test, rivix_loom))]
mod model {
    use super::*;
    use crate::hostcall;
    use crate::sys::atomic::AtomicBool;
    use std::sync::Arc;

    /// A task, the reason it may be kicked for, and an event it may wait for.
    #[derive(Default)]
    struct Owner {
        kick: Kick,
        reason: Flag,
        event: Flag,
    }

    struct Flag(AtomicBool);

    impl Default for Flag {
        fn default() -> Self {
            Flag(AtomicBool::new(false))
        }
    }

    impl Flag {
        fn set(&self) {
            self.0.store(true, Ordering::SeqCst);
        }

        fn get(&self) -> bool {
            self.0.load(Ordering::SeqCst)
        }
    }

    impl Owner {
        /// What a task does about a kick: clear, then look for reasons.
        fn is_interrupted(&self) -> bool {
            if !self.kick.is_set() {
                return false;
            }
            self.kick.clear();
            self.reason.get()
        }

        /// Sleeps as the kernel's blocking function does, until the event or a
        /// reason; true: the event.
        fn sleep(&self) -> bool {
            loop {
                if self.event.get() {
                    return true;
                }
                if self.is_interrupted() {
                    return false;
                }
                self.kick.park_until(None);
            }
        }

        /// Blocks in a host call until the event or a reason; true: the event.
        fn host_call(&self) -> bool {
            loop {
                match hostcall::call_for(&self.kick) {
                    Ok(_) => return true,
                    Err(_) if self.is_interrupted() => return false,
                    Err(_) => {}
                }
            }
        }
    }

    /// Three threads have too many interleavings for all of them: those with up to
    /// two forced switches.
    fn checked(body: impl Fn() + Send + Sync + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(2);
        builder.check(body);
    }

    fn with_kicker(body: impl Fn(&Owner) + Send + Sync + 'static) {
        let body = Arc::new(body);
        loom::model(move || {
            let owner = Arc::new(Owner::default());
            let kicker = {
                let owner = owner.clone();
                loom::thread::spawn(move || {
                    owner.reason.set();
                    owner.kick.kick();
                })
            };
            body(&owner);
            kicker.join().unwrap();
        });
    }

    /// Wherever the kick lands, the owner sees the reason: no sleep outlasts it.
    #[test]
    fn kick_against_check_and_park() {
        with_kicker(|owner| assert!(!owner.sleep()));
    }

    /// The same of a host call, by the word, the window or the signal.
    #[test]
    fn kick_against_check_and_host_call() {
        with_kicker(|owner| assert!(!owner.host_call()));
    }

    /// A kick and the event at once: the call ends, and what is not seen by this
    /// one is seen by the next.
    #[test]
    fn kick_against_event_against_host_call() {
        checked(|| {
            let owner = Arc::new(Owner::default());
            let kicker = {
                let owner = owner.clone();
                loom::thread::spawn(move || {
                    owner.reason.set();
                    owner.kick.kick();
                })
            };
            let event = {
                let owner = owner.clone();
                loom::thread::spawn(move || owner.kick.model_thread.complete())
            };
            // Both come, in some order; neither is lost.
            let first = owner.host_call();
            if first {
                assert!(!owner.host_call());
            } else {
                assert!(owner.host_call());
            }
            kicker.join().unwrap();
            event.join().unwrap();
        });
    }

    /// A kick and a notification, then a second sleep: each ends one of them.
    #[test]
    fn kick_against_notify_against_park() {
        checked(|| {
            let owner = Arc::new(Owner::default());
            let kicker = {
                let owner = owner.clone();
                loom::thread::spawn(move || {
                    owner.reason.set();
                    owner.kick.kick();
                })
            };
            let notifier = {
                let owner = owner.clone();
                loom::thread::spawn(move || {
                    owner.event.set();
                    owner.kick.notify(0);
                })
            };
            // Whatever came first, the other is told of as well.
            if owner.sleep() {
                while !owner.is_interrupted() {
                    owner.kick.park_until(None);
                }
            } else {
                while !owner.event.get() {
                    owner.kick.park_until(None);
                }
            }
            kicker.join().unwrap();
            notifier.join().unwrap();
        });
    }
}
