//! The current directory, the root, the umask.

use crate::Fd;
use crate::file::{caller, walk};
use rivix_abi::fcntl::PATH_MAX;
use rivix_abi::{Errno, UserAddress};
use rivix_task::{CurrentTask, SysResult};

const X_OK: u32 = 1;
const CAP_SYS_CHROOT: u32 = 18;

pub fn getcwd(task: &mut CurrentTask, buf: UserAddress, size: usize) -> SysResult<usize> {
    let mut path = task.fs().cwd_path()?;
    path.push(0);
    if path.len() > size {
        return Err(Errno::ERANGE.into());
    }
    task.write_bytes(buf, &path)?;
    // Unlike the library function the call gives the length, NUL included.
    Ok(path.len())
}

pub fn chdir(task: &mut CurrentTask, path: UserAddress) -> SysResult<()> {
    let path = task.mm().read_cstr(path, PATH_MAX)?;
    let place = walk(task, &None).resolve(&path, true)?;
    if !place.is_dir() {
        return Err(Errno::ENOTDIR.into());
    }
    place.node.access(X_OK, &caller(task))?;
    Ok(task.fs().set_cwd(place)?)
}

pub fn fchdir(task: &mut CurrentTask, fd: Fd) -> SysResult<()> {
    let file = task.files().get(fd.0)?;
    let place = file.place().clone();
    if !place.is_dir() {
        return Err(Errno::ENOTDIR.into());
    }
    place.node.access(X_OK, &caller(task))?;
    Ok(task.fs().set_cwd(place)?)
}

pub fn chroot(task: &mut CurrentTask, path: UserAddress) -> SysResult<()> {
    let path = task.mm().read_cstr(path, PATH_MAX)?;
    let place = walk(task, &None).resolve(&path, true)?;
    if !place.is_dir() {
        return Err(Errno::ENOTDIR.into());
    }
    place.node.access(X_OK, &caller(task))?;
    if task.creds().effective & 1 << CAP_SYS_CHROOT == 0 {
        return Err(Errno::EPERM.into());
    }
    Ok(task.fs().set_root(place)?)
}

pub fn umask(task: &mut CurrentTask, mask: u32) -> SysResult<u32> {
    Ok(task.fs().set_umask(mask))
}
