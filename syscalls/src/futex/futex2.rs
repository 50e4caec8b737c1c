//! futex_waitv(2), and futex_wake, futex_wait and futex_requeue, which Linux has
//! had since 6.7: one operation each, with flags of their own.

use super::{deadline, read_timeout};
use rivix_abi::futex::FutexWaitv;
use rivix_abi::time::{CLOCK_MONOTONIC, CLOCK_REALTIME, Timespec};
use rivix_abi::{Errno, UserAddress, UserRef};
use rivix_task::futex::At;
use rivix_task::{CurrentTask, SysResult};
use std::time::Instant;

/// FUTEX2_SIZE_MASK and the one size there is.
const SIZE_MASK: u32 = 3;
const SIZE_U32: u32 = 2;
const NUMA: u32 = 4;
/// The memory's policy chooses the node. With one node it has no choice.
const MPOL: u32 = 8;
const PRIVATE: u32 = 128;

/// FUTEX_WAITV_MAX.
const WAITV_MAX: u32 = 128;

/// EINVAL for unknown flags and for sizes other than 32 bits.
fn at(addr: UserAddress, flags: u32) -> Result<At, Errno> {
    if flags & !(SIZE_MASK | NUMA | MPOL | PRIVATE) != 0 || flags & SIZE_MASK != SIZE_U32 {
        return Err(Errno::EINVAL);
    }
    Ok(At {
        addr,
        is_shared: flags & PRIVATE == 0,
        has_node: flags & NUMA != 0,
    })
}

/// A value or mask has to fit the futex.
fn narrow(value: u64) -> Result<u32, Errno> {
    u32::try_from(value).map_err(|_| Errno::EINVAL)
}

/// An absolute time limit. The clock counts only where there is one.
fn limit(
    task: &CurrentTask,
    timeout: UserRef<Timespec>,
    clock: i32,
) -> Result<Option<Instant>, Errno> {
    if timeout.non_null().is_some() && !matches!(clock, CLOCK_REALTIME | CLOCK_MONOTONIC) {
        return Err(Errno::EINVAL);
    }
    deadline(task, read_timeout(task, timeout, clock, false)?)
}

pub fn futex_wake(
    task: &mut CurrentTask,
    addr: UserAddress,
    mask: u64,
    count: i32,
    flags: u32,
) -> SysResult<usize> {
    let at = at(addr, flags)?;
    let mask = narrow(mask)?;
    if mask == 0 {
        return Err(Errno::EINVAL.into());
    }
    if count == 0 {
        // Unlike FUTEX_WAKE's, this zero is meant.
        return Ok(task.futex_wake_none(at)?);
    }
    let count = usize::try_from(count).unwrap_or(1);
    Ok(task.futex_wake(at, count, mask)?)
}

pub fn futex_wait(
    task: &mut CurrentTask,
    addr: UserAddress,
    value: u64,
    mask: u64,
    flags: u32,
    timeout: UserRef<Timespec>,
    clock: i32,
) -> SysResult<()> {
    let at = at(addr, flags)?;
    let (value, mask) = (narrow(value)?, narrow(mask)?);
    let deadline = limit(task, timeout, clock)?;
    if mask == 0 {
        return Err(Errno::EINVAL.into());
    }
    task.futex_wait(at, value, mask, deadline)
        .map_err(|blocked| blocked.restart_sys(Errno::ETIMEDOUT))
}

/// One entry of a guest's list, checked.
struct Listed {
    at: At,
    value: u32,
    flags: u32,
}

fn read_list(
    task: &CurrentTask,
    list: UserRef<FutexWaitv>,
    count: usize,
) -> Result<Vec<Listed>, Errno> {
    let entry = |number: usize| {
        let offset = (number * size_of::<FutexWaitv>()) as u64;
        let from = list.addr.offset(offset)?;
        let entry: FutexWaitv = task.read(UserRef::new(from))?;
        if entry.reserved != 0 {
            return Err(Errno::EINVAL);
        }
        Ok(Listed {
            at: at(UserAddress(entry.addr), entry.flags)?,
            value: narrow(entry.value)?,
            flags: entry.flags,
        })
    };
    (0..count).map(entry).collect()
}

pub fn futex_waitv(
    task: &mut CurrentTask,
    list: UserRef<FutexWaitv>,
    count: u32,
    flags: u32,
    timeout: UserRef<Timespec>,
    clock: i32,
) -> SysResult<usize> {
    if flags != 0 || !(1..=WAITV_MAX).contains(&count) || list.non_null().is_none() {
        return Err(Errno::EINVAL.into());
    }
    let deadline = limit(task, timeout, clock)?;
    let listed = read_list(task, list, count as usize)?;
    let futexes: Vec<(At, u32)> = listed.iter().map(|one| (one.at, one.value)).collect();
    task.futex_wait_any(&futexes, deadline)
        .map_err(|blocked| blocked.restart_sys(Errno::ETIMEDOUT))
}

pub fn futex_requeue(
    task: &mut CurrentTask,
    pair: UserRef<FutexWaitv>,
    flags: u32,
    wake: i32,
    moved: i32,
) -> SysResult<usize> {
    if flags != 0 || pair.non_null().is_none() {
        return Err(Errno::EINVAL.into());
    }
    let list = read_list(task, pair, 2)?;
    let [from, to] = &list[..] else {
        return Err(Errno::EINVAL.into());
    };
    if from.flags != to.flags {
        return Err(Errno::EINVAL.into());
    }
    let count = |value: i32| usize::try_from(value).map_err(|_| Errno::EINVAL);
    task.futex_requeue(
        from.at,
        to.at,
        count(wake)?,
        count(moved)?,
        Some(from.value),
    )
}
