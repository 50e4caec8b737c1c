//! getpriority(2), setpriority(2), ioprio_get(2), ioprio_set(2).

use super::target;
use rivix_abi::Errno;
use rivix_abi::resource::Resource;
use rivix_abi::sched::{SCHED_FIFO, SCHED_IDLE, SCHED_RR};
use rivix_task::{CurrentTask, Sched, SysResult, Task, cap};
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

/// EACCES: lower than the target's RLIMIT_NICE allows.
fn check_nice(task: &CurrentTask, target: &Task, nice: i32) -> Result<(), Errno> {
    let limit = target.group().rlimit(Resource::Nice).cur;
    let is_lower = nice < target.sched().nice;
    if is_lower && (20 - nice) as u64 > limit && !task.creds().has_cap(cap::SYS_NICE) {
        return Err(Errno::EACCES);
    }
    Ok(())
}

/// Of several tasks each is set that may be; the last refusal is the result.
pub fn setpriority(task: &mut CurrentTask, which: i32, who: i32, nice: i32) -> SysResult<()> {
    let nice = nice.clamp(-20, 19);
    let mut result = Ok(());
    for target in targets(task, which, who)? {
        if super::check_owner(task, &target).is_err() {
            result = Err(Errno::EPERM.into());
        } else if let Err(errno) = check_nice(task, &target, nice) {
            result = Err(errno.into());
        } else {
            target.update_sched(|sched| sched.nice = nice);
        }
    }
    result
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
const CLASS_BE: i32 = 2;
const CLASS_IDLE: i32 = 3;
const CLASS_MASK: i32 = 7;
const LEVEL_MASK: i32 = 7;

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
    let class = priority >> IOPRIO_CLASS_SHIFT & CLASS_MASK;
    let level = priority & LEVEL_MASK;
    let creds = task.creds().clone();
    match class {
        CLASS_RT if !creds.has_cap(cap::SYS_NICE) && !creds.has_cap(cap::SYS_ADMIN) => {
            return Err(Errno::EPERM.into());
        }
        CLASS_NONE if level != 0 => return Err(Errno::EINVAL.into()),
        // All eight levels are valid.
        CLASS_NONE..=CLASS_IDLE => {}
        _ => return Err(Errno::EINVAL.into()),
    }
    for target in io_targets(task, which, who)? {
        let theirs = target.creds();
        let is_owner = theirs.uid == creds.euid || theirs.uid == creds.uid;
        if !is_owner && !creds.has_cap(cap::SYS_NICE) {
            return Err(Errno::EPERM.into());
        }
        target.update_sched(|sched| sched.io_priority = priority);
    }
    Ok(())
}

/// One task's as it was set; of several the best in effect.
pub fn ioprio_get(task: &mut CurrentTask, which: i32, who: i32) -> SysResult<i32> {
    let targets = io_targets(task, which, who)?;
    if which == IOPRIO_WHO_PROCESS {
        let set = targets.first().map(|target| target.sched().io_priority);
        return Ok(set.ok_or(Errno::ESRCH)?);
    }
    let best = targets
        .iter()
        .map(|target| in_effect(&target.sched()))
        .min();
    Ok(best.ok_or(Errno::ESRCH)?)
}

/// Unset, it follows from policy and nice (ioprio_set(2)).
fn in_effect(sched: &Sched) -> i32 {
    let set = sched.io_priority;
    if set >> IOPRIO_CLASS_SHIFT & CLASS_MASK != CLASS_NONE {
        return set;
    }
    let class = match sched.policy {
        SCHED_FIFO | SCHED_RR => CLASS_RT,
        SCHED_IDLE => CLASS_IDLE,
        _ => CLASS_BE,
    };
    (class << IOPRIO_CLASS_SHIFT) | ((sched.nice + 20) / 5)
}
