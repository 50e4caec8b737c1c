//! read(2), write(2) and their relatives.

use super::{caller, terminal};
use crate::{Fd, net};
use rivix_abi::fcntl::{IOV_MAX, Iovec, SEEK_CUR, SEEK_DATA, SEEK_END, SEEK_HOLE, SEEK_SET};
use rivix_abi::poll::{POLLIN, POLLOUT};
use rivix_abi::{Errno, Signal, UserAddress, UserRef};
use rivix_fs::tty::Slave;
use rivix_fs::{File, SeekFrom, UserBuffers};
use rivix_task::{CurrentTask, SysError, SysResult};
use std::sync::Arc;

/// preadv2(2)'s flags.
const RWF_HIPRI: u32 = 1;
const RWF_DSYNC: u32 = 2;
const RWF_SYNC: u32 = 4;
const RWF_NOWAIT: u32 = 8;
const RWF_APPEND: u32 = 0x10;

/// An iovec array: EINVAL above IOV_MAX, EFAULT.
pub(crate) fn read_iovecs(
    task: &CurrentTask,
    at: UserRef<Iovec>,
    count: usize,
) -> Result<Vec<Iovec>, Errno> {
    if count > IOV_MAX {
        return Err(Errno::EINVAL);
    }
    (0..count as u64)
        .map(|index| task.read(at.at(index)?))
        .collect()
}

/// A position argument: negative is EINVAL.
pub(crate) fn offset(at: i64) -> Result<u64, Errno> {
    u64::try_from(at).map_err(|_| Errno::EINVAL)
}

pub(crate) fn do_read(
    task: &CurrentTask,
    file: &Arc<File>,
    mut sink: UserBuffers<'_>,
    at: Option<u64>,
) -> SysResult<usize> {
    if file.can_read() && at.is_none() {
        if net::is_socket(file) {
            return net::read_socket(task, file, &mut sink);
        }
        terminal::before_read(task, file)?;
        if let Some(slave) = file.downcast::<Slave>()
            && !file.is_nonblocking()
        {
            return terminal::read(task, file, slave, &mut sink);
        }
    }
    task.blocking_file(file, POLLIN, || file.read(&mut sink, at))
}

/// Writes all a blocking pipe is given, raises SIGPIPE and SIGXFSZ.
pub(crate) fn do_write(
    task: &CurrentTask,
    file: &Arc<File>,
    source: UserBuffers<'_>,
    at: Option<u64>,
) -> SysResult<usize> {
    if net::is_socket(file) && at.is_none() {
        let mut source = source;
        return net::write_socket(task, file, &mut source);
    }
    if file.can_write() && at.is_none() {
        terminal::before_write(task, file)?;
    }
    let mut source = source.limited(caller(task).fsize);
    let total = rivix_fs::Source::remaining(&source);
    let goes_on = file.ops().writes_fully() && !file.is_nonblocking();
    let result = task.blocking_file(file, POLLOUT, || {
        loop {
            let n = file.write(&mut source, at)?;
            if !goes_on || n == 0 || rivix_fs::Source::remaining(&source) == 0 {
                return Ok(n);
            }
        }
    });
    let done = if goes_on {
        total - rivix_fs::Source::remaining(&source)
    } else {
        0
    };
    match result {
        Ok(n) => Ok(n.max(done)),
        Err(error) => {
            raise(task, &error);
            if done > 0 { Ok(done) } else { Err(error) }
        }
    }
}

/// The signals that go with a failed write (write(2), EPIPE and EFBIG).
fn raise(task: &CurrentTask, error: &SysError) {
    match error {
        SysError::Errno(Errno::EPIPE) => task.broken_pipe(),
        SysError::Errno(Errno::EFBIG) if caller(task).fsize != u64::MAX => {
            task.send_to_self(Signal::SIGXFSZ);
        }
        _ => {}
    }
}

pub fn read(task: &mut CurrentTask, fd: Fd, buf: UserAddress, len: usize) -> SysResult<usize> {
    let file = task.files().get(fd.0)?;
    do_read(task, &file, UserBuffers::one(task.mm(), buf, len), None)
}

pub fn write(task: &mut CurrentTask, fd: Fd, buf: UserAddress, len: usize) -> SysResult<usize> {
    let file = task.files().get(fd.0)?;
    do_write(task, &file, UserBuffers::one(task.mm(), buf, len), None)
}

pub fn pread64(
    task: &mut CurrentTask,
    fd: Fd,
    buf: UserAddress,
    len: usize,
    at: i64,
) -> SysResult<usize> {
    let at = offset(at)?;
    let file = task.files().get(fd.0)?;
    do_read(task, &file, UserBuffers::one(task.mm(), buf, len), Some(at))
}

