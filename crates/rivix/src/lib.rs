//! Runs riscv64 Linux programs inside this process: no kernel module, no root,
//! no virtual machine.
//!
//! A [`Sandbox`] is one guest kernel; a [`Command`] names a program to run in
//! it; a [`Child`] is a running guest process. Guests are threads of this
//! process, yet they see only what the builder granted.
//!
//! ```
//! use rivix::{Sandbox, Stdio};
//!
//! # fn main() -> rivix::Result<()> {
//! let sandbox = Sandbox::builder().build()?;
//! let output = sandbox.demo().stdin(Stdio::null()).output()?;
//! assert!(output.status.success());
//! println!("{}", String::from_utf8_lossy(&output.stdout));
//! # Ok(()) }
//! ```
//!
//! # What it does to this process
//!
//! **Invariant:** it never exits or signals the process, never changes its
//! working directory, umask, environment, or the signal mask of a thread that
//! it did not make. Dropping a sandbox frees all it had: threads, descriptors,
//! mappings, also with guests running. The one thing it installs for the whole
//! process is a handler for SIGSEGV and SIGBUS, since guest memory faults are
//! host faults; a fault that is not a guest's goes to the handler that was
//! there before. A program that replaces handlers itself calls
//! [`handle_signal`] from its own. One real-time signal is used to interrupt
//! threads of ours.
//!
//! **Invariant L1:** `unsafe` here only calls the host's C library, with
//! pointers to live objects of this crate's own, of the size the call expects.
//!
//! Logging is through `tracing`; hints for a person carry the target `rivix_hint`.

mod abi;
pub mod asynchronous;
mod child;
mod command;
mod demo;
pub mod doctor;
mod engine;
mod env;
mod error;
mod exit;
mod hooks;
mod host;
pub mod info;
mod pipe;
mod process;
mod sandbox;
pub mod stats;
mod stdio;
#[doc(hidden)]
pub mod testing;

pub use abi::Abi;
pub use asynchronous::Driven;
pub use child::{Child, Output};
pub use command::Command;
pub use engine::Engine;
pub use error::{EXIT_INTERNAL, EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, Error, Result};
pub use exit::{ExitReason, ExitStatus, signal_name};
pub use pipe::{ChildStderr, ChildStdin, ChildStdout};
pub use rivix_mem::fault::handle_signal;
pub use sandbox::{Sandbox, SandboxBuilder};
pub use stats::Stats;
pub use stdio::Stdio;
