//! Moving bytes between files inside the kernel: sendfile(2), splice(2), tee(2),
//! copy_file_range(2).

use super::{caller, offset};
use crate::{Fd, net};
use rivix_abi::fcntl::{MAX_RW_COUNT, O_APPEND};
use rivix_abi::poll::{POLLIN, POLLOUT};
use rivix_abi::stat::{S_IFDIR, S_IFREG};
use rivix_abi::{Errno, UserRef};
use rivix_fs::pipe::PipeEnd;
use rivix_fs::{File, SliceSource, VecSink};
use rivix_task::{CurrentTask, SysError, SysResult};
use std::sync::Arc;

/// Bytes moved at a time.
const CHUNK: usize = 64 * 1024;
const SPLICE_F_NONBLOCK: u32 = 2;
const SPLICE_FLAGS: u32 = 0xf;

/// Where one side of a transfer is: a position the caller keeps, or the file's own.
struct Position {
    at: Option<u64>,
    given: Option<UserRef<i64>>,
}

impl Position {
    fn read(task: &CurrentTask, given: UserRef<i64>) -> Result<Position, Errno> {
        match given.non_null() {
            None => Ok(Position {
                at: None,
                given: None,
            }),
            Some(given) => Ok(Position {
                at: Some(offset(task.read(given)?)?),
                given: Some(given),
            }),
        }
    }

    fn advance(&mut self, by: usize) {
        self.at = self.at.map(|at| at.saturating_add(by as u64));
    }

    fn write_back(&self, task: &CurrentTask) -> Result<(), Errno> {
        match (self.given, self.at) {
            (Some(given), Some(at)) => task.write(given, &(at as i64)),
            _ => Ok(()),
        }
    }
}

/// Up to `want` bytes of `from`. With `keep`, its own offset stays where it is.
fn fetch(from: &File, at: Option<u64>, want: usize) -> Result<Vec<u8>, Errno> {
    let mut sink = VecSink::new(want.min(CHUNK));
    from.read(&mut sink, at)?;
    Ok(sink.bytes)
}

/// Writes `bytes` and says how many the file took, waiting as a write would.
fn store(task: &CurrentTask, to: &Arc<File>, at: Option<u64>, bytes: &[u8]) -> SysResult<usize> {
    let mut source = SliceSource::with_size_limit(bytes, caller(task).fsize);
    if net::is_socket(to) {
        return net::write_socket(task, to, &mut source);
    }
    let result = task.blocking_file(to, POLLOUT, || to.write(&mut source, at));
    if matches!(result, Err(SysError::Errno(Errno::EPIPE))) {
        task.broken_pipe();
    }
    result
}

/// Copies a seekable file to any file, a chunk at a time, never losing what the
/// target did not take.
fn copy(
    task: &CurrentTask,
    from: &Arc<File>,
    from_at: &mut Position,
    to: &Arc<File>,
    to_at: &mut Position,
    len: usize,
) -> SysResult<usize> {
    let mut moved = 0;
    while moved < len {
        let at = match from_at.at {
            Some(at) => at,
            None => *from.offset(),
        };
        let bytes = match fetch(from, Some(at), len - moved) {
            Ok(bytes) if bytes.is_empty() => break,
            Ok(bytes) => bytes,
            Err(errno) if moved == 0 => return Err(errno.into()),
            Err(_) => break,
        };
        let n = match store(task, to, to_at.at, &bytes) {
            Ok(n) => n,
            Err(error) if moved == 0 => return Err(error),
            Err(_) => break,
        };
        if from_at.at.is_none() {
            *from.offset() = at + n as u64;
        }
        from_at.advance(n);
        to_at.advance(n);
        moved += n;
        if n == 0 || task.pending_interrupt() {
            break;
        }
    }
    Ok(moved)
}

pub fn sendfile(
    task: &mut CurrentTask,
    out: Fd,
    input: Fd,
    at: UserRef<i64>,
    len: usize,
) -> SysResult<usize> {
    let mut from_at = Position::read(task, at)?;
    let from = task.files().get(input.0)?;
    let to = task.files().get(out.0)?;
    if !from.can_read() || !to.can_write() {
        return Err(Errno::EBADF.into());
    }
    if !from.ops().is_seekable() {
        let errno = if from_at.at.is_some() {
            Errno::ESPIPE
        } else {
            Errno::EINVAL
        };
        return Err(errno.into());
    }
    if to.flags() & O_APPEND != 0 || from.node().kind() == S_IFDIR {
        return Err(Errno::EINVAL.into());
    }
    let mut to_at = Position {
        at: None,
        given: None,
    };
    let moved = copy(
        task,
        &from,
        &mut from_at,
        &to,
        &mut to_at,
        len.min(MAX_RW_COUNT),
    )?;
    from_at.write_back(task)?;
    Ok(moved)
}

