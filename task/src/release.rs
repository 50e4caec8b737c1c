//! Work put off until it can do no harm.
//!
//! What is let go of deep inside an operation may do a lot when it is dropped:
//! close files, free memory, take locks that the caller holds. Such work is put
//! off here and done when the thread holds nothing: a guest's thread does it
//! after the system call, a worker of the kernel's after each poll and at the
//! end of its unit.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What is put off.
pub type Release = Box<dyn FnOnce()>;

rivix_sync::thread_local_var! {
    static IS_OPEN: Cell<bool> = Cell::new(false);
    static LIST: RefCell<VecDeque<Release>> = RefCell::new(VecDeque::new());
}

/// Does `work` on this thread as soon as it holds nothing; on a thread that
/// runs no task, at once.
pub fn release_later(work: Release) {
    let mut work = Some(work);
    if IS_OPEN.try_with(Cell::get).unwrap_or(false) {
        let _ = LIST.try_with(|list| list.borrow_mut().extend(work.take()));
    }
    if let Some(work) = work {
        work();
    }
}

/// While it lives, this thread puts work off. Dropping it does what is left.
pub(crate) struct Releases {
    _not_send: PhantomData<*mut ()>,
}

impl Releases {
    pub(crate) fn begin() -> Releases {
        IS_OPEN.with(|open| open.set(true));
        Releases {
            _not_send: PhantomData,
        }
    }

    /// Is there anything to do?
    pub(crate) fn is_pending(&self) -> bool {
        LIST.with(|list| !list.borrow().is_empty())
    }

    /// Does what was put off, in order, and what that puts off in turn. Returns
    /// how many of them panicked; the others are done all the same.
    pub(crate) fn run(&self) -> u64 {
        let mut panics = 0;
        // Nothing is borrowed while work runs: it may put off more.
        while let Some(work) = LIST.with(|list| list.borrow_mut().pop_front()) {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(work)) {
                panics += 1;
                tracing::error!("work that was put off panicked");
                // Its drop is somebody's code, too.
                let _ = catch_unwind(AssertUnwindSafe(|| drop(payload)));
            }
        }
        panics
    }
}

impl Drop for Releases {
    fn drop(&mut self) {
        self.run();
        IS_OPEN.with(|open| open.set(false));
    }
}

#[cfg(all(test, not(rivix_model)))]
mod tests {
    use super::*;
    use std::rc::Rc;

    fn log() -> (Rc<RefCell<Vec<i32>>>, impl Fn(i32) -> Release) {
        let log = Rc::new(RefCell::new(Vec::new()));
        let to = log.clone();
        (log, move |n| {
            let to = to.clone();
            Box::new(move || to.borrow_mut().push(n))
        })
    }

    #[test]
    fn work_waits_for_its_time_and_keeps_its_order() {
        let (log, work) = log();
        let releases = Releases::begin();
        release_later(work(1));
        release_later(work(2));
        assert!(log.borrow().is_empty());
        assert_eq!(releases.run(), 0);
        assert_eq!(*log.borrow(), [1, 2]);
        release_later(work(3));
        drop(releases);
        assert_eq!(*log.borrow(), [1, 2, 3]);
        // Nobody would come for it now.
        release_later(work(4));
        assert_eq!(*log.borrow(), [1, 2, 3, 4]);
    }

    #[test]
    fn work_may_put_off_more_and_may_panic() {
        let (log, work) = log();
        let releases = Releases::begin();
        let more = work(2);
        release_later(Box::new(move || release_later(more)));
        release_later(Box::new(|| panic!("on purpose")));
        release_later(work(1));
        assert_eq!(releases.run(), 1);
        assert_eq!(*log.borrow(), [1, 2]);
    }
}