pub fn pwrite64(
    task: &mut CurrentTask,
    fd: Fd,
    buf: UserAddress,
    len: usize,
    at: i64,
) -> SysResult<usize> {
    let at = offset(at)?;
    let file = task.files().get(fd.0)?;
    do_write(task, &file, UserBuffers::one(task.mm(), buf, len), Some(at))
}

pub fn readv(
    task: &mut CurrentTask,
    fd: Fd,
    iov: UserRef<Iovec>,
    count: usize,
) -> SysResult<usize> {
    let file = task.files().get(fd.0)?;
    let iovecs = read_iovecs(task, iov, count)?;
    do_read(task, &file, UserBuffers::many(task.mm(), &iovecs)?, None)
}

pub fn writev(
    task: &mut CurrentTask,
    fd: Fd,
    iov: UserRef<Iovec>,
    count: usize,
) -> SysResult<usize> {
    let file = task.files().get(fd.0)?;
    let iovecs = read_iovecs(task, iov, count)?;
    let source = UserBuffers::many(task.mm(), &iovecs)?;
    if is_no_packet(&file, &source) {
        return Ok(0);
    }
    do_write(task, &file, source, None)
}

/// No bytes are an empty packet for write(2), and nothing for writev(2) (vfs_writev).
fn is_no_packet(file: &File, source: &UserBuffers<'_>) -> bool {
    net::is_socket(file) && rivix_fs::Source::remaining(source) == 0
}

pub fn preadv(
    task: &mut CurrentTask,
    fd: Fd,
    iov: UserRef<Iovec>,
    count: usize,
    at: i64,
) -> SysResult<usize> {
    // On a 64-bit kernel the first half holds all of the position.
    let at = offset(at)?;
    let file = task.files().get(fd.0)?;
    let iovecs = read_iovecs(task, iov, count)?;
    do_read(
        task,
        &file,
        UserBuffers::many(task.mm(), &iovecs)?,
        Some(at),
    )
}

pub fn pwritev(
    task: &mut CurrentTask,
    fd: Fd,
    iov: UserRef<Iovec>,
    count: usize,
    at: i64,
) -> SysResult<usize> {
    let at = offset(at)?;
    let file = task.files().get(fd.0)?;
    let iovecs = read_iovecs(task, iov, count)?;
    do_write(
        task,
        &file,
        UserBuffers::many(task.mm(), &iovecs)?,
        Some(at),
    )
}

pub fn preadv2(
    task: &mut CurrentTask,
    fd: Fd,
    iov: UserRef<Iovec>,
    count: usize,
    at: i64,
    _at_high: u64,
    flags: u32,
) -> SysResult<usize> {
    let file = task.files().get(fd.0)?;
    let iovecs = read_iovecs(task, iov, count)?;
    if flags & !(RWF_HIPRI | RWF_NOWAIT | RWF_DSYNC | RWF_SYNC) != 0 {
        return Err(Errno::EOPNOTSUPP.into());
    }
    let at = if at == -1 { None } else { Some(offset(at)?) };
    let mut sink = UserBuffers::many(task.mm(), &iovecs)?;
    if flags & RWF_NOWAIT != 0 {
        return Ok(file.read(&mut sink, at)?);
    }
    do_read(task, &file, sink, at)
}

pub fn pwritev2(
    task: &mut CurrentTask,
    fd: Fd,
    iov: UserRef<Iovec>,
    count: usize,
    at: i64,
    _at_high: u64,
    flags: u32,
) -> SysResult<usize> {
    let file = task.files().get(fd.0)?;
    let iovecs = read_iovecs(task, iov, count)?;
    if flags & !(RWF_HIPRI | RWF_DSYNC | RWF_SYNC) != 0 {
        // RWF_NOWAIT and RWF_APPEND: a caller must be ready to hear this.
        let _ = RWF_APPEND;
        return Err(Errno::EOPNOTSUPP.into());
    }
    let at = if at == -1 { None } else { Some(offset(at)?) };
    let source = UserBuffers::many(task.mm(), &iovecs)?;
    if at.is_none() && is_no_packet(&file, &source) {
        return Ok(0);
    }
    let n = do_write(task, &file, source, at)?;
    if flags & (RWF_DSYNC | RWF_SYNC) != 0 {
        file.ops().sync(flags & RWF_SYNC == 0)?;
    }
    Ok(n)
}

pub fn lseek(task: &mut CurrentTask, fd: Fd, at: i64, whence: u32) -> SysResult<u64> {
    let file = task.files().get(fd.0)?;
    let to = match whence {
        SEEK_SET => SeekFrom::Start(at),
        SEEK_CUR => SeekFrom::Current(at),
        SEEK_END => SeekFrom::End(at),
        SEEK_DATA => SeekFrom::Data(at),
        SEEK_HOLE => SeekFrom::Hole(at),
        _ => return Err(Errno::EINVAL.into()),
    };
    Ok(file.seek(to)?)
}
