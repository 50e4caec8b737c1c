//! Which worker this thread is.

use rivix_sync::thread_local_var;
use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::sync::Arc;

/// A pool seen from one of its own threads.
pub(crate) trait OwnPool: Send + Sync {
    /// Never 0, and never another pool's.
    fn id(&self) -> u64;

    /// This worker is about to sleep on somebody else's work: another may take its place.
    fn block(&self);

    /// It is awake again.
    fn unblock(&self);
}

thread_local_var! {
    static CURRENT: RefCell<Option<Arc<dyn OwnPool>>> = RefCell::new(None);
    /// The pool's id; 0: none. It stays while the thread's destructors run,
    /// which must not wait for their own pool either.
    static OWN: Cell<u64> = Cell::new(0);
    /// A unit runs: only then is the thread counted as running.
    static IS_IN_UNIT: Cell<bool> = Cell::new(false);
    /// Guards of [`block`] alive in this unit, and which unit this is.
    static BLOCKS: Cell<usize> = Cell::new(0);
    static UNIT: Cell<u64> = Cell::new(0);
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
    if let Some(pool) = &pool {
        let _ = OWN.try_with(|own| own.set(pool.id()));
    }
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

/// Is this thread a worker of the pool with this id?
pub(crate) fn is_worker_of(id: u64) -> bool {
    OWN.try_with(Cell::get).is_ok_and(|own| own == id)
}

/// A unit begins on this worker.
pub(crate) fn unit_begins() {
    let _ = UNIT.try_with(|unit| unit.set(unit.get() + 1));
    let _ = BLOCKS.try_with(|blocks| blocks.set(0));
    let _ = IS_IN_UNIT.try_with(|is_in| is_in.set(true));
}

/// The unit has ended. A guard that it leaked counts no longer.
pub(crate) fn unit_ends() {
    let _ = IS_IN_UNIT.try_with(|is_in| is_in.set(false));
    let _ = UNIT.try_with(|unit| unit.set(unit.get() + 1));
    if BLOCKS.try_with(|blocks| blocks.replace(0)).unwrap_or(0) > 0
        && let Some(pool) = own()
    {
        pool.unblock();
    }
}

fn own() -> Option<Arc<dyn OwnPool>> {
    CURRENT
        .try_with(|current| current.borrow().clone())
        .ok()
        .flatten()
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
    /// The unit it was made in; None: it counts for nothing.
    unit: Option<u64>,
    /// It is this thread that sleeps.
    _here: PhantomData<*const ()>,
}

/// Marks this thread as sleeping on other people's work, until the guard is
/// dropped. A worker of a capped pool frees its place that way, so that units
/// which wait for units of the same pool do not run out of workers. Guards
/// within guards count once. Outside a unit it does nothing.
pub fn block() -> Blocked {
    let mut guard = Blocked {
        unit: None,
        _here: PhantomData,
    };
    if !IS_IN_UNIT.try_with(Cell::get).unwrap_or(false) {
        return guard;
    }
    guard.unit = UNIT.try_with(Cell::get).ok();
    let outer = BLOCKS.try_with(|blocks| blocks.replace(blocks.get() + 1));
    if outer.is_ok_and(|outer| outer == 0)
        && let Some(pool) = own()
    {
        pool.block();
    }
    guard
}

impl Drop for Blocked {
    fn drop(&mut self) {
        if self.unit.is_none() || self.unit != UNIT.try_with(Cell::get).ok() {
            return;
        }
        let left = BLOCKS.try_with(|blocks| {
            blocks.set(blocks.get().saturating_sub(1));
            blocks.get()
        });
        if left.is_ok_and(|left| left == 0)
            && let Some(pool) = own()
        {
            pool.unblock();
        }
    }
}
