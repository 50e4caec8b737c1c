//! newfstatat(2), fstat(2), statx(2), statfs(2).

use super::place_at;
use crate::Fd;
use rivix_abi::fcntl::{
    AT_EMPTY_PATH, AT_NO_AUTOMOUNT, AT_STATX_SYNC_TYPE, AT_SYMLINK_NOFOLLOW, PATH_MAX,
};
use rivix_abi::stat::{
    STATX_ATTR_MOUNT_ROOT, STATX_BTIME, STATX_MNT_ID, STATX_RESERVED, Stat, Statx, StatxTimestamp,
};
use rivix_abi::statfs::Statfs;
use rivix_abi::{Errno, UserAddress, UserRef};
use rivix_task::{CurrentTask, SysResult};

pub fn newfstatat(
    task: &mut CurrentTask,
    dirfd: Fd,
    path: UserAddress,
    stat: UserRef<Stat>,
    flags: u32,
) -> SysResult<()> {
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let place = place_at(task, dirfd, path, flags & AT_SYMLINK_NOFOLLOW == 0, flags)?;
    Ok(task.write(stat, &place.node.stat()?)?)
}

pub fn fstat(task: &mut CurrentTask, fd: Fd, stat: UserRef<Stat>) -> SysResult<()> {
    let file = task.files().get(fd.0)?;
    Ok(task.write(stat, &file.stat()?)?)
}

pub fn statx(
    task: &mut CurrentTask,
    dirfd: Fd,
    path: UserAddress,
    flags: u32,
    mask: u32,
    statx: UserRef<Statx>,
) -> SysResult<()> {
    let known = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_SYNC_TYPE;
    if flags & !known != 0
        || flags & AT_STATX_SYNC_TYPE == AT_STATX_SYNC_TYPE
        || mask & STATX_RESERVED != 0
    {
        return Err(Errno::EINVAL.into());
    }
    let place = place_at(task, dirfd, path, flags & AT_SYMLINK_NOFOLLOW == 0, flags)?;
    let mut out = Statx::from_stat(&place.node.stat()?);
    if let Some((sec, nsec)) = place.node.birth_time() {
        out.mask |= STATX_BTIME;
        out.btime = StatxTimestamp { sec, nsec, pad: 0 };
    }
    if mask & STATX_MNT_ID != 0 {
        out.mask |= STATX_MNT_ID;
        out.mnt_id = place.mount.id as u64;
    }
    out.attributes_mask |= STATX_ATTR_MOUNT_ROOT;
    if place.path == place.mount.path {
        out.attributes |= STATX_ATTR_MOUNT_ROOT;
    }
    Ok(task.write(statx, &out)?)
}

pub fn statfs(task: &mut CurrentTask, path: UserAddress, out: UserRef<Statfs>) -> SysResult<()> {
    let path = task.mm().read_cstr(path, PATH_MAX)?;
    let place = super::walk(task, &None).resolve(&path, true)?;
    Ok(task.write(out, &place.node.statfs()?)?)
}

pub fn fstatfs(task: &mut CurrentTask, fd: Fd, out: UserRef<Statfs>) -> SysResult<()> {
    let file = task.files().get(fd.0)?;
    Ok(task.write(out, &file.statfs()?)?)
}
