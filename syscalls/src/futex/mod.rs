//! futex(2), without the priority-inheriting operations.

use rivix_abi::time::{CLOCK_MONOTONIC, CLOCK_REALTIME, Timespec};
use rivix_abi::{Errno, UserAddress, UserRef};
use rivix_task::futex::{ANY, WakeOp};
use rivix_task::{Blocked, CurrentTask, Restart, RestartBlock, SysResult};
use std::time::Instant;

const WAIT: u32 = 0;
const WAKE: u32 = 1;
const REQUEUE: u32 = 3;
const CMP_REQUEUE: u32 = 4;
const WAKE_OP: u32 = 5;
const WAIT_BITSET: u32 = 9;
const WAKE_BITSET: u32 = 10;

const PRIVATE_FLAG: u32 = 128;
const CLOCK_REALTIME_FLAG: u32 = 256;

pub fn futex(
    task: &mut CurrentTask,
    addr: UserAddress,
    op: u32,
    value: u32,
    timeout: UserRef<Timespec>,
    addr2: UserAddress,
    value3: u32,
) -> SysResult<i64> {
    let is_shared = op & PRIVATE_FLAG == 0;
    let is_realtime = op & CLOCK_REALTIME_FLAG != 0;
    let command = op & !(PRIVATE_FLAG | CLOCK_REALTIME_FLAG);
    if is_realtime && command != WAIT_BITSET {
        return Err(Errno::ENOSYS.into());
    }
    // The fourth argument is a count for the calls without a timeout.
    let value2 = timeout.addr.0 as u32;
    match command {
        WAIT => {
            let until = read_timeout(task, timeout)?
                .map(|wait| Ok::<_, Errno>(now(task, CLOCK_MONOTONIC)? + wait))
                .transpose()?;
            wait(task, addr, value, ANY, is_shared, until)?;
            Ok(0)
        }
        WAIT_BITSET => {
            let clock = if is_realtime {
                CLOCK_REALTIME
            } else {
                CLOCK_MONOTONIC
            };
            let until = match read_timeout(task, timeout)? {
                None => None,
                // The wait itself runs on CLOCK_MONOTONIC.
                Some(at) => Some(now(task, CLOCK_MONOTONIC)? + at - now(task, clock)?),
            };
            if value3 == 0 {
                return Err(Errno::EINVAL.into());
            }
            wait(task, addr, value, value3, is_shared, until)?;
            Ok(0)
        }
        WAKE => Ok(task.futex_wake(addr, is_shared, at_least_one(value), ANY)? as i64),
        WAKE_BITSET => {
            if value3 == 0 {
                return Err(Errno::EINVAL.into());
            }
            Ok(task.futex_wake(addr, is_shared, at_least_one(value), value3)? as i64)
        }
        REQUEUE | CMP_REQUEUE => {
            let wake = count(value)?;
            let moved = count(value2)?;
            let compare = (command == CMP_REQUEUE).then_some(value3);
            Ok(task.futex_requeue(addr, addr2, is_shared, wake, moved, compare)? as i64)
        }
        WAKE_OP => {
            let op = WakeOp::decode(value3)?;
            let (first, second) = (at_least_one(value), at_least_one(value2));
            Ok(task.futex_wake_op(addr, addr2, is_shared, first, second, op)? as i64)
        }
        _ => Err(Errno::ENOSYS.into()),
    }
}

/// FUTEX_WAKE of zero or fewer still wakes one.
fn at_least_one(value: u32) -> usize {
    usize::try_from(value.cast_signed()).unwrap_or(0).max(1)
}

fn count(value: u32) -> Result<usize, Errno> {
    usize::try_from(value.cast_signed()).map_err(|_| Errno::EINVAL)
}

fn read_timeout(task: &CurrentTask, at: UserRef<Timespec>) -> Result<Option<i128>, Errno> {
    match at.non_null() {
        None => Ok(None),
        Some(at) => Ok(Some(task.read(at)?.validate()?.as_ns())),
    }
}

fn now(task: &CurrentTask, clock: i32) -> Result<i128, Errno> {
    task.kernel().clock().now_ns(clock)
}

fn wait(
    task: &CurrentTask,
    addr: UserAddress,
    value: u32,
    bitset: u32,
    is_shared: bool,
    until_ns: Option<i128>,
) -> SysResult<()> {
    match until_ns {
        Some(until) => wait_until(task, addr, value, bitset, is_shared, until),
        None => task
            .futex_wait(addr, is_shared, value, bitset, None)
            .map_err(|blocked| blocked.restart_sys(Errno::ETIMEDOUT)),
    }
}

/// A timed wait, on CLOCK_MONOTONIC; a signal leaves a restart block.
pub(crate) fn wait_until(
    task: &CurrentTask,
    addr: UserAddress,
    value: u32,
    bitset: u32,
    is_shared: bool,
    until_ns: i128,
) -> SysResult<()> {
    let deadline: Option<Instant> = task
        .kernel()
        .clock()
        .instant_of(CLOCK_MONOTONIC, until_ns)?;
    task.futex_wait(addr, is_shared, value, bitset, deadline)
        .map_err(|blocked| match blocked {
            Blocked::Interrupted => Restart::Block(RestartBlock::FutexWait {
                addr,
                value,
                bitset,
                is_shared,
                until_ns,
            })
            .into(),
            Blocked::TimedOut => Errno::ETIMEDOUT.into(),
            Blocked::Errno(errno) => errno.into(),
        })
}
