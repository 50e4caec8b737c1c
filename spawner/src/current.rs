//! Which worker this thread is.

use rivix_sync::thread_local_var;
use std::cell::{Cell, RefCell};
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
    /// Set for a thread's whole life: it must never join threads of this crate
    /// that may be joining it.
    static IS_OURS: Cell<bool> = Cell::new(false);
    static IS_CREATOR: Cell<bool> = Cell::new(false);
    /// The unit left the thread in a state that others must not meet.
    static IS_SPOILED: Cell<bool> = Cell::new(false);
}

/// This thread begins (or ends) to work for `pool`.
pub(crate) fn set(pool: Option<Arc<dyn OwnPool>>) {
    let _ = IS_OURS.try_with(|ours| ours.set(true));
    let old = CURRENT.try_with(|current| current.replace(pool));
    drop(old);
}

pub(crate) fn set_creator() {
    let _ = IS_OURS.try_with(|ours| ours.set(true));
    let _ = IS_CREATOR.try_with(|creator| creator.set(true));
}

pub(crate) fn is_creator() -> bool {
    IS_CREATOR.try_with(Cell::get).unwrap_or(false)
}

/// Is this thread a worker, or a creator?
pub(crate) fn is_ours() -> bool {
    IS_OURS.try_with(Cell::get).unwrap_or(false)
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

/// After this unit the thread ends rather than serve another.
pub fn spoil() {
    let _ = IS_SPOILED.try_with(|spoiled| spoiled.set(true));
}

pub(crate) fn is_spoiled() -> bool {
    IS_SPOILED.try_with(Cell::get).unwrap_or(false)
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
