//! open, close, dup, pipe, read and write: the files are those of Linux processes.

use crate::Fd;
use rivix_abi::fcntl::{AT_FDCWD, O_ACCMODE, O_CREAT, O_TRUNC};
use rivix_abi::{Errno, UserAddress, UserRef};
use rivix_task::{CurrentTask, SysResult};

/// The kernels' own flags; the access modes are Linux's.
const CREATE: u32 = 0x200;
const TRUNCATE: u32 = 0x400;
/// What a new file may be used for, less the umask.
const MODE: u32 = 0o666;

/// A descriptor as a whole register: what does not fit is none.
fn fd(number: u64) -> Result<Fd, Errno> {
    i32::try_from(number).map(Fd).map_err(|_| Errno::EBADF)
}

pub(super) fn dup(task: &mut CurrentTask, old: u64) -> SysResult<Fd> {
    crate::fd::dup(task, fd(old)?)
}

pub(super) fn close(task: &mut CurrentTask, number: u64) -> SysResult<()> {
    crate::fd::close(task, fd(number)?)
}

pub(super) fn read(
    task: &mut CurrentTask,
    number: u64,
    to: UserAddress,
    len: usize,
) -> SysResult<usize> {
    crate::file::read(task, fd(number)?, to, len)
}

pub(super) fn write(
    task: &mut CurrentTask,
    number: u64,
    from: UserAddress,
    len: usize,
) -> SysResult<usize> {
    crate::file::write(task, fd(number)?, from, len)
}

/// There, creating a file that exists empties it.
pub(super) fn open_rcore(task: &mut CurrentTask, path: UserAddress, flags: u64) -> SysResult<Fd> {
    open(task, path, flags, O_CREAT | O_TRUNC)
}

pub(super) fn open_ucore(task: &mut CurrentTask, path: UserAddress, flags: u64) -> SysResult<Fd> {
    open(task, path, flags, O_CREAT)
}

fn open(task: &mut CurrentTask, path: UserAddress, flags: u64, created: u32) -> SysResult<Fd> {
    let flags = u32::try_from(flags).map_err(|_| Errno::EINVAL)?;
    let access = flags & O_ACCMODE;
    if flags & !(O_ACCMODE | CREATE | TRUNCATE) != 0 || access == O_ACCMODE {
        return Err(Errno::EINVAL.into());
    }
    let mut linux = access;
    if flags & CREATE != 0 {
        linux |= created;
    }
    if flags & TRUNCATE != 0 {
        linux |= O_TRUNC;
    }
    crate::file::openat(task, Fd(AT_FDCWD), path, linux, MODE)
}

/// Both kernels store two words of 64 bits.
pub(super) fn pipe(task: &mut CurrentTask, ends: UserRef<[u64; 2]>) -> SysResult<()> {
    let task = &*task;
    crate::pipe::make(task, 0, |made| {
        task.write(ends, &made.map(|fd| fd.unsigned_abs().into()))
    })
}
