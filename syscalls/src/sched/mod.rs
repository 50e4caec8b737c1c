//! Scheduling: policies and priorities are checked, kept and reported, and the
//! host schedules; affinity is the host thread's own.

mod affinity;
mod policy;
mod priority;

pub use affinity::{getcpu, sched_getaffinity, sched_setaffinity};
pub use policy::{
    sched_get_priority_max, sched_get_priority_min, sched_getattr, sched_getparam,
    sched_getscheduler, sched_rr_get_interval, sched_setattr, sched_setparam, sched_setscheduler,
};
pub use priority::{getpriority, ioprio_get, ioprio_set, setpriority};

use rivix_abi::Errno;
use rivix_task::{CurrentTask, SysResult, Task, cap};
use std::sync::Arc;

pub fn sched_yield(task: &mut CurrentTask) -> SysResult<()> {
    task.yield_cpu();
    std::thread::yield_now();
    Ok(())
}

/// The task that a `pid` argument (a tid; 0: the caller) names.
fn target(task: &CurrentTask, pid: i32) -> Result<Arc<Task>, Errno> {
    match pid {
        0 => Ok(task.task().clone()),
        pid if pid == task.tid() => Ok(task.task().clone()),
        pid => task.kernel().find_task(pid).ok_or(Errno::ESRCH),
    }
}

/// May the caller change `target`'s scheduling? EPERM: another user's.
fn check_owner(task: &CurrentTask, target: &Task) -> Result<(), Errno> {
    let theirs = target.creds();
    let ours = task.creds();
    let is_owner = ours.euid == theirs.euid || ours.euid == theirs.uid;
    if is_owner || ours.has_cap(cap::SYS_NICE) {
        Ok(())
    } else {
        Err(Errno::EPERM)
    }
}
