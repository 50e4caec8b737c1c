//! Processes and threads: birth, end, waiting, identity.

mod clone;
pub mod execve;
mod exit;
mod group;
mod pid;
pub(crate) mod pidfd;
mod rlimit;
mod thread;
mod wait;

pub use clone::{clone, clone3, unshare};
pub use execve::{execve, execveat};
pub use exit::{exit, exit_group};
pub use group::{getpgid, getsid, setpgid, setsid};
pub use pid::{getpid, getppid, gettid};
pub use pidfd::{pidfd_getfd, pidfd_open, pidfd_send_signal};
pub use rlimit::{getrlimit, prlimit64, setrlimit};
pub use thread::set_tid_address;
pub use wait::{wait4, waitid};
