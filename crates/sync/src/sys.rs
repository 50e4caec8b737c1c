//! The switch between the host's primitives and the model checkers'.
//!
//! Code that is model checked takes its atomics, locks, sleeps, threads and
//! thread-locals from here. Which set it gets is a compiler flag that
//! `cargo xtask model` passes:
//!
//! | flags | set |
//! |---|---|
//! | none | the host: std, parking_lot, futex(2) |
//! | `--cfg rivix_model --cfg rivix_loom` | loom: every interleaving of a small protocol |
//! | `--cfg rivix_model --cfg rivix_shuttle` | shuttle: many random schedules of a whole pool |
//!
//! Under a model there is no time: a sleep with a deadline may end at any point
//! of the other threads' progress, so a time-out is one more branch.

#[cfg(not(rivix_model))]
#[path = "sys/host.rs"]
mod set;
#[cfg(rivix_loom)]
#[path = "sys/loom.rs"]
mod set;
#[cfg(rivix_shuttle)]
#[path = "sys/shuttle.rs"]
mod set;

#[cfg(not(rivix_loom))]
#[path = "sys/cell.rs"]
mod cell;
#[cfg(rivix_model)]
#[path = "sys/checked.rs"]
mod checked;

#[cfg(not(rivix_model))]
use set as checked;

pub use checked::{Futex, yield_now};
pub(crate) use checked::{
    RawMutex, RawMutexGuard, RawRwLock, RawRwLockReadGuard, RawRwLockWriteGuard,
};
pub use set::{UnsafeCell, atomic, thread};

/// Declares thread-locals of the chosen set: `thread_local_var! { static NAME: Type = value; }`.
/// Use through `with` and `try_with`.
#[macro_export]
macro_rules! thread_local_var {
    ($($(#[$meta:meta])* $vis:vis static $name:ident: $ty:ty = $init:expr;)*) => {
        $($crate::set_thread_local! { $(#[$meta])* $vis static $name: $ty = $init; })*
    };
}

/// Is the named fault seeded into this run? Models must fail with it on; outside
/// models it is constant false and costs nothing.
#[cfg(not(rivix_model))]
#[inline(always)]
pub const fn mutant(_name: &str) -> bool {
    false
}

/// Is the named fault seeded into this run (`RIVIX_MUTANT`)? Models must fail with it on.
#[cfg(rivix_model)]
pub fn mutant(name: &str) -> bool {
    static CHOSEN: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    CHOSEN
        .get_or_init(|| std::env::var("RIVIX_MUTANT").ok())
        .as_deref()
        == Some(name)
}
