//! Changing metadata: modes, owners, times, lengths.

use super::{caller, offset, place_at};
use crate::Fd;
use rivix_abi::fcntl::{
    AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, PATH_MAX, UTIME_NOW, UTIME_OMIT,
};
use rivix_abi::stat::{S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK};
use rivix_abi::time::Timespec;
use rivix_abi::{Errno, Signal, UserAddress, UserRef};
use rivix_fs::Place;
use rivix_fs::node::{NewTimes, TimeChange};
use rivix_task::{CurrentTask, SysResult};

const W_OK: u32 = 2;

fn writable(place: &Place) -> Result<(), Errno> {
    if place.mount.is_readonly {
        Err(Errno::EROFS)
    } else {
        Ok(())
    }
}

pub fn fchmod(task: &mut CurrentTask, fd: Fd, mode: u32) -> SysResult<()> {
    let file = task.files().get(fd.0)?;
    if file.is_path() {
        return Err(Errno::EBADF.into());
    }
    writable(file.place())?;
    Ok(file.node().set_mode(mode & 0o7777)?)
}

pub fn fchmodat(task: &mut CurrentTask, dirfd: Fd, path: UserAddress, mode: u32) -> SysResult<()> {
    fchmodat2(task, dirfd, path, mode, 0)
}

pub fn fchmodat2(
    task: &mut CurrentTask,
    dirfd: Fd,
    path: UserAddress,
    mode: u32,
    flags: u32,
) -> SysResult<()> {
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let place = place_at(task, dirfd, path, flags & AT_SYMLINK_NOFOLLOW == 0, flags)?;
    writable(&place)?;
    if place.is_symlink() {
        return Err(Errno::EOPNOTSUPP.into());
    }
    Ok(place.node.set_mode(mode & 0o7777)?)
}

pub fn fchown(task: &mut CurrentTask, fd: Fd, uid: u32, gid: u32) -> SysResult<()> {
    let file = task.files().get(fd.0)?;
    if file.is_path() {
        return Err(Errno::EBADF.into());
    }
    writable(file.place())?;
    Ok(file.node().set_owner(uid, gid)?)
}

pub fn fchownat(
    task: &mut CurrentTask,
    dirfd: Fd,
    path: UserAddress,
    uid: u32,
    gid: u32,
    flags: u32,
) -> SysResult<()> {
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let place = place_at(task, dirfd, path, flags & AT_SYMLINK_NOFOLLOW == 0, flags)?;
    writable(&place)?;
    Ok(place.node.set_owner(uid, gid)?)
}

pub fn utimensat(
    task: &mut CurrentTask,
    dirfd: Fd,
    path: UserAddress,
    times: UserRef<Timespec>,
    flags: u32,
) -> SysResult<()> {
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let new = match times.non_null() {
        None => NewTimes {
            atime: Some(TimeChange::Now),
            mtime: Some(TimeChange::Now),
        },
        Some(times) => NewTimes {
            atime: change(task.read(times)?)?,
            mtime: change(task.read(times.at(1)?)?)?,
        },
    };
    if new.atime.is_none() && new.mtime.is_none() {
        return Ok(());
    }
    let place = if path.is_null() && dirfd.0 != AT_FDCWD {
        if flags != 0 {
            return Err(Errno::EINVAL.into());
        }
        let file = task.files().get(dirfd.0)?;
        if file.is_path() {
            return Err(Errno::EBADF.into());
        }
        file.place().clone()
    } else {
        place_at(task, dirfd, path, flags & AT_SYMLINK_NOFOLLOW == 0, flags)?
    };
    writable(&place)?;
    Ok(place.node.set_times(&new)?)
}

fn change(time: Timespec) -> Result<Option<TimeChange>, Errno> {
    match time.nsec {
        UTIME_NOW => Ok(Some(TimeChange::Now)),
        UTIME_OMIT => Ok(None),
        nsec @ 0..1_000_000_000 => Ok(Some(TimeChange::To(time.sec, nsec))),
        _ => Err(Errno::EINVAL),
    }
}

/// EFBIG and SIGXFSZ above RLIMIT_FSIZE (truncate(2)).
fn check_length(task: &CurrentTask, place: &Place, length: u64) -> Result<(), Errno> {
    let grows = || {
        place
            .node
            .stat()
            .is_ok_and(|stat| stat.size < length as i64)
    };
    if length > caller(task).fsize && grows() {
        task.send_to_self(Signal::SIGXFSZ);
        return Err(Errno::EFBIG);
    }
    Ok(())
}

pub fn truncate(task: &mut CurrentTask, path: UserAddress, length: i64) -> SysResult<()> {
    let length = offset(length)?;
    let path = task.mm().read_cstr(path, PATH_MAX)?;
    let place = super::walk(task, &None).resolve(&path, true)?;
    match place.node.kind() {
        S_IFREG => {}
        S_IFDIR => return Err(Errno::EISDIR.into()),
        _ => return Err(Errno::EINVAL.into()),
    }
    writable(&place)?;
    place.node.access(W_OK, &caller(task))?;
    check_length(task, &place, length)?;
    Ok(place.node.truncate(length)?)
}

pub fn ftruncate(task: &mut CurrentTask, fd: Fd, length: i64) -> SysResult<()> {
    let length = offset(length)?;
    let file = task.files().get(fd.0)?;
    if file.is_path() {
        return Err(Errno::EBADF.into());
    }
    if !file.can_write() || file.node().kind() != S_IFREG {
        return Err(Errno::EINVAL.into());
    }
    check_length(task, file.place(), length)?;
    Ok(file.ops().truncate(length)?)
}

pub fn fallocate(task: &mut CurrentTask, fd: Fd, mode: u32, at: i64, len: i64) -> SysResult<()> {
    let file = task.files().get(fd.0)?;
    if at < 0 || len <= 0 {
        return Err(Errno::EINVAL.into());
    }
    if !file.can_write() {
        return Err(Errno::EBADF.into());
    }
    match file.node().kind() {
        S_IFREG => {}
        S_IFIFO => return Err(Errno::ESPIPE.into()),
        S_IFDIR => return Err(Errno::EISDIR.into()),
        S_IFLNK | S_IFSOCK => return Err(Errno::ENODEV.into()),
        _ => return Err(Errno::ENODEV.into()),
    }
    let end = at.checked_add(len).ok_or(Errno::EFBIG)?;
    check_length(task, file.place(), end as u64)?;
    super::sync::on_disk(task, &file, move |ops| {
        ops.allocate(mode, at as u64, len as u64)
    })
}
