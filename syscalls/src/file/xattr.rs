//! Extended attributes (xattr(7)).

use super::walk;
use crate::Fd;
use rivix_abi::fcntl::PATH_MAX;
use rivix_abi::stat::S_IFLNK;
use rivix_abi::{Errno, UserAddress};
use rivix_fs::Place;
use rivix_task::{CurrentTask, SysResult};

const NAME_MAX: usize = 255;
const SIZE_MAX: usize = 65536;
const CREATE: u32 = 1;
const REPLACE: u32 = 2;

fn by_path(task: &CurrentTask, path: UserAddress, follow: bool) -> Result<Place, Errno> {
    let path = task.mm().read_cstr(path, PATH_MAX)?;
    walk(task, &None).resolve(&path, follow)
}

fn by_fd(task: &CurrentTask, fd: Fd) -> Result<Place, Errno> {
    let file = task.files().get(fd.0)?;
    if file.is_path() {
        return Err(Errno::EBADF);
    }
    Ok(file.place().clone())
}

/// An attribute's name: ERANGE when empty or too long.
fn name_at(task: &CurrentTask, name: UserAddress) -> Result<Vec<u8>, Errno> {
    let name = task
        .mm()
        .read_cstr(name, NAME_MAX + 1)
        .map_err(|errno| match errno {
            Errno::ENAMETOOLONG => Errno::ERANGE,
            other => other,
        })?;
    if name.is_empty() {
        Err(Errno::ERANGE)
    } else {
        Ok(name)
    }
}

fn get(
    task: &CurrentTask,
    place: &Place,
    name: UserAddress,
    value: UserAddress,
    size: usize,
) -> SysResult<usize> {
    let name = name_at(task, name)?;
    let got = place.node.get_xattr(&name, SIZE_MAX)?;
    copy_out(task, &got, value, size)
}

fn copy_out(task: &CurrentTask, got: &[u8], to: UserAddress, size: usize) -> SysResult<usize> {
    // Size 0 asks for the length (getxattr(2)).
    if size == 0 {
        return Ok(got.len());
    }
    if got.len() > size {
        return Err(Errno::ERANGE.into());
    }
    task.write_bytes(to, got)?;
    Ok(got.len())
}

fn set(
    task: &CurrentTask,
    place: &Place,
    name: UserAddress,
    value: UserAddress,
    size: usize,
    flags: u32,
) -> SysResult<()> {
    if flags & !(CREATE | REPLACE) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let name = name_at(task, name)?;
    if size > SIZE_MAX {
        return Err(Errno::E2BIG.into());
    }
    let mut bytes = vec![0; size];
    task.read_bytes(value, &mut bytes)?;
    if place.mount.is_readonly {
        return Err(Errno::EROFS.into());
    }
    if name.starts_with(b"user.") && place.node.kind() == S_IFLNK {
        return Err(Errno::EPERM.into());
    }
    Ok(place.node.set_xattr(&name, &bytes, flags)?)
}

fn list(task: &CurrentTask, place: &Place, to: UserAddress, size: usize) -> SysResult<usize> {
    copy_out(task, &place.node.list_xattr()?, to, size)
}

fn remove(task: &CurrentTask, place: &Place, name: UserAddress) -> SysResult<()> {
    let name = name_at(task, name)?;
    if place.mount.is_readonly {
        return Err(Errno::EROFS.into());
    }
    Ok(place.node.remove_xattr(&name)?)
}

pub fn setxattr(
    task: &mut CurrentTask,
    path: UserAddress,
    name: UserAddress,
    value: UserAddress,
    size: usize,
    flags: u32,
) -> SysResult<()> {
    set(task, &by_path(task, path, true)?, name, value, size, flags)
}

pub fn lsetxattr(
    task: &mut CurrentTask,
    path: UserAddress,
    name: UserAddress,
    value: UserAddress,
    size: usize,
    flags: u32,
) -> SysResult<()> {
    set(task, &by_path(task, path, false)?, name, value, size, flags)
}

pub fn fsetxattr(
    task: &mut CurrentTask,
    fd: Fd,
    name: UserAddress,
    value: UserAddress,
    size: usize,
    flags: u32,
) -> SysResult<()> {
    set(task, &by_fd(task, fd)?, name, value, size, flags)
}

pub fn getxattr(
    task: &mut CurrentTask,
    path: UserAddress,
    name: UserAddress,
    value: UserAddress,
    size: usize,
) -> SysResult<usize> {
    get(task, &by_path(task, path, true)?, name, value, size)
}

pub fn lgetxattr(
    task: &mut CurrentTask,
    path: UserAddress,
    name: UserAddress,
    value: UserAddress,
    size: usize,
) -> SysResult<usize> {
    get(task, &by_path(task, path, false)?, name, value, size)
}

pub fn fgetxattr(
    task: &mut CurrentTask,
    fd: Fd,
    name: UserAddress,
    value: UserAddress,
    size: usize,
) -> SysResult<usize> {
    get(task, &by_fd(task, fd)?, name, value, size)
}

pub fn listxattr(
    task: &mut CurrentTask,
    path: UserAddress,
    to: UserAddress,
    size: usize,
) -> SysResult<usize> {
    list(task, &by_path(task, path, true)?, to, size)
}

pub fn llistxattr(
    task: &mut CurrentTask,
    path: UserAddress,
    to: UserAddress,
    size: usize,
) -> SysResult<usize> {
    list(task, &by_path(task, path, false)?, to, size)
}

pub fn flistxattr(
    task: &mut CurrentTask,
    fd: Fd,
    to: UserAddress,
    size: usize,
) -> SysResult<usize> {
    list(task, &by_fd(task, fd)?, to, size)
}

pub fn removexattr(task: &mut CurrentTask, path: UserAddress, name: UserAddress) -> SysResult<()> {
    remove(task, &by_path(task, path, true)?, name)
}

pub fn lremovexattr(task: &mut CurrentTask, path: UserAddress, name: UserAddress) -> SysResult<()> {
    remove(task, &by_path(task, path, false)?, name)
}

pub fn fremovexattr(task: &mut CurrentTask, fd: Fd, name: UserAddress) -> SysResult<()> {
    remove(task, &by_fd(task, fd)?, name)
}
