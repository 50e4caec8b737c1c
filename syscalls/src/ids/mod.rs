//! User and group ids, supplementary groups, capabilities (credentials(7),
//! capabilities(7)). Per thread, as in the kernel: libc makes them per process.

mod capability;
mod groups;
mod set;

pub use capability::{capget, capset};
pub use groups::{getgroups, setgroups};
pub use set::{setfsgid, setfsuid, setgid, setregid, setresgid, setresuid, setreuid, setuid};

use rivix_abi::{Errno, UserRef};
use rivix_task::{CurrentTask, SysResult};

pub fn getuid(task: &mut CurrentTask) -> SysResult<u32> {
    Ok(task.creds().uid)
}

pub fn geteuid(task: &mut CurrentTask) -> SysResult<u32> {
    Ok(task.creds().euid)
}

pub fn getgid(task: &mut CurrentTask) -> SysResult<u32> {
    Ok(task.creds().gid)
}

pub fn getegid(task: &mut CurrentTask) -> SysResult<u32> {
    Ok(task.creds().egid)
}

pub fn getresuid(
    task: &mut CurrentTask,
    real: UserRef<u32>,
    effective: UserRef<u32>,
    saved: UserRef<u32>,
) -> SysResult<()> {
    let creds = task.creds().clone();
    store_three(
        task,
        [real, effective, saved],
        [creds.uid, creds.euid, creds.suid],
    )
}

pub fn getresgid(
    task: &mut CurrentTask,
    real: UserRef<u32>,
    effective: UserRef<u32>,
    saved: UserRef<u32>,
) -> SysResult<()> {
    let creds = task.creds().clone();
    store_three(
        task,
        [real, effective, saved],
        [creds.gid, creds.egid, creds.sgid],
    )
}

fn store_three(task: &CurrentTask, to: [UserRef<u32>; 3], ids: [u32; 3]) -> SysResult<()> {
    for (to, id) in to.into_iter().zip(ids) {
        task.write(to, &id).map_err(|_| Errno::EFAULT)?;
    }
    Ok(())
}
