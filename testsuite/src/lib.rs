//! Builds guest programs for two machines, runs them under several kernels and
//! compares what each test did.
//!
//! - [`toolchain`] compiles a C, C++ or assembly file for riscv64 or the host,
//!   once per content.
//! - [`process`] runs a program with a time limit and leaves nothing behind.
//! - [`mod@column`] is one way to run guest programs (host kernel, qemu, rivix, ...).
//! - [`expect`] reads the list of known failures.
//! - [`suite`] puts them together; [`report`] writes what came out.
//!
//! - [`teaching`] runs the programs of teaching kernels.
//! - [`dialogue`] talks to a program on a terminal, as its user would.
//!
//! **Unsafe:** only in [`process`], for `wait4`, `setsid`, CPU affinity and becoming
//! another user, and in [`dialogue`], for pseudo-terminals and signals. Invariant P1:
//! every pointer handed to the host there is to a live local.

pub mod column;
pub mod dialogue;
pub mod expect;
pub mod paths;
pub mod process;
pub mod report;
pub mod suite;
pub mod teaching;
pub mod toolchain;
