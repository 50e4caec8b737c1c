//! Locks with a stated order, the one way to sleep, wait queues, and kicks.
//!
//! - [`Mutex`], [`RwLock`]: the type names a [`level`]; debug builds panic when a
//!   thread takes a lock of a level at or above one it holds.
//! - [`Parker`]: a one-permit token, the only primitive that sleeps.
//! - [`WaitQueue`]: who wants to hear of an event. Register, then look, then sleep.
//! - [`hostcall`]: the one way to make a host call that may block.
//! - [`sys`]: the switch between the host's primitives and the model checkers'.
//! - [`Kick`]: how one task's thread is made to look up: from guest code, from a
//!   sleep, or from a host call that blocks.

pub mod hostcall;
mod kick;
mod lock;
mod parker;
pub mod sys;
mod wait;

pub use kick::{Kick, Parked};
pub use lock::{
    Level, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, SecondGuard,
    assert_no_lock_held, level,
};
pub use parker::Parker;
pub use wait::{Notify, WaitEntry, WaitQueue};

#[cfg(rivix_loom)]
#[doc(hidden)]
pub use loom;
#[cfg(rivix_shuttle)]
#[doc(hidden)]
pub use shuttle;
