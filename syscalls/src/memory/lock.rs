//! mlock(2) and its family.

use super::apply_limits;
use rivix_abi::mman::mlock::ONFAULT;
use rivix_abi::{Errno, UserAddress};
use rivix_task::{CurrentTask, SysResult};

pub fn mlock(task: &mut CurrentTask, addr: UserAddress, len: u64) -> SysResult<()> {
    apply_limits(task);
    Ok(task.mm().lock(addr, len, false)?)
}

pub fn mlock2(task: &mut CurrentTask, addr: UserAddress, len: u64, flags: u32) -> SysResult<()> {
    if flags & !ONFAULT != 0 {
        return Err(Errno::EINVAL.into());
    }
    apply_limits(task);
    Ok(task.mm().lock(addr, len, flags & ONFAULT != 0)?)
}

pub fn munlock(task: &mut CurrentTask, addr: UserAddress, len: u64) -> SysResult<()> {
    Ok(task.mm().unlock(addr, len)?)
}

pub fn mlockall(task: &mut CurrentTask, flags: u32) -> SysResult<()> {
    apply_limits(task);
    Ok(task.mm().lock_all(flags)?)
}

pub fn munlockall(task: &mut CurrentTask) -> SysResult<()> {
    task.mm().unlock_all();
    Ok(())
}
