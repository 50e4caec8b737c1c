//! sched_setscheduler(2) and its family (sched(7)).

use super::{check_owner, target};
use rivix_abi::resource::Resource;
use rivix_abi::sched::{
    SCHED_BATCH, SCHED_DEADLINE, SCHED_FIFO, SCHED_IDLE, SCHED_OTHER, SCHED_RESET_ON_FORK,
    SCHED_RR, SchedAttr,
};
use rivix_abi::time::Timespec;
use rivix_abi::{Errno, PAGE_SIZE, UserAddress, UserRef};
use rivix_task::{CurrentTask, SysResult, Task, cap};

/// The round-robin slice (sched(7)).
const RR_SLICE_NS: i128 = 100_000_000;
/// What a task of SCHED_OTHER reports as its slice.
const FAIR_SLICE_NS: i128 = 3_000_000;
const SCHED_FLAG_RESET_ON_FORK: u64 = 1;
/// sched_attr's first published size.
const ATTR_SIZE_V0: u32 = 48;
/// SCHED_FLAG_*: known bits.
const KNOWN_FLAGS: u64 = 0x7f;

fn is_realtime(policy: i32) -> bool {
    matches!(policy, SCHED_FIFO | SCHED_RR)
}

/// Sets policy and priority after the kernel's checks.
fn set(
    task: &CurrentTask,
    target: &Task,
    policy: i32,
    priority: i32,
    reset_on_fork: bool,
    nice: Option<i32>,
) -> Result<(), Errno> {
    match policy {
        SCHED_OTHER | SCHED_BATCH | SCHED_IDLE if priority == 0 => {}
        SCHED_FIFO | SCHED_RR if (1..=99).contains(&priority) => {}
        SCHED_DEADLINE => return Err(Errno::EPERM),
        _ => return Err(Errno::EINVAL),
    }
    let old = target.sched();
    let is_privileged = task.creds().has_cap(cap::SYS_NICE);
    if !is_privileged {
        let limit = task.rlimit(Resource::Rtprio).cur;
        let raises = policy != old.policy || priority > old.priority;
        if is_realtime(policy) && raises && priority as u64 > limit {
            return Err(Errno::EPERM);
        }
        if old.reset_on_fork && !reset_on_fork {
            return Err(Errno::EPERM);
        }
    }
    check_owner(task, target)?;
    target.update_sched(|sched| {
        sched.policy = policy;
        sched.priority = priority;
        sched.reset_on_fork = reset_on_fork;
        if let Some(nice) = nice {
            sched.nice = nice.clamp(-20, 19);
        }
    });
    Ok(())
}

fn checked_target(task: &CurrentTask, pid: i32) -> Result<std::sync::Arc<Task>, Errno> {
    if pid < 0 {
        return Err(Errno::EINVAL);
    }
    target(task, pid)
}

pub fn sched_setscheduler(
    task: &mut CurrentTask,
    pid: i32,
    policy: i32,
    param: UserRef<i32>,
) -> SysResult<()> {
    if policy < 0 || param.is_null() || pid < 0 {
        return Err(Errno::EINVAL.into());
    }
    let priority = task.read(param)?;
    let target = checked_target(task, pid)?;
    let reset = policy & SCHED_RESET_ON_FORK != 0;
    Ok(set(
        task,
        &target,
        policy & !SCHED_RESET_ON_FORK,
        priority,
        reset,
        None,
    )?)
}

pub fn sched_setparam(task: &mut CurrentTask, pid: i32, param: UserRef<i32>) -> SysResult<()> {
    if param.is_null() || pid < 0 {
        return Err(Errno::EINVAL.into());
    }
    let priority = task.read(param)?;
    let target = checked_target(task, pid)?;
    let old = target.sched();
    Ok(set(
        task,
        &target,
        old.policy,
        priority,
        old.reset_on_fork,
        None,
    )?)
}

pub fn sched_getscheduler(task: &mut CurrentTask, pid: i32) -> SysResult<i32> {
    let sched = checked_target(task, pid)?.sched();
    let reset = if sched.reset_on_fork {
        SCHED_RESET_ON_FORK
    } else {
        0
    };
    Ok(sched.policy | reset)
}

