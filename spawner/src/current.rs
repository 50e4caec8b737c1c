#![expect(dead_code, reason = "the parts that use the completion handle follow")]
//! Which worker this thread is.

use rivix_sync::thread_local_var;
use std::cell::RefCell;
use std::sync::Arc;

/// A pool seen from one of its own threads.
pub(crate) trait OwnPool: Send + Sync {
    /// This worker is about to sleep on somebody else's work: another may take its place.
    fn block(&self);

    /// It is awake again.
    fn unblock(&self);
}

thread_local_var! {
    static CURRENT: RefCell<Option<Arc<dyn OwnPool>>> = RefCell::new(None);
}

/// This thread begins (or ends) to work for `pool`.
pub(crate) fn set(pool: Option<Arc<dyn OwnPool>>) {
    let old = CURRENT.try_with(|current| current.replace(pool));
    drop(old);
}

/// Is this thread a worker of `pool`?
pub(crate) fn is_worker_of(pool: *const ()) -> bool {
    CURRENT
        .try_with(|current| {
            current
                .borrow()
                .as_ref()
                .is_some_and(|own| Arc::as_ptr(own).cast::<()>() == pool)
        })
        .unwrap_or(false)
}

/// Is this thread a worker of any pool?
pub fn is_worker() -> bool {
    CURRENT
        .try_with(|current| current.borrow().is_some())
        .unwrap_or(false)
}

/// While it lives, this thread's pool may run another unit in its place.
#[must_use]
pub struct Blocked {
    pool: Option<Arc<dyn OwnPool>>,
}

/// Marks this thread as sleeping on other people's work, until the guard is
/// dropped. A worker of a capped pool frees its place that way, so that units
/// which wait for units of the same pool do not run out of workers. On other
/// threads it does nothing.
pub fn block() -> Blocked {
    let pool = CURRENT
        .try_with(|current| current.borrow().clone())
        .ok()
        .flatten();
    if let Some(pool) = &pool {
        pool.block();
    }
    Blocked { pool }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        if let Some(pool) = &self.pool {
            pool.unblock();
        }
    }
}
