//! The kernel's processes and threads.
//!
//! - [`Kernel`]: one sandbox: pid table, clock, timers, limits, threads.
//! - [`ThreadGroup`]: a process. [`Task`]: a thread, as anyone may see it.
//! - [`KernelTask`]: a task of the kernel's own. [`KernelWorker`] gives one to each
//!   worker that does kernel-side work.
//! - [`CurrentTask`]: the thread that runs here; neither Send nor Sync, the
//!   first argument of every system call.
//! - `guest_loop`: run the engine, answer its trap, look at signals, again.
//! - [`CurrentTask::block_until`]: the one place that sleeps.
//!
//! **Invariant T1:** who is whose parent, in which group and session, and which
//! ids exist is guarded by one lock, `Pids`, and nothing else knows it.
//!
//! **Invariant T2:** a reason to look up (signal queued, exit begun, stop) is
//! written under the group's signal lock before the task is kicked; the task
//! clears its kick before it looks.
//!
//! **Invariant T3:** a dead task holds no memory, files or directory: they are
//! dropped before anyone can learn of its end.
//!
//! **Invariant T4:** a number names one thing at a time: whoever uses it, as
//! task, process, group or session, holds a counted reference of it ([`ids`]).
//!
//! Absent on purpose: system-call numbers (`syscalls` gives the entry), file
//! operations, encodings.

pub mod affinity;
mod attributes;
mod birth;
mod block;
mod clock;
mod clone;
mod clone_args;
mod counts;
mod cputime;
mod creds;
mod current;
mod error;
mod exec;
mod exit;
mod exit_status;
pub mod futex;
mod gate;
mod group;
mod guest_loop;
pub mod ids;
mod itimers;
mod jobctl;
mod kernel;
mod kernel_task;
pub mod membarrier;
mod memory;
mod offload;
mod pids;
mod proc_info;
pub mod random;
mod reaper;
mod release;
mod rendezvous;
mod rseq;
pub mod seccomp;
#[cfg(all(test, rivix_shuttle))]
mod shuttle_model;
pub mod signal;
mod spawn_error;
mod stats;
mod task;
pub mod teaching;
mod terminal;
#[cfg(all(test, not(rivix_loom)))]
mod testing;
mod timers;
mod traits;
mod users;
mod vcpu;
mod wait;
mod worker_context;

pub use clock::{AnyClock, CpuKind, KernelClock, is_own_thread_clock, is_sampled_clock};
pub use clone::{ProcessRequest, StartedProcess};
pub use clone_args::{CloneArgs, NAMESPACES};
pub use counts::Counts;
pub use cputime::CpuTimes;
pub use creds::{Creds, cap};
pub use current::{CurrentTask, PATH_MAX, current_ids};
pub use error::{Blocked, Restart, RestartBlock, SysError, SysResult};
pub use exec::NewProgram;
pub use exit_status::ExitStatus;
pub use group::ThreadGroup;
pub use guest_loop::{Outcome, SyscallEntry};
pub use kernel::{
    ExitReport, ExitWatch, Kernel, KernelConfig, KernelHooks, NoHooks, ShutdownReason,
    SyscallTracer,
};
pub use kernel_task::KernelTask;
pub use memory::{Memory, Program};
pub use proc_info::{RELEASE, VERSION};
pub use release::{Release, release_later};
pub use rseq::{Registration, check_area};
pub use signal::SendTo;
pub use spawn_error::spawn_errno;
pub use stats::{Stats, StatsReport};
pub use task::{MachineChecks, Sched, Task};
pub use teaching::Abi;
pub use terminal::TerminalFile;
pub use timers::{TimerNotice, TimerSetting};
pub use traits::{CoreFilter, Mdwe, MemoryTraits};
pub use wait::{WaitFor, Waited};
pub use worker_context::{GuestWorker, KernelSeed, KernelWorker};
