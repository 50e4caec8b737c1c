//! getpriority(2), setpriority(2), ioprio_get(2), ioprio_set(2).

use super::target;
use rivix_abi::Errno;
use rivix_abi::resource::Resource;
use rivix_task::{CurrentTask, SysResult, Task, cap};
use std::sync::Arc;

const PRIO_PROCESS: i32 = 0;
const PRIO_PGRP: i32 = 1;
const PRIO_USER: i32 = 2;

/// The tasks that `which` and `who` name.
fn targets(task: &CurrentTask, which: i32, who: i32) -> Result<Vec<Arc<Task>>, Errno> {
    let found = match which {
        PRIO_PROCESS => target(task, who).into_iter().collect(),
        PRIO_PGRP => {
            let kernel = task.kernel();
            let group_of = |pid| kernel.group_and_session(pid).map_or(0, |(group, _)| group);
            let group = if who == 0 { group_of(task.pid()) } else { who };
            kernel.tasks_where(|task| group_of(task.pid()) == group)
        }
        PRIO_USER => {
            let uid = if who == 0 {
                task.creds().uid
            } else {
                who as u32
            };
            task.kernel().tasks_where(|task| task.creds().uid == uid)
        }
        _ => return Err(Errno::EINVAL),
    };
    if found.is_empty() {
        Err(Errno::ESRCH)
    } else {
        Ok(found)
    }
}

/// EACCES: lower than RLIMIT_NICE allows.
pub(super) fn check_nice(task: &CurrentTask, target: &Task, nice: i32) -> Result<(), Errno> {
    let lowest = 20
        - i64::try_from(task.rlimit(Resource::Nice).cur)
            .unwrap_or(40)
            .min(40);
    let is_lower = nice < target.sched().nice;
    if is_lower && i64::from(nice) < lowest && !task.creds().has_cap(cap::SYS_NICE) {
        return Err(Errno::EACCES);
    }
    Ok(())
}

pub fn setpriority(task: &mut CurrentTask, which: i32, who: i32, nice: i32) -> SysResult<()> {
    let nice = nice.clamp(-20, 19);
    for target in targets(task, which, who)? {
        if super::check_owner(task, &target).is_err() {
            return Err(Errno::EPERM.into());
        }
        check_nice(task, &target, nice)?;
        target.update_sched(|sched| sched.nice = nice);
    }
    Ok(())
}

/// 20 minus the nice value, so that it is never negative (getpriority(2), C library/kernel differences).
pub fn getpriority(task: &mut CurrentTask, which: i32, who: i32) -> SysResult<i32> {
    let best = targets(task, which, who)?
        .iter()
        .map(|t| 20 - t.sched().nice)
        .max();
    Ok(best.ok_or(Errno::ESRCH)?)
}

const IOPRIO_WHO_PROCESS: i32 = 1;
const IOPRIO_WHO_PGRP: i32 = 2;
const IOPRIO_WHO_USER: i32 = 3;
const IOPRIO_CLASS_SHIFT: i32 = 13;
const CLASS_NONE: i32 = 0;
const CLASS_RT: i32 = 1;
const CLASS_IDLE: i32 = 3;

fn io_targets(task: &CurrentTask, which: i32, who: i32) -> Result<Vec<Arc<Task>>, Errno> {
    let which = match which {
        IOPRIO_WHO_PROCESS => PRIO_PROCESS,
        IOPRIO_WHO_PGRP => PRIO_PGRP,
        IOPRIO_WHO_USER => PRIO_USER,
        _ => return Err(Errno::EINVAL),
    };
    targets(task, which, who)
}

pub fn ioprio_set(task: &mut CurrentTask, which: i32, who: i32, priority: i32) -> SysResult<()> {
    let class = priority >> IOPRIO_CLASS_SHIFT;
    let data = priority & ((1 << IOPRIO_CLASS_SHIFT) - 1);
    match class {
        CLASS_RT if !task.creds().has_cap(cap::SYS_NICE) => return Err(Errno::EPERM.into()),
        CLASS_NONE if data != 0 => return Err(Errno::EINVAL.into()),
        // The low three bits are the level; all eight are valid.
        CLASS_NONE..=CLASS_IDLE => {}
        _ => return Err(Errno::EINVAL.into()),
    }
    for target in io_targets(task, which, who)? {
        target.update_sched(|sched| sched.io_priority = priority);
    }
    Ok(())
}

pub fn ioprio_get(task: &mut CurrentTask, which: i32, who: i32) -> SysResult<i32> {
    let targets = io_targets(task, which, who)?;
    Ok(targets
        .first()
        .map_or(0, |target| target.sched().io_priority))
}
