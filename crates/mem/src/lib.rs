//! Guest address spaces.
//!
//! An [`AddressSpace`] owns a [`window`] of host virtual memory in which every
//! guest page lies at `window base + guest address`, so that the host's MMU
//! checks mapping and permission. A tree of [`vma`]s beside it is the truth for
//! everything the MMU cannot say: what may be executed, why an access failed,
//! what /proc/self/maps shows, and the limits. [`copy`] moves bytes in and out;
//! [`fault`] turns a refused access into a value.
//!
//! The `unsafe` code of this crate rests on these:
//!
//! - **Invariant M1:** a window is reserved from its creation to its release, and no
//!   part of it is ever unmapped: parts are only *replaced* (`MAP_FIXED`). So no
//!   foreign host mapping can appear inside one.
//! - **Invariant M2:** a host address is made from a guest address only by
//!   [`window::Window::host`], which checks the whole range against the window's size.
//! - **Invariant M3:** no Rust reference or slice is formed over guest memory; bytes are
//!   copied, by assembly whose every access has an exception-table entry.
//! - **Invariant M4:** no page of a window is executable on the host.
//! - **Invariant M5:** the signal handlers touch only atomics, immutable tables and
//!   the interrupted context.
//! - **Invariant M6:** host calls that change a window's mappings run with the
//!   address space's lock held for writing.

mod advise;
mod atomic;
mod brk;
mod budget;
mod code;
mod copy;
mod counters;
pub mod fault;
mod fork;
mod futex;
mod info;
mod layer;
mod lock;
mod map;
mod names;
mod pages;
mod protect;
mod remap;
mod source;
mod space;
mod touch;
mod uffd;
mod vma;
mod window;

pub use budget::{Budget, HostLimits};
pub use code::{FileCode, FileVersion};
pub use counters::Usage;
pub use futex::FutexKey;
pub use info::MappingInfo;
pub use map::{Backing, MapRequest};
pub use rivix_abi::mman::{MapFlags, Prot};
pub use source::{MapSource, note_truncate};
pub use space::{AddressSpace, ExecObserver, FaultCause, MemAccess, MemConfig, MemLimits};

/// Full-size windows that address spaces of this host process hold now.
pub fn full_windows() -> usize {
    window::full_windows()
}

/// Gives the host back the windows kept for reuse.
pub fn trim() {
    window::trim();
}
