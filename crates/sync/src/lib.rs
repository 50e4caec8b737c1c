//! Locks with a stated order, the one way to sleep, wait queues, and kicks.
//!
//! - [`Mutex`], [`RwLock`]: the type names a [`level`]; debug builds panic when a
//!   thread takes a lock of a level at or above one it holds.
//! - [`Parker`]: a one-permit token, the only primitive that sleeps.
//! - [`WaitQueue`]: who wants to hear of an event. Register, then look, then sleep.
//! - [`hostcall`]: the one way to make a host call that may block.
//! - [`Kick`]: how one task's thread is made to look up: from guest code, from a
//!   sleep, or from a host call that blocks.
//! - [`futex`]: queues of guests' waiters by word, and locks with an owner.
//! - [`sys`]: the switch between the host's primitives and the model checkers'.
//!
//! ```
//! use rivix_sync::{Mutex, assert_no_lock_held, level};
//!
//! let pool = Mutex::<level::Pool, _>::new(1);
//! let worker = Mutex::<level::Worker, _>::new(2);
//! {
//!     let outer = pool.lock();
//!     let inner = worker.lock(); // listed after Pool: fine; before it: a panic in debug builds
//!     assert_eq!(*outer + *inner, 3);
//! }
//! // Said before anything that may sleep or call others' code.
//! assert_no_lock_held("calling back");
//! ```
//!
//! # To be model checked
//!
//! Code that a model shall check takes locks, atomics, cells, sleeps, threads and
//! thread-locals from here and nowhere else ([`std::sync::Arc`] is as good). It
//! makes values at run time, since the checkers' have no constants; it never spins,
//! since a checker tries every turn of a spin; and where two threads must not miss
//! each other it says so with a fence, which loom takes at its word, unlike the
//! order of a single access. A fault that its models must find is seeded with
//! [`sys::mutant`].

pub mod futex;
pub mod hooks;
pub mod hostcall;
mod kick;
mod lock;
mod parker;
pub mod sys;
mod wait;

pub use kick::{Kick, Parked};
pub use lock::{
    Level, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, SecondGuard, StaticMutex,
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
