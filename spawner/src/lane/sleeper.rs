//! A thread that waits for one thing of a lane's.

use crate::current;
use rivix_sync::sys::atomic::{AtomicU32, Ordering};
use rivix_sync::{Mutex, Parker, level, thread_local_var};
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;

/// One thread's place to sleep. It outlives what it is told about, so who tells
/// may still be touching it when the sleeper has gone on.
pub(super) struct Sleeper {
    told: AtomicU32,
    parker: Parker,
}

thread_local_var! {
    static SLEEPER: RefCell<Option<Arc<Sleeper>>> = RefCell::new(None);
}

impl Sleeper {
    fn new() -> Arc<Self> {
        Arc::new(Sleeper {
            told: AtomicU32::new(0),
            parker: Parker::new(),
        })
    }

    /// This thread's; it waits for one thing at a time. Not told of anything yet.
    pub(super) fn current() -> Arc<Sleeper> {
        // A thread whose locals are gone can still wait.
        SLEEPER
            .try_with(|own| own.borrow_mut().get_or_insert_with(Sleeper::new).clone())
            .unwrap_or_else(|_| Sleeper::new())
    }

    /// Ends the wait. Everything before it is seen after [`Sleeper::wait`].
    pub(super) fn tell(&self) {
        // A swap like the sleeper's own: their order is then plain to a model too.
        self.told.swap(1, Ordering::Release);
        self.parker.unpark();
    }

    /// Sleeps until told; does not unwind.
    pub(super) fn wait(&self) {
        self.wait_until(None);
    }

    /// False: `deadline` came first, and it may still be told later.
    fn wait_until(&self, deadline: Option<Instant>) -> bool {
        loop {
            // An earlier tell's permit may be left over: only `told` counts.
            if self.told.swap(0, Ordering::Acquire) == 1 {
                return true;
            }
            if !self.parker.park_until(deadline) {
                return self.told.swap(0, Ordering::Acquire) == 1;
            }
        }
    }
}

/// Something that happens once.
#[derive(Default)]
pub(super) struct Event {
    state: Mutex<level::Lane, Happening>,
}

#[derive(Default)]
struct Happening {
    has_happened: bool,
    waiting: Vec<Arc<Sleeper>>,
}

impl Event {
    pub(super) fn set(&self) {
        let waiting = {
            let mut state = self.state.lock();
            state.has_happened = true;
            std::mem::take(&mut state.waiting)
        };
        for sleeper in waiting {
            sleeper.tell();
        }
    }

    pub(super) fn is_set(&self) -> bool {
        self.state.lock().has_happened
    }

    /// Sleeps until it has happened; false: `deadline` came first.
    pub(super) fn wait_until(&self, deadline: Option<Instant>) -> bool {
        // A place of its own: given up, it may still be told.
        let sleeper = Sleeper::new();
        {
            let mut state = self.state.lock();
            if state.has_happened {
                return true;
            }
            state.waiting.push(sleeper.clone());
        }
        let _blocked = current::block();
        if sleeper.wait_until(deadline) {
            return true;
        }
        let mut state = self.state.lock();
        state.waiting.retain(|other| !Arc::ptr_eq(other, &sleeper));
        state.has_happened
    }
}
