//! rt_sigaction(2).

use super::check_size;
use rivix_abi::signal::{KSigAction, UNBLOCKABLE};
use rivix_abi::{Errno, Signal, UserRef};
use rivix_task::{CurrentTask, SysResult};

pub fn rt_sigaction(
    task: &mut CurrentTask,
    signal: i32,
    new: UserRef<KSigAction>,
    old: UserRef<KSigAction>,
    size: usize,
) -> SysResult<()> {
    check_size(size)?;
    let new = match new.non_null() {
        Some(at) => Some(task.read(at)?),
        None => None,
    };
    let signal = Signal::new(signal.into()).ok_or(Errno::EINVAL)?;
    if new.is_some() && signal.bit() & UNBLOCKABLE != 0 {
        return Err(Errno::EINVAL.into());
    }
    let before = match new {
        Some(action) => task.set_action(signal, action),
        None => task.group().actions().get(signal),
    };
    if let Some(at) = old.non_null() {
        task.write(at, &before)?;
    }
    Ok(())
}
