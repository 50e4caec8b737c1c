//! futex(2), the calls that do one operation of it each (futex_wait(2) and its
//! like), and robust lists.

mod futex2;
mod robust;

pub use futex2::{futex_requeue, futex_wait, futex_waitv, futex_wake};
pub use robust::{get_robust_list, set_robust_list};

use rivix_abi::time::{CLOCK_MONOTONIC, CLOCK_REALTIME, Timespec};
use rivix_abi::{Errno, UserAddress, UserRef};
use rivix_task::futex::{ANY, At};
use rivix_task::{Blocked, CurrentTask, Restart, RestartBlock, SysResult};
use std::time::Instant;

const WAIT: u32 = 0;
const WAKE: u32 = 1;
const REQUEUE: u32 = 3;
const CMP_REQUEUE: u32 = 4;
const WAKE_OP: u32 = 5;
const LOCK_PI: u32 = 6;
const UNLOCK_PI: u32 = 7;
const TRYLOCK_PI: u32 = 8;
const WAIT_BITSET: u32 = 9;
const WAKE_BITSET: u32 = 10;
const WAIT_REQUEUE_PI: u32 = 11;
const CMP_REQUEUE_PI: u32 = 12;
const LOCK_PI2: u32 = 13;

const PRIVATE_FLAG: u32 = 128;
const CLOCK_REALTIME_FLAG: u32 = 256;

/// An instant of a clock. The clock stays named, so that a wait that is restarted
/// follows it.
#[derive(Clone, Copy)]
pub(crate) struct Until {
    pub(crate) clock: i32,
    pub(crate) ns: i128,
}

impl Until {
    /// None: too far to name.
    fn deadline(self, task: &CurrentTask) -> Result<Option<Instant>, Errno> {
        task.kernel().clock().instant_of(self.clock, self.ns)
    }
}

/// The deadline of a wait without one is None too.
fn deadline(task: &CurrentTask, until: Option<Until>) -> Result<Option<Instant>, Errno> {
    until.map_or(Ok(None), |until| until.deadline(task))
}

pub fn futex(
    task: &mut CurrentTask,
    addr: UserAddress,
    op: u32,
    value: u32,
    timeout: UserRef<Timespec>,
    addr2: UserAddress,
    value3: u32,
) -> SysResult<i64> {
    let is_realtime = op & CLOCK_REALTIME_FLAG != 0;
    let command = op & !(PRIVATE_FLAG | CLOCK_REALTIME_FLAG);
    let at = At::new(addr, op & PRIVATE_FLAG == 0);
    // As Linux, a bad time is found before a clock that does not belong there.
    let until = match command {
        WAIT | WAIT_BITSET | LOCK_PI | LOCK_PI2 | WAIT_REQUEUE_PI => {
            let clock = match command {
                LOCK_PI => CLOCK_REALTIME,
                _ if is_realtime => CLOCK_REALTIME,
                _ => CLOCK_MONOTONIC,
            };
            read_timeout(task, timeout, clock, command == WAIT)?
        }
        _ => None,
    };
    if is_realtime && !matches!(command, WAIT_BITSET | WAIT_REQUEUE_PI | LOCK_PI2) {
        return Err(Errno::ENOSYS.into());
    }
    // The fourth argument is a count for the calls without a timeout.
    let value2 = timeout.addr.0 as u32;
    match command {
        WAIT => wait(task, at, value, ANY, until).map(|()| 0),
        WAIT_BITSET => wait(task, at, value, some_bits(value3)?, until).map(|()| 0),
        WAKE => Ok(task.futex_wake(at, at_least_one(value), ANY)? as i64),
        WAKE_BITSET => {
            let bits = some_bits(value3)?;
            Ok(task.futex_wake(at, at_least_one(value), bits)? as i64)
        }
        REQUEUE | CMP_REQUEUE => {
            let wake = count(value)?;
            let moved = count(value2)?;
            let compare = (command == CMP_REQUEUE).then_some(value3);
            let to = At { addr: addr2, ..at };
            Ok(task.futex_requeue(at, to, wake, moved, compare)? as i64)
        }
        WAKE_OP => {
            let (first, second) = (at_least_one(value), at_least_one(value2));
            Ok(task.futex_wake_op(at, addr2, first, second, value3)? as i64)
        }
        LOCK_PI | LOCK_PI2 => {
            let deadline = deadline(task, until)?;
            task.futex_lock(at, deadline).map(|()| 0)
        }
        TRYLOCK_PI => task.futex_try_lock(at).map(|()| 0),
        UNLOCK_PI => task.futex_unlock(at).map(|()| 0),
        WAIT_REQUEUE_PI => {
            let deadline = deadline(task, until)?;
            task.futex_wait_requeue(at, value, addr2, deadline)
                .map(|()| 0)
        }
        CMP_REQUEUE_PI => {
            let wake = count(value)?;
            let moved = count(value2)?;
            // More than one would be woken to no purpose: one gets the lock.
            if wake != 1 {
                return Err(Errno::EINVAL.into());
            }
            Ok(task.futex_requeue_pi(at, addr2, moved, value3)? as i64)
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

fn some_bits(bitset: u32) -> Result<u32, Errno> {
    if bitset == 0 {
        return Err(Errno::EINVAL);
    }
    Ok(bitset)
}

/// The time limit at `at`, if there is one; `is_relative`: it counts from now.
fn read_timeout(
    task: &CurrentTask,
    at: UserRef<Timespec>,
    clock: i32,
    is_relative: bool,
) -> Result<Option<Until>, Errno> {
    let Some(at) = at.non_null() else {
        return Ok(None);
    };
    let mut ns = task.read(at)?.validate()?.as_ns();
    if is_relative {
        ns += task.kernel().clock().now_ns(clock)?;
    }
    Ok(Some(Until { clock, ns }))
}

fn wait(
    task: &CurrentTask,
    at: At,
    value: u32,
    bitset: u32,
    until: Option<Until>,
) -> SysResult<()> {
    match until {
        Some(until) => wait_until(task, at, value, bitset, until),
        None => task
            .futex_wait(at, value, bitset, None)
            .map_err(|blocked| blocked.restart_sys(Errno::ETIMEDOUT)),
    }
}

/// A timed wait; a signal leaves a restart block.
fn wait_until(task: &CurrentTask, at: At, value: u32, bitset: u32, until: Until) -> SysResult<()> {
    task.futex_wait(at, value, bitset, until.deadline(task)?)
        .map_err(|blocked| match blocked {
            Blocked::Interrupted => Restart::Block(RestartBlock::FutexWait {
                addr: at.addr,
                value,
                bitset,
                is_shared: at.is_shared,
                clock: until.clock,
                until_ns: until.ns,
            })
            .into(),
            Blocked::TimedOut => Errno::ETIMEDOUT.into(),
            Blocked::Errno(errno) => errno.into(),
        })
}

/// Goes on with a timed wait (restart_syscall(2)): the word is compared again.
pub(crate) fn restart(task: &CurrentTask, block: &RestartBlock) -> SysResult<()> {
    match *block {
        RestartBlock::FutexWait {
            addr,
            value,
            bitset,
            is_shared,
            clock,
            until_ns,
        } => {
            let until = Until {
                clock,
                ns: until_ns,
            };
            wait_until(task, At::new(addr, is_shared), value, bitset, until)
        }
        _ => Err(Errno::EINTR.into()),
    }
}
