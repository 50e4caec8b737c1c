//! linkat(2), readlinkat(2).

use crate::Fd;
use crate::file::{at, caller, place_at, walk};
use rivix_abi::fcntl::{AT_EMPTY_PATH, AT_SYMLINK_FOLLOW, O_PATH, PATH_MAX};
use rivix_abi::{Errno, UserAddress};
use rivix_task::{CurrentTask, SysResult};

pub fn linkat(
    task: &mut CurrentTask,
    old_dir: Fd,
    old_path: UserAddress,
    new_dir: Fd,
    new_path: UserAddress,
    flags: u32,
) -> SysResult<()> {
    if flags & !(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let old = place_at(
        task,
        old_dir,
        old_path,
        flags & AT_SYMLINK_FOLLOW != 0,
        flags,
    )?;
    let path = task.mm().read_cstr(new_path, PATH_MAX)?;
    let base = at(task, new_dir, &path)?;
    let lookup = walk(task, &base);
    let new = lookup.last_name(&path)?;
    if new.name.is_empty() || lookup.child(&new.parent, &new.name).is_ok() {
        return Err(Errno::EEXIST.into());
    }
    if new.wants_dir {
        return Err(Errno::ENOENT.into());
    }
    if old.mount.id != new.parent.mount.id {
        return Err(Errno::EXDEV.into());
    }
    new.writable()?;
    if old.is_dir() {
        return Err(Errno::EPERM.into());
    }
    Ok(new.parent.node.link(&new.name, &old.node)?)
}

pub fn readlinkat(
    task: &mut CurrentTask,
    dirfd: Fd,
    path: UserAddress,
    buf: UserAddress,
    size: i32,
) -> SysResult<usize> {
    let size = usize::try_from(size)
        .ok()
        .filter(|&size| size > 0)
        .ok_or(Errno::EINVAL)?;
    let name = task.mm().read_cstr(path, PATH_MAX)?;
    let place = if name.is_empty() {
        // The link an O_PATH | O_NOFOLLOW descriptor stands for (readlink(2)).
        let file = task.files().get(dirfd.0).map_err(|errno| {
            if dirfd.0 == rivix_abi::fcntl::AT_FDCWD {
                Errno::ENOENT
            } else {
                errno
            }
        })?;
        if file.flags() & O_PATH == 0 || !file.place().is_symlink() {
            return Err(Errno::ENOENT.into());
        }
        file.place().clone()
    } else {
        place_at(task, dirfd, path, false, 0)?
    };
    if !place.is_symlink() {
        return Err(Errno::EINVAL.into());
    }
    let target = place.node.readlink(&caller(task))?;
    let len = target.len().min(size);
    task.write_bytes(buf, &target[..len])?;
    Ok(len)
}
