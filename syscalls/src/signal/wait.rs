//! rt_sigtimedwait(2), restart_syscall(2).

use super::check_size;
use crate::{futex, time};
use rivix_abi::signal::SigInfo;
use rivix_abi::time::Timespec;
use rivix_abi::{Errno, UserRef};
use rivix_task::{Blocked, CurrentTask, RestartBlock, SysResult};

pub fn rt_sigtimedwait(
    task: &mut CurrentTask,
    set: UserRef<u64>,
    info: UserRef<SigInfo>,
    timeout: UserRef<Timespec>,
    size: usize,
) -> SysResult<i32> {
    check_size(size)?;
    let set = task.read(set)?;
    let deadline = match timeout.non_null() {
        None => None,
        Some(at) => {
            let wait = task.read(at)?.validate()?;
            task.kernel().clock().instant_after(wait.as_ns())
        }
    };
    // Announced before the first look, so that no signal falls between.
    task.set_wanted_signals(set);
    let result = task.block(deadline, || task.take_signal(set).ok_or(Errno::EAGAIN));
    task.set_wanted_signals(0);
    match result {
        Ok((signal, taken)) => {
            if let Some(at) = info.non_null() {
                task.write(at, &taken)?;
            }
            Ok(signal.number().into())
        }
        Err(Blocked::Interrupted) => Err(Errno::EINTR.into()),
        Err(Blocked::TimedOut) => Err(Errno::EAGAIN.into()),
        Err(Blocked::Errno(errno)) => Err(errno.into()),
    }
}

/// Goes on with what a signal interrupted: the kernel calls it where no handler ran, a
/// handler and its children may.
pub fn restart_syscall(task: &mut CurrentTask) -> SysResult<i64> {
    match task.restart_block() {
        None => Err(Errno::EINTR.into()),
        Some(RestartBlock::Nanosleep {
            clock,
            until_ns,
            remaining,
        }) => time::sleep_until(task, clock, until_ns, Some(remaining)).map(|()| 0),
        Some(block @ RestartBlock::FutexWait { .. }) => futex::restart(task, &block).map(|()| 0),
    }
}