pub fn copy_file_range(
    task: &mut CurrentTask,
    input: Fd,
    in_at: UserRef<i64>,
    out: Fd,
    out_at: UserRef<i64>,
    len: usize,
    flags: u32,
) -> SysResult<usize> {
    let from = task.files().get(input.0)?;
    let to = task.files().get(out.0)?;
    let mut from_at = Position::read(task, in_at)?;
    let mut to_at = Position::read(task, out_at)?;
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    for file in [&from, &to] {
        match file.node().kind() {
            S_IFREG => {}
            S_IFDIR => return Err(Errno::EISDIR.into()),
            _ => return Err(Errno::EINVAL.into()),
        }
    }
    if !from.can_read() || !to.can_write() || to.flags() & O_APPEND != 0 {
        return Err(Errno::EBADF.into());
    }
    let len = len.min(MAX_RW_COUNT);
    let (a, b) = (from.stat()?, to.stat()?);
    if (a.dev, a.ino) == (b.dev, b.ino) {
        let start =
            |position: &Position, file: &File| position.at.unwrap_or_else(|| *file.offset());
        let (x, y) = (start(&from_at, &from), start(&to_at, &to));
        let end = |at: u64| at.saturating_add(len as u64);
        if x < end(y) && y < end(x) {
            return Err(Errno::EINVAL.into());
        }
    }
    let moved = copy(task, &from, &mut from_at, &to, &mut to_at, len)?;
    from_at.write_back(task)?;
    to_at.write_back(task)?;
    Ok(moved)
}

pub fn splice(
    task: &mut CurrentTask,
    input: Fd,
    in_at: UserRef<i64>,
    out: Fd,
    out_at: UserRef<i64>,
    len: usize,
    flags: u32,
) -> SysResult<usize> {
    if flags & !SPLICE_FLAGS != 0 {
        return Err(Errno::EINVAL.into());
    }
    if len == 0 {
        return Ok(0);
    }
    let from = task.files().get(input.0)?;
    let to = task.files().get(out.0)?;
    if !from.can_read() || !to.can_write() {
        return Err(Errno::EBADF.into());
    }
    let source_pipe = from.downcast::<PipeEnd>();
    let target_pipe = to.downcast::<PipeEnd>();
    if source_pipe.is_some() && !in_at.is_null() || target_pipe.is_some() && !out_at.is_null() {
        return Err(Errno::ESPIPE.into());
    }
    let mut from_at = Position::read(task, in_at)?;
    let mut to_at = Position::read(task, out_at)?;
    let no_wait = flags & SPLICE_F_NONBLOCK != 0;
    let len = len.min(MAX_RW_COUNT);
    match (source_pipe, target_pipe) {
        (None, None) => Err(Errno::EINVAL.into()),
        (Some(a), Some(b)) if a.is_same_pipe(b) => Err(Errno::EINVAL.into()),
        (Some(pipe), _) => {
            if to.flags() & O_APPEND != 0 {
                return Err(Errno::EINVAL.into());
            }
            // What the target does not take stays in the pipe.
            let look = || pipe.peek(len.min(CHUNK));
            let bytes = if no_wait {
                look()?
            } else {
                task.blocking_file(&from, POLLIN, look)?
            };
            let Some(bytes) = bytes else { return Ok(0) };
            // SPLICE_F_NONBLOCK is about the pipe, where a socket is the other end.
            let moved = if no_wait && !net::is_socket(&to) {
                to.write(&mut SliceSource::new(&bytes), to_at.at)?
            } else {
                store(task, &to, to_at.at, &bytes)?
            };
            from.read(&mut VecSink::new(moved), None)?;
            to_at.advance(moved);
            to_at.write_back(task)?;
            Ok(moved)
        }
        (None, Some(pipe)) => {
            let wait_for_room = || match pipe.room()? {
                0 => Err(Errno::EAGAIN),
                room => Ok(room),
            };
            let room = if no_wait {
                wait_for_room()?
            } else {
                task.blocking_file(&to, POLLOUT, wait_for_room)?
            };
            let mut none = Position {
                at: None,
                given: None,
            };
            let want = len.min(room);
            if from.ops().is_seekable() {
                let moved = copy(task, &from, &mut from_at, &to, &mut none, want)?;
                from_at.write_back(task)?;
                return Ok(moved);
            }
            let look = || fetch(&from, None, want);
            let bytes = if no_wait && net::is_socket(&from) {
                look()?
            } else {
                task.blocking_file(&from, POLLIN, look)?
            };
            store(task, &to, None, &bytes)
        }
    }
}

pub fn tee(task: &mut CurrentTask, input: Fd, out: Fd, len: usize, flags: u32) -> SysResult<usize> {
    if flags & !SPLICE_FLAGS != 0 {
        return Err(Errno::EINVAL.into());
    }
    if len == 0 {
        return Ok(0);
    }
    let from = task.files().get(input.0)?;
    let to = task.files().get(out.0)?;
    if !from.can_read() || !to.can_write() {
        return Err(Errno::EBADF.into());
    }
    let (Some(source), Some(target)) = (from.downcast::<PipeEnd>(), to.downcast::<PipeEnd>())
    else {
        return Err(Errno::EINVAL.into());
    };
    if source.is_same_pipe(target) {
        return Err(Errno::EINVAL.into());
    }
    let look = || source.peek(len.min(CHUNK));
    let no_wait = flags & SPLICE_F_NONBLOCK != 0;
    let bytes = if no_wait {
        look()?
    } else {
        task.blocking_file(&from, POLLIN, look)?
    };
    let Some(bytes) = bytes else { return Ok(0) };
    if no_wait {
        return Ok(to.write(&mut SliceSource::new(&bytes), None)?);
    }
    store(task, &to, None, &bytes)
}
