//! prlimit64(2), getrlimit(2), setrlimit(2). Limits are the guest's own; the
//! host process's are never touched.

use rivix_abi::resource::{Resource, Rlimit};
use rivix_abi::{Errno, UserRef};
use rivix_mem::MemLimits;
use rivix_task::{CurrentTask, SysResult, Task, cap};
use std::sync::Arc;

pub fn prlimit64(
    task: &mut CurrentTask,
    pid: i32,
    resource: u32,
    new: UserRef<Rlimit>,
    old: UserRef<Rlimit>,
) -> SysResult<()> {
    let new = match new.non_null() {
        Some(at) => Some(task.read(at)?),
        None => None,
    };
    let target = if pid == 0 {
        task.task().clone()
    } else {
        task.kernel().find_task(pid).ok_or(Errno::ESRCH)?
    };
    if target.pid() != task.pid() {
        check_access(task, &target)?;
    }
    let resource = Resource::new(resource).ok_or(Errno::EINVAL)?;
    let before = target.group().rlimit(resource);
    if let Some(new) = new {
        set(task, &target, resource, new)?;
    }
    if let Some(at) = old.non_null() {
        task.write(at, &before)?;
    }
    Ok(())
}

/// All of the target's ids must be the caller's (prlimit(2)).
fn check_access(task: &CurrentTask, target: &Task) -> Result<(), Errno> {
    let (own, other) = (task.creds(), target.creds());
    let uids = [other.uid, other.euid, other.suid]
        .iter()
        .all(|id| *id == own.uid);
    let gids = [other.gid, other.egid, other.sgid]
        .iter()
        .all(|id| *id == own.gid);
    if uids && gids || own.has_cap(cap::SYS_RESOURCE) {
        Ok(())
    } else {
        Err(Errno::EPERM)
    }
}

fn set(
    task: &CurrentTask,
    target: &Arc<Task>,
    resource: Resource,
    new: Rlimit,
) -> Result<(), Errno> {
    if new.cur > new.max {
        return Err(Errno::EINVAL);
    }
    let group = target.group();
    if resource == Resource::Nofile && new.max > rivix_fs::fdtable::NR_OPEN {
        return Err(Errno::EPERM);
    }
    if new.max > group.rlimit(resource).max && !task.creds().has_cap(cap::SYS_RESOURCE) {
        return Err(Errno::EPERM);
    }
    group.change_rlimit(task.kernel(), resource, new);
    let bounds_memory = matches!(
        resource,
        Resource::As | Resource::Data | Resource::Stack | Resource::Memlock
    );
    if bounds_memory && let Some(memory) = target.memory() {
        memory.space.set_limits(memory_limits(&group.limits()));
    }
    Ok(())
}

/// The limits that the address space enforces.
pub(super) fn memory_limits(limits: &[Rlimit; Resource::COUNT]) -> MemLimits {
    let soft = |resource: Resource| limits[resource as usize].cur;
    MemLimits {
        as_: soft(Resource::As),
        data: soft(Resource::Data),
        stack: soft(Resource::Stack),
        memlock: soft(Resource::Memlock),
    }
}

pub fn getrlimit(task: &mut CurrentTask, resource: u32, to: UserRef<Rlimit>) -> SysResult<()> {
    let resource = Resource::new(resource).ok_or(Errno::EINVAL)?;
    Ok(task.write(to, &task.rlimit(resource))?)
}

pub fn setrlimit(task: &mut CurrentTask, resource: u32, from: UserRef<Rlimit>) -> SysResult<()> {
    let new = task.read(from)?;
    let resource = Resource::new(resource).ok_or(Errno::EINVAL)?;
    let target = task.task().clone();
    Ok(set(task, &target, resource, new)?)
}
