//! clone(2). fork and vfork have no numbers of their own on riscv64.

use super::pidfd;
use rivix_abi::{UserAddress, UserRef};
use rivix_task::{CloneArgs, CurrentTask, SysResult};

/// The argument order is that of CONFIG_CLONE_BACKWARDS: tls before ctid.
pub fn clone(
    task: &mut CurrentTask,
    flags: u64,
    stack: u64,
    parent_tid: UserAddress,
    tls: u64,
    child_tid: UserAddress,
) -> SysResult<i32> {
    let args = CloneArgs::new(flags, stack, parent_tid, tls, child_tid)?;
    task.clone_task(&args, |task, child| {
        let (fd, _) = pidfd::install(task, child.clone(), 0)?;
        let stored = task.write(UserRef::new(parent_tid), &fd);
        if stored.is_err() {
            let _ = task.files().close(fd);
        }
        stored
    })
}
