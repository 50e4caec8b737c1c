//! System calls: the table, the dispatcher, one module per family.
//!
//! To add a call: write the handler in its family's folder, named as the call;
//! export it from the family's `mod.rs`; add its row to [`table`]. The handler's
//! signature says how arguments are read, so the row needs no arity.
//!
//! **Invariant:** handlers trust no argument, panic over none, and report
//! success only for work that was done.

#![forbid(unsafe_code)]

pub mod arg;
pub mod dispatch;
pub mod strace;
pub mod table;
pub mod teaching;

pub mod dir;
pub mod fd;
pub mod file;
pub mod futex;
pub mod ids;
pub mod memory;
pub mod misc;
pub mod net;
pub mod pipe;
pub mod poll;
pub mod process;
pub mod sched;
pub mod signal;
pub mod time;

pub use arg::Fd;
pub use dispatch::entry;
