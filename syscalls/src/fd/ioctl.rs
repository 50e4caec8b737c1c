//! ioctl(2): the requests every file has; the rest is the file's.

use crate::Fd;
use crate::file::terminal;
use rivix_abi::fcntl::{O_ASYNC, O_NONBLOCK};
use rivix_abi::ioctl::{
    FIOASYNC, FIOCLEX, FIONBIO, FIONCLEX, FIONREAD, FIOQSIZE, TCSBRK, TCSBRKP, TCSETA, TCSETAF,
    TCSETAW, TCSETS, TCSETS2, TCSETSF, TCSETSF2, TCSETSW, TCSETSW2,
};
use rivix_abi::poll::POLLOUT;
use rivix_abi::stat::{S_IFDIR, S_IFLNK, S_IFREG};
use rivix_abi::{Errno, UserAddress, UserRef};
use rivix_fs::{File, SeekFrom};
use rivix_task::{CurrentTask, SysResult};

pub fn ioctl(task: &mut CurrentTask, fd: Fd, request: u32, arg: UserAddress) -> SysResult<u64> {
    let file = task.files().get(fd.0)?;
    if file.is_path() {
        return Err(Errno::EBADF.into());
    }
    match request {
        FIOCLEX => task.files().set_cloexec(fd.0, true)?,
        FIONCLEX => task.files().set_cloexec(fd.0, false)?,
        FIONBIO | FIOASYNC => {
            let flag = if request == FIONBIO {
                O_NONBLOCK
            } else {
                O_ASYNC
            };
            let on: i32 = task.read(UserRef::new(arg))?;
            let flags = if on != 0 {
                file.flags() | flag
            } else {
                file.flags() & !flag
            };
            file.set_flags(flags)?;
        }
        // What is left of a regular file; other files answer themselves.
        FIONREAD if file.node().kind() == S_IFREG => {
            let left = file
                .stat()?
                .size
                .saturating_sub(file.seek(SeekFrom::Current(0))? as i64);
            let left = left.clamp(i32::MIN.into(), i32::MAX.into()) as i32;
            task.write(UserRef::new(arg), &left)?;
        }
        FIOQSIZE => match file.node().kind() {
            S_IFREG | S_IFDIR | S_IFLNK => {
                task.write(UserRef::new(arg), &file.stat()?.size)?;
            }
            _ => return Err(Errno::ENOTTY.into()),
        },
        _ => {
            if let Some(answer) = terminal::request(task, &file, request, arg)? {
                return Ok(answer);
            }
            return own_ioctl(task, &file, request, arg);
        }
    }
    Ok(0)
}

/// The file's own requests. Some wait until a terminal has what was written before,
/// with O_NONBLOCK too; tcdrain(3) is not restarted after a signal.
fn own_ioctl(task: &CurrentTask, file: &File, request: u32, arg: UserAddress) -> SysResult<u64> {
    let call = || file.ops().ioctl(file, request, arg, task.mm());
    let waits = matches!(
        request,
        TCSBRK
            | TCSBRKP
            | TCSETS
            | TCSETSW
            | TCSETSF
            | TCSETS2
            | TCSETSW2
            | TCSETSF2
            | TCSETA
            | TCSETAW
            | TCSETAF
    );
    match file.wait_queue().filter(|_| waits) {
        None => Ok(call()?),
        Some(queue) => {
            let done = task.block_until(None, &[(queue, POLLOUT)], call);
            done.map_err(|blocked| match request {
                TCSBRK | TCSBRKP => blocked.eintr(Errno::EAGAIN),
                _ => blocked.restart_sys(Errno::EAGAIN),
            })
        }
    }
}
