//! getgroups(2), setgroups(2).

use rivix_abi::{Errno, UserAddress};
use rivix_task::{Creds, CurrentTask, SysResult, cap};

/// NGROUPS_MAX.
const MAX: u32 = 65536;

pub fn getgroups(task: &mut CurrentTask, size: i32, list: UserAddress) -> SysResult<usize> {
    let groups = task.creds().groups.clone();
    let size = usize::try_from(size).map_err(|_| Errno::EINVAL)?;
    if size != 0 {
        if size < groups.len() {
            return Err(Errno::EINVAL.into());
        }
        task.write_bytes(list, bytemuck::cast_slice(&groups))?;
    }
    Ok(groups.len())
}

pub fn setgroups(task: &mut CurrentTask, size: u32, list: UserAddress) -> SysResult<()> {
    if !task.creds().has_cap(cap::SETGID) {
        return Err(Errno::EPERM.into());
    }
    if size > MAX {
        return Err(Errno::EINVAL.into());
    }
    let mut groups = vec![0u32; size as usize];
    task.read_bytes(list, bytemuck::cast_slice_mut(&mut groups))?;
    groups.sort_unstable();
    let creds = Creds {
        groups: groups.into(),
        ..(**task.creds()).clone()
    };
    task.set_creds(creds);
    Ok(())
}