pub fn sched_getparam(task: &mut CurrentTask, pid: i32, param: UserRef<i32>) -> SysResult<()> {
    if param.is_null() {
        return Err(Errno::EINVAL.into());
    }
    let sched = checked_target(task, pid)?.sched();
    let priority = if is_realtime(sched.policy) {
        sched.priority
    } else {
        0
    };
    Ok(task.write(param, &priority)?)
}

pub fn sched_get_priority_max(_: &mut CurrentTask, policy: i32) -> SysResult<i32> {
    priority_range(policy).map(|(_, max)| max)
}

pub fn sched_get_priority_min(_: &mut CurrentTask, policy: i32) -> SysResult<i32> {
    priority_range(policy).map(|(min, _)| min)
}

fn priority_range(policy: i32) -> SysResult<(i32, i32)> {
    match policy {
        SCHED_FIFO | SCHED_RR => Ok((1, 99)),
        SCHED_OTHER | SCHED_BATCH | SCHED_IDLE | SCHED_DEADLINE => Ok((0, 0)),
        _ => Err(Errno::EINVAL.into()),
    }
}

pub fn sched_rr_get_interval(
    task: &mut CurrentTask,
    pid: i32,
    to: UserRef<Timespec>,
) -> SysResult<()> {
    let slice = match checked_target(task, pid)?.sched().policy {
        SCHED_FIFO => 0,
        SCHED_RR => RR_SLICE_NS,
        _ => FAIR_SLICE_NS,
    };
    Ok(task.write(to, &Timespec::from_ns(slice))?)
}

pub fn sched_setattr(
    task: &mut CurrentTask,
    pid: i32,
    attr: UserRef<SchedAttr>,
    flags: u32,
) -> SysResult<()> {
    if attr.is_null() || pid < 0 || flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let attr = read_attr(task, attr.addr)?;
    let target = checked_target(task, pid)?;
    let Ok(policy) = i32::try_from(attr.policy) else {
        return Err(Errno::EINVAL.into());
    };
    if attr.flags & !KNOWN_FLAGS != 0 {
        return Err(Errno::EINVAL.into());
    }
    let Ok(priority) = i32::try_from(attr.priority) else {
        return Err(Errno::EINVAL.into());
    };
    let reset = attr.flags & SCHED_FLAG_RESET_ON_FORK != 0;
    let nice = (!is_realtime(policy)).then_some(attr.nice);
    if let Some(nice) = nice {
        super::priority::check_nice(task, &target, nice)?;
    }
    Ok(set(task, &target, policy, priority, reset, nice)?)
}

/// A size above ours is accepted when the tail is zero; else E2BIG, and our size is written back.
fn read_attr(task: &CurrentTask, addr: UserAddress) -> Result<SchedAttr, Errno> {
    let known = size_of::<SchedAttr>() as u32;
    let size = match task.read(UserRef::<u32>::new(addr))? {
        0 => ATTR_SIZE_V0,
        size => size,
    };
    let refuse = || {
        let _ = task.write(UserRef::new(addr), &known);
        Err(Errno::E2BIG)
    };
    if size < ATTR_SIZE_V0 || u64::from(size) > PAGE_SIZE {
        return refuse();
    }
    let mut bytes = vec![0u8; (size.max(known)) as usize];
    task.read_bytes(addr, &mut bytes[..size as usize])?;
    if bytes[known as usize..].iter().any(|&byte| byte != 0) {
        return refuse();
    }
    Ok(bytemuck::pod_read_unaligned(&bytes[..known as usize]))
}

pub fn sched_getattr(
    task: &mut CurrentTask,
    pid: i32,
    attr: UserAddress,
    size: u32,
    flags: u32,
) -> SysResult<()> {
    let sizes = ATTR_SIZE_V0..=PAGE_SIZE as u32;
    if attr.is_null() || pid < 0 || !sizes.contains(&size) || flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let sched = checked_target(task, pid)?.sched();
    let known = (size_of::<SchedAttr>() as u32).min(size);
    let answer = SchedAttr {
        size: known,
        policy: sched.policy as u32,
        flags: u64::from(sched.reset_on_fork),
        nice: if is_realtime(sched.policy) {
            0
        } else {
            sched.nice
        },
        priority: if is_realtime(sched.policy) {
            sched.priority as u32
        } else {
            0
        },
        util_max: 1024,
        ..SchedAttr::default()
    };
    Ok(task.write_bytes(attr, &bytemuck::bytes_of(&answer)[..known as usize])?)
}
