//! sched_setscheduler(2) and its family (sched(7)).

use super::{check_owner, target};
use rivix_abi::resource::Resource;
use rivix_abi::sched::{
    SCHED_BATCH, SCHED_DEADLINE, SCHED_FIFO, SCHED_IDLE, SCHED_OTHER, SCHED_RESET_ON_FORK,
    SCHED_RR, SchedAttr,
};
use rivix_abi::time::Timespec;
use rivix_abi::{Errno, PAGE_SIZE, UserAddress, UserRef};
use rivix_task::{CurrentTask, Sched, SysResult, Task, cap};

/// The round-robin slice (sched(7)).
const RR_SLICE_NS: i128 = 100_000_000;
/// The slice of a fair task, unless it asked for another.
const FAIR_SLICE_NS: u64 = 3_000_000;
/// What may be asked for.
const SLICES_NS: std::ops::RangeInclusive<u64> = 100_000..=100_000_000;
const FLAG_RESET_ON_FORK: u64 = 1;
const FLAG_KEEP_POLICY: u64 = 8;
const FLAG_KEEP_PARAMS: u64 = 16;
const FLAG_UTIL_CLAMP: u64 = 0x60;
/// sched_attr's first published size.
const ATTR_SIZE_V0: u32 = 48;
/// SCHED_FLAG_*: known bits.
const KNOWN_FLAGS: u64 = 0x7f;
/// SCHED_EXT, which needs a scheduler that nobody loads here.
const SCHED_EXT: i32 = 7;

fn is_realtime(policy: i32) -> bool {
    matches!(policy, SCHED_FIFO | SCHED_RR)
}

fn is_fair(policy: i32) -> bool {
    matches!(policy, SCHED_OTHER | SCHED_BATCH)
}

/// What is asked for; None: as it is.
struct Request {
    policy: Option<i32>,
    priority: u32,
    reset_on_fork: bool,
    nice: i32,
    /// 0: the default.
    slice_ns: u64,
    keeps_params: bool,
    /// SCHED_DEADLINE's, in nanoseconds.
    deadline: [u64; 3],
}

/// Sets policy and parameters after the kernel's checks, in its order.
fn set(task: &CurrentTask, target: &Task, request: &Request) -> Result<(), Errno> {
    let old = target.sched();
    let policy = request.policy.unwrap_or(old.policy);
    let reset_on_fork = match request.policy {
        Some(_) => request.reset_on_fork,
        None => old.reset_on_fork,
    };
    let is_known =
        is_realtime(policy) || is_fair(policy) || matches!(policy, SCHED_IDLE | SCHED_DEADLINE);
    if !is_known || request.priority > 99 || is_realtime(policy) != (request.priority != 0) {
        return Err(Errno::EINVAL);
    }
    if policy == SCHED_DEADLINE && !is_deadline(request.deadline) {
        return Err(Errno::EINVAL);
    }
    if !may_set(task, target, policy, reset_on_fork, request) {
        return Err(Errno::EPERM);
    }
    if policy == SCHED_DEADLINE {
        // Bandwidth is the host's to give.
        return Err(Errno::EBUSY);
    }
    target.update_sched(|sched| {
        sched.reset_on_fork = reset_on_fork;
        if request.keeps_params {
            return;
        }
        sched.policy = policy;
        sched.priority = request.priority as i32;
        if is_fair(policy) {
            sched.nice = request.nice;
            sched.slice_ns = (request.slice_ns != 0)
                .then(|| request.slice_ns.clamp(*SLICES_NS.start(), *SLICES_NS.end()));
        }
    });
    Ok(())
}

/// Runtime, deadline and period (sched(7)).
fn is_deadline([runtime, deadline, period]: [u64; 3]) -> bool {
    let period = if period == 0 { deadline } else { period };
    deadline != 0
        && runtime >= 1024
        && runtime <= deadline
        && deadline <= period
        && (deadline | period) >> 63 == 0
        && (100_000..1 << 42).contains(&period)
}

/// Without CAP_SYS_NICE nothing gets better, and a task's own user changes it.
fn may_set(
    task: &CurrentTask,
    target: &Task,
    policy: i32,
    reset_on_fork: bool,
    request: &Request,
) -> bool {
    if task.creds().has_cap(cap::SYS_NICE) {
        return true;
    }
    let old = target.sched();
    let limits = target.group().limits();
    let nice_limit = limits[Resource::Nice as usize].cur;
    let may_have_nice = |nice: i32| (20 - nice) as u64 <= nice_limit;
    let worse = match policy {
        SCHED_FIFO | SCHED_RR => {
            let limit = limits[Resource::Rtprio as usize].cur;
            let raises = i64::from(request.priority) > i64::from(old.priority);
            !(policy != old.policy && limit == 0 || raises && u64::from(request.priority) > limit)
        }
        SCHED_DEADLINE => false,
        policy if is_fair(policy) => request.nice >= old.nice || may_have_nice(request.nice),
        _ => true,
    };
    let leaves_idle = old.policy == SCHED_IDLE && policy != SCHED_IDLE;
    worse
        && (!leaves_idle || may_have_nice(old.nice))
        && check_owner(task, target).is_ok()
        && (reset_on_fork || !old.reset_on_fork)
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
    if policy < 0 {
        return Err(Errno::EINVAL.into());
    }
    set_param(task, pid, Some(policy), param)
}

