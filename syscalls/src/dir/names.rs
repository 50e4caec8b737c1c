//! Making, removing and renaming names.

use crate::Fd;
use crate::file::{at, caller, walk};
use rivix_abi::fcntl::{
    AT_REMOVEDIR, PATH_MAX, RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT,
};
use rivix_abi::stat::{S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFMT, S_IFREG, S_IFSOCK};
use rivix_abi::{Errno, UserAddress};
use rivix_fs::lookup::LastName;
use rivix_task::{CurrentTask, SysResult};

/// The directory and last name of a path argument, and the path itself.
fn last_of(task: &CurrentTask, dirfd: Fd, path: UserAddress) -> Result<(LastName, Vec<u8>), Errno> {
    let path = task.mm().read_cstr(path, PATH_MAX)?;
    let base = at(task, dirfd, &path)?;
    Ok((walk(task, &base).last_name(&path)?, path))
}

/// For calls that make a name: EEXIST when it is there, even as a mount point.
fn new_name(task: &CurrentTask, last: &LastName) -> Result<(), Errno> {
    if last.name.is_empty() || walk(task, &None).child(&last.parent, &last.name).is_ok() {
        return Err(Errno::EEXIST);
    }
    last.writable()
}

pub fn mkdirat(task: &mut CurrentTask, dirfd: Fd, path: UserAddress, mode: u32) -> SysResult<()> {
    let (last, _) = last_of(task, dirfd, path)?;
    new_name(task, &last)?;
    let mode = mode & 0o1777 & !task.fs().umask();
    Ok(last.parent.node.mkdir(&last.name, mode, &caller(task))?)
}

pub fn mknodat(
    task: &mut CurrentTask,
    dirfd: Fd,
    path: UserAddress,
    mode: u32,
    rdev: u32,
) -> SysResult<()> {
    match mode & S_IFMT {
        0 | S_IFREG | S_IFIFO | S_IFSOCK | S_IFCHR | S_IFBLK => {}
        S_IFDIR => return Err(Errno::EPERM.into()),
        _ => return Err(Errno::EINVAL.into()),
    }
    let (last, _) = last_of(task, dirfd, path)?;
    if last.wants_dir {
        return Err(Errno::ENOENT.into());
    }
    new_name(task, &last)?;
    if matches!(mode & S_IFMT, S_IFCHR | S_IFBLK) {
        return Err(Errno::EPERM.into());
    }
    let kind = if mode & S_IFMT == 0 {
        S_IFREG
    } else {
        mode & S_IFMT
    };
    let mode = kind | mode & 0o7777 & !task.fs().umask();
    Ok(last
        .parent
        .node
        .mknod(&last.name, mode, rdev.into(), &caller(task))?)
}

pub fn symlinkat(
    task: &mut CurrentTask,
    target: UserAddress,
    dirfd: Fd,
    path: UserAddress,
) -> SysResult<()> {
    let target = task.mm().read_cstr(target, PATH_MAX)?;
    if target.is_empty() {
        return Err(Errno::ENOENT.into());
    }
    let (last, _) = last_of(task, dirfd, path)?;
    if last.wants_dir && !last.name.is_empty() {
        return Err(Errno::ENOENT.into());
    }
    new_name(task, &last)?;
    Ok(last
        .parent
        .node
        .symlink(&last.name, &target, &caller(task))?)
}

pub fn unlinkat(task: &mut CurrentTask, dirfd: Fd, path: UserAddress, flags: u32) -> SysResult<()> {
    if flags & !AT_REMOVEDIR != 0 {
        return Err(Errno::EINVAL.into());
    }
    let is_rmdir = flags & AT_REMOVEDIR != 0;
    let (last, path) = last_of(task, dirfd, path)?;
    if last.name.is_empty() {
        // rmdir(2): "." EINVAL, ".." ENOTEMPTY, "/" EBUSY; unlink(2): EISDIR.
        let errno = match path
            .iter()
            .rposition(|&b| b != b'/')
            .map(|end| &path[..=end])
        {
            _ if !is_rmdir => Errno::EISDIR,
            None => Errno::EBUSY,
            Some(path) if path.ends_with(b"..") => Errno::ENOTEMPTY,
            Some(_) => Errno::EINVAL,
        };
        return Err(errno.into());
    }
    let place = walk(task, &None).child(&last.parent, &last.name)?;
    if task.fs().namespace().mount_at(&place.path).is_some() {
        return Err(Errno::EBUSY.into());
    }
    if last.wants_dir && !is_rmdir {
        let errno = if place.is_dir() {
            Errno::EISDIR
        } else {
            Errno::ENOTDIR
        };
        return Err(errno.into());
    }
    if is_rmdir && place.is_dir() && task.fs().namespace().holds_mounts(&place.path) {
        return Err(Errno::EBUSY.into());
    }
    last.writable()?;
    Ok(last.parent.node.unlink(&last.name, is_rmdir)?)
}

pub fn renameat2(
    task: &mut CurrentTask,
    old_dir: Fd,
    old_path: UserAddress,
    new_dir: Fd,
    new_path: UserAddress,
    flags: u32,
) -> SysResult<()> {
    let exclusive = RENAME_NOREPLACE | RENAME_WHITEOUT;
    if flags & !(exclusive | RENAME_EXCHANGE) != 0
        || flags & RENAME_EXCHANGE != 0 && flags & exclusive != 0
    {
        return Err(Errno::EINVAL.into());
    }
    if flags & RENAME_WHITEOUT != 0 {
        // A whiteout is a device node (renameat2(2)).
        return Err(Errno::EPERM.into());
    }
    let (old, _) = last_of(task, old_dir, old_path)?;
    let (new, _) = last_of(task, new_dir, new_path)?;
    if old.parent.mount.id != new.parent.mount.id {
        return Err(Errno::EXDEV.into());
    }
    if old.name.is_empty() {
        return Err(Errno::EBUSY.into());
    }
    if new.name.is_empty() {
        let errno = if flags & RENAME_NOREPLACE != 0 {
            Errno::EEXIST
        } else {
            Errno::EBUSY
        };
        return Err(errno.into());
    }
    let lookup = walk(task, &None);
    let place = lookup.child(&old.parent, &old.name)?;
    let target = lookup.child(&new.parent, &new.name);
    let namespace = task.fs().namespace();
    let is_pinned = |path: &[u8]| namespace.holds_mounts(path);
    if is_pinned(&place.path) || target.as_ref().is_ok_and(|target| is_pinned(&target.path)) {
        return Err(Errno::EBUSY.into());
    }
    let needs_dir = old.wants_dir || new.wants_dir && flags & RENAME_EXCHANGE == 0;
    if needs_dir && !place.is_dir() {
        return Err(Errno::ENOTDIR.into());
    }
    old.writable()?;
    Ok(old
        .parent
        .node
        .rename(&old.name, &new.parent.node, &new.name, flags)?)
}
