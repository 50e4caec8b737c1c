//! What a thread leaves for its end: set_robust_list(2), get_robust_list(2).

use rivix_abi::process::RobustListHead;
use rivix_abi::{Errno, UserAddress, UserRef};
use rivix_task::{CurrentTask, SysResult, Task};

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
    if !may_read(task, &found) {
        return Err(Errno::EPERM.into());
    }
    task.write(len, &(size_of::<RobustListHead>() as u64))?;
    Ok(task.write(head, &found.robust_list().0)?)
}

/// ptrace(2), PTRACE_MODE_READ_REALCREDS.
fn may_read(task: &CurrentTask, target: &Task) -> bool {
    task.pid() == target.pid() || target.lets_look(task.creds())
}
