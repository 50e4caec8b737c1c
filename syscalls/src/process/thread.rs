//! What a thread leaves for its end: set_tid_address(2), set_robust_list(2).

use rivix_abi::process::RobustListHead;
use rivix_abi::{Errno, UserAddress, UserRef};
use rivix_task::{CurrentTask, SysResult};

pub fn set_tid_address(task: &mut CurrentTask, at: UserAddress) -> SysResult<i32> {
    task.set_clear_child_tid(at);
    Ok(task.tid())
}

pub fn set_robust_list(task: &mut CurrentTask, head: UserAddress, len: usize) -> SysResult<()> {
    if len != size_of::<RobustListHead>() {
        return Err(Errno::EINVAL.into());
    }
    task.set_robust_list(head);
    Ok(())
}

pub fn get_robust_list(
    task: &mut CurrentTask,
    tid: i32,
    head: UserRef<u64>,
    len: UserRef<u64>,
) -> SysResult<()> {
    let found = if tid == 0 {
        task.task().clone()
    } else {
        task.kernel().find_task(tid).ok_or(Errno::ESRCH)?
    };
    let (own, other) = (task.creds(), found.creds());
    if own.euid != 0 && own.uid != other.uid {
        return Err(Errno::EPERM.into());
    }
    task.write(len, &(size_of::<RobustListHead>() as u64))?;
    Ok(task.write(head, &found.robust_list().0)?)
}
