//! Turning refused accesses into values.
//!
//! SIGSEGV and SIGBUS come here. If the interrupted instruction is in the
//! exception table (see [`ex_entry!`](crate::ex_entry)), or a compiler tier
//! knows it ([`set_code_lookup`]), execution goes on at its landing pad.
//! Otherwise the signal is somebody else's: what was installed before us gets
//! it, Rust's own stack-overflow report included.

mod handler;
mod table;
mod thread;

pub use handler::{
    NotInstalled, handle_signal, install, leave_to_embedder, set_code_lookup, verify,
};
pub use thread::{SignalStack, ThreadGuard};
