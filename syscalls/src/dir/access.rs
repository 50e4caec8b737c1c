//! faccessat(2), faccessat2(2).

use crate::Fd;
use crate::file::{caller, place_at};
use rivix_abi::fcntl::{AT_EACCESS, AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW};
use rivix_abi::{Errno, UserAddress};
use rivix_task::{CurrentTask, SysResult};

const W_OK: u32 = 2;

pub fn faccessat(task: &mut CurrentTask, dirfd: Fd, path: UserAddress, mode: u32) -> SysResult<()> {
    faccessat2(task, dirfd, path, mode, 0)
}

pub fn faccessat2(
    task: &mut CurrentTask,
    dirfd: Fd,
    path: UserAddress,
    mode: u32,
    flags: u32,
) -> SysResult<()> {
    if mode & !7 != 0 || flags & !(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let place = place_at(task, dirfd, path, flags & AT_SYMLINK_NOFOLLOW == 0, flags)?;
    let mut who = caller(task);
    if flags & AT_EACCESS == 0 {
        // access(2) asks for the real user.
        who.uid = task.creds().uid;
        who.gid = task.creds().gid;
    }
    if mode & W_OK != 0 && place.mount.is_readonly {
        return Err(Errno::EROFS.into());
    }
    Ok(place.node.access(mode, &who)?)
}