pub fn sched_setparam(task: &mut CurrentTask, pid: i32, param: UserRef<i32>) -> SysResult<()> {
    set_param(task, pid, None, param)
}

fn set_param(
    task: &CurrentTask,
    pid: i32,
    policy: Option<i32>,
    param: UserRef<i32>,
) -> SysResult<()> {
    if param.is_null() || pid < 0 {
        return Err(Errno::EINVAL.into());
    }
    let priority = task.read(param)? as u32;
    let target = checked_target(task, pid)?;
    let old = target.sched();
    let request = Request {
        policy: policy.map(|policy| policy & !SCHED_RESET_ON_FORK),
        priority,
        reset_on_fork: policy.is_some_and(|policy| policy & SCHED_RESET_ON_FORK != 0),
        nice: old.nice,
        slice_ns: old.slice_ns.unwrap_or(0),
        keeps_params: false,
        deadline: [0; 3],
    };
    Ok(set(task, &target, &request)?)
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
        SCHED_OTHER | SCHED_BATCH | SCHED_IDLE | SCHED_DEADLINE | SCHED_EXT => Ok((0, 0)),
        _ => Err(Errno::EINVAL.into()),
    }
}

pub fn sched_rr_get_interval(
    task: &mut CurrentTask,
    pid: i32,
    to: UserRef<Timespec>,
) -> SysResult<()> {
    let sched = checked_target(task, pid)?.sched();
    let slice = match sched.policy {
        SCHED_FIFO => 0,
        SCHED_RR => RR_SLICE_NS,
        _ => slice_of(&sched).into(),
    };
    Ok(task.write(to, &Timespec::from_ns(slice))?)
}

fn slice_of(sched: &Sched) -> u64 {
    sched.slice_ns.unwrap_or(FAIR_SLICE_NS)
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
    let Ok(policy) = i32::try_from(attr.policy) else {
        return Err(Errno::EINVAL.into());
    };
    let target = checked_target(task, pid)?;
    let old = target.sched();
    let keeps_params = attr.flags & FLAG_KEEP_PARAMS != 0;
    let keeps_policy = attr.flags & FLAG_KEEP_POLICY != 0;
    if attr.flags & !KNOWN_FLAGS != 0 {
        return Err(Errno::EINVAL.into());
    }
    let request = Request {
        policy: (!keeps_policy).then_some(policy),
        priority: match keeps_params {
            true => old.priority as u32,
            false => attr.priority,
        },
        reset_on_fork: attr.flags & FLAG_RESET_ON_FORK != 0,
        nice: match keeps_params {
            true => old.nice,
            false => attr.nice.clamp(-20, 19),
        },
        slice_ns: attr.runtime,
        keeps_params,
        deadline: [attr.runtime, attr.deadline, attr.period],
    };
    if attr.flags & FLAG_UTIL_CLAMP != 0 {
        // As a kernel without utilisation clamps, which it tells last.
        return Err(Errno::EOPNOTSUPP.into());
    }
    Ok(set(task, &target, &request)?)
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
    let attr: SchedAttr = bytemuck::pod_read_unaligned(&bytes[..known as usize]);
    if attr.flags & FLAG_UTIL_CLAMP != 0 && size < known {
        return Err(Errno::EINVAL);
    }
    Ok(attr)
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
    let is_realtime = is_realtime(sched.policy);
    let answer = SchedAttr {
        size: known,
        policy: sched.policy as u32,
        flags: u64::from(sched.reset_on_fork),
        nice: if is_realtime { 0 } else { sched.nice },
        priority: if is_realtime {
            sched.priority as u32
        } else {
            0
        },
        runtime: if is_realtime { 0 } else { slice_of(&sched) },
        ..SchedAttr::default()
    };
    // What the caller's structure has more is zero.
    let mut bytes = vec![0; size as usize];
    bytes[..known as usize].copy_from_slice(&bytemuck::bytes_of(&answer)[..known as usize]);
    Ok(task.write_bytes(attr, &bytes)?)
}
