//! Loading programs: ELF files, `#!` scripts, the initial stack, the vdso.
//!
//! An execve has two halves. [`prepare()`] reads and checks the program, its
//! scripts and its interpreter, and touches nothing: whatever it refuses leaves
//! the caller as it was. [`commit`] puts the result into a fresh
//! [`AddressSpace`](rivix_mem::AddressSpace) and says where to start. [`load()`] is both.
//! [`inspect()`] describes a file for people.
//!
//! **Invariant:** files are hostile. Offsets and sums are checked, counts and
//! allocations bounded by [`image`]'s limits; nothing here panics over a file.
//!
//! **Invariant:** no file is opened here; the caller's `lookup` opens, and
//! checks permission.

#![forbid(unsafe_code)]

pub mod auxv;
pub mod error;
pub mod file;
pub mod image;
pub mod inspect;
pub mod load;
pub mod prepare;
pub mod script;
pub mod stack;
pub mod vdso;

pub use auxv::AuxInputs;
pub use error::{LoadError, Problem, SegmentFault};
pub use file::{ExecFile, MemoryFile};
pub use inspect::{Info, inspect};
pub use load::{Loaded, commit, load};
pub use prepare::{LoadRequest, Lookup, MAX_ARG_STRLEN, Prepared, argument_limit, prepare};
