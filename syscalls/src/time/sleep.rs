//! nanosleep(2), clock_nanosleep(2).

use rivix_abi::time::*;
use rivix_abi::{Errno, UserAddress, UserRef};
use rivix_task::{
    AnyClock, Blocked, CurrentTask, Restart, RestartBlock, SysResult, is_own_thread_clock,
};
use std::time::{Duration, Instant};

pub fn nanosleep(
    task: &mut CurrentTask,
    wait: UserRef<Timespec>,
    remaining: UserAddress,
) -> SysResult<()> {
    let wait = task.read(wait)?.validate()?;
    let now = task.kernel().clock().now_ns(CLOCK_MONOTONIC)?;
    sleep_until(task, CLOCK_MONOTONIC, now + wait.as_ns(), Some(remaining))
}

pub fn clock_nanosleep(
    task: &mut CurrentTask,
    id: i32,
    flags: i32,
    time: UserRef<Timespec>,
    remaining: UserAddress,
) -> SysResult<()> {
    match id {
        CLOCK_THREAD_CPUTIME_ID
        | CLOCK_MONOTONIC_RAW
        | CLOCK_REALTIME_COARSE
        | CLOCK_MONOTONIC_COARSE => {
            return Err(Errno::EOPNOTSUPP.into());
        }
        // Asleep it would never get there.
        _ if is_own_thread_clock(id, task.tid()) => return Err(Errno::EINVAL.into()),
        CLOCK_REALTIME_ALARM | CLOCK_BOOTTIME_ALARM => return Err(Errno::EPERM.into()),
        _ => {}
    }
    let clock = task.find_clock(id)?;
    let time = task.read(time)?.validate()?.as_ns();
    if flags & TIMER_ABSTIME != 0 {
        return sleep_until(task, id, time, None);
    }
    // A relative sleep on the wall clock does not follow its jumps.
    let (id, clock) = match id {
        CLOCK_REALTIME | CLOCK_TAI => (CLOCK_MONOTONIC, AnyClock::System(CLOCK_MONOTONIC)),
        _ => (id, clock),
    };
    let until = clock.now_ns(task.kernel())? + time;
    sleep_until(task, id, until, Some(remaining))
}

/// How often a sleeper looks at a CPU clock.
const CPU_POLL: Duration = Duration::from_millis(1);

/// Sleeps until clock `id` reads `until_ns`. With `remaining` (relative
/// sleeps; NULL counts) a signal writes what is left and leaves a restart block.
pub(crate) fn sleep_until(
    task: &CurrentTask,
    id: i32,
    until_ns: i128,
    remaining: Option<UserAddress>,
) -> SysResult<()> {
    let clock = task.find_clock(id)?;
    let kernel = task.kernel();
    loop {
        let left = until_ns - clock.now_ns(kernel)?;
        if left <= 0 {
            return Ok(());
        }
        let mut deadline = kernel.clock().instant_after(left);
        if clock.is_cpu() {
            let soon = Instant::now() + CPU_POLL;
            deadline = Some(deadline.map_or(soon, |at| at.max(soon)));
        }
        match task.block(deadline, || Err::<(), _>(Errno::EAGAIN)) {
            // The wall clock may have been set back: look again.
            Ok(()) | Err(Blocked::TimedOut) => {}
            Err(Blocked::Errno(errno)) => return Err(errno.into()),
            Err(Blocked::Interrupted) => break,
        }
    }
    let Some(remaining) = remaining else {
        return Err(Restart::NoHand.into());
    };
    let left = until_ns - clock.now_ns(kernel)?;
    if left <= 0 {
        return Ok(());
    }
    if !remaining.is_null() {
        task.write(UserRef::new(remaining), &Timespec::from_ns(left))?;
    }
    Err(Restart::Block(RestartBlock::Nanosleep {
        clock: id,
        until_ns,
        remaining,
    })
    .into())
}
