//! Threads by slot, and what a thread does with its time.

use super::NOT_YET;
use rivix_abi::Errno;
use rivix_task::teaching::Joined;
use rivix_task::{CurrentTask, SysResult};

const NS_PER_MS: i128 = 1_000_000;
/// Priorities begin here.
const LOWEST_PRIORITY: i64 = 2;

pub(super) fn create(task: &mut CurrentTask, entry: u64, argument: u64) -> SysResult<u32> {
    task.create_thread(entry, argument)
}

pub(super) fn gettid(task: &mut CurrentTask) -> SysResult<u32> {
    Ok(task.slot())
}

/// The exit code of a thread, which is forgotten then: -2 as long as it runs, -1 if
/// there is none. A code of -2 is told once, so that who asks on is told -1.
pub(super) fn waittid(task: &mut CurrentTask, thread: u64) -> SysResult<i64> {
    Ok(match task.join_thread(thread)? {
        Joined::Absent => return Err(Errno::ESRCH.into()),
        Joined::Running => NOT_YET,
        Joined::Ended(code, _) => code.into(),
    })
}

pub(super) fn sleep(task: &mut CurrentTask, ms: u64) -> SysResult<()> {
    task.sleep_for(i128::from(ms) * NS_PER_MS)
}

pub(super) fn sched_yield(task: &mut CurrentTask) -> SysResult<()> {
    crate::sched::sched_yield(task)
}

/// Checked and answered as those kernels do; the host schedules all alike.
pub(super) fn set_priority(_: &mut CurrentTask, priority: i64) -> SysResult<i64> {
    if priority < LOWEST_PRIORITY {
        return Err(Errno::EINVAL.into());
    }
    Ok(priority)
}
