//! rt_sigprocmask(2), rt_sigpending(2), rt_sigsuspend(2).

use super::check_size;
use rivix_abi::signal::{SIG_BLOCK, SIG_SETMASK, SIG_UNBLOCK};
use rivix_abi::{Errno, UserAddress, UserRef};
use rivix_task::{Blocked, CurrentTask, Restart, SysResult};

pub fn rt_sigprocmask(
    task: &mut CurrentTask,
    how: i32,
    new: UserRef<u64>,
    old: UserRef<u64>,
    size: usize,
) -> SysResult<()> {
    check_size(size)?;
    let before = task.signal_mask();
    if let Some(at) = new.non_null() {
        let set = task.read(at)?;
        let mask = match how {
            SIG_BLOCK => before | set,
            SIG_UNBLOCK => before & !set,
            SIG_SETMASK => set,
            _ => return Err(Errno::EINVAL.into()),
        };
        task.set_signal_mask(mask);
    }
    if let Some(at) = old.non_null() {
        task.write(at, &before)?;
    }
    Ok(())
}

pub fn rt_sigpending(task: &mut CurrentTask, set: UserAddress, size: usize) -> SysResult<()> {
    if size > size_of::<u64>() {
        return Err(Errno::EINVAL.into());
    }
    let pending = task.pending_signals() & task.signal_mask();
    Ok(task.write_bytes(set, &pending.to_le_bytes()[..size])?)
}

pub fn rt_sigsuspend(task: &mut CurrentTask, mask: UserRef<u64>, size: usize) -> SysResult<()> {
    check_size(size)?;
    let mask = task.read(mask)?;
    task.set_temporary_mask(mask);
    // Nothing but a signal ends it.
    match task.block(None, || Err::<(), _>(Errno::EAGAIN)) {
        Ok(()) | Err(Blocked::Interrupted | Blocked::TimedOut) => Err(Restart::NoHand.into()),
        Err(Blocked::Errno(errno)) => Err(errno.into()),
    }
}
