//! Processes and threads: birth, end, waiting, identity.

mod exit;
mod pid;

pub use exit::{exit, exit_group};
pub use pid::{getpid, getppid, gettid};
