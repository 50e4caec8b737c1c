//! ioctl(2): the requests every file has; the rest is the file's.

use crate::Fd;
use rivix_abi::fcntl::{O_ASYNC, O_NONBLOCK};
use rivix_abi::ioctl::{
    FIOASYNC, FIOCLEX, FIONBIO, FIONCLEX, FIONREAD, FIOQSIZE, TCSBRK, TCSETS, TCSETSF, TCSETSW,
    TIOCGPGRP, TIOCGSID, TIOCNOTTY, TIOCSCTTY, TIOCSPGRP,
};
use rivix_abi::poll::POLLOUT;
use rivix_abi::stat::{S_IFDIR, S_IFLNK, S_IFREG};
use rivix_abi::{Errno, Signal, UserAddress, UserRef};
use rivix_fs::host::HostStream;
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
            if let Some(device) = terminal(&file) {
                let answered = job_control(task, device, request, arg)?;
                if answered {
                    return Ok(0);
                }
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
    let waits = matches!(request, TCSBRK | TCSETS | TCSETSW | TCSETSF);
    match file.wait_queue().filter(|_| waits) {
        None => Ok(call()?),
        Some(queue) => {
            let done = task.block_until(None, &[(queue, POLLOUT)], call);
            done.map_err(|blocked| match request {
                TCSBRK => blocked.eintr(Errno::EAGAIN),
                _ => blocked.restart_sys(Errno::EAGAIN),
            })
        }
    }
}

/// The device number of a terminal; None for other files.
pub(crate) fn terminal(file: &File) -> Option<u64> {
    let stream = file.downcast::<HostStream>()?;
    if !stream.is_tty() {
        return None;
    }
    file.stat().ok().map(|stat| stat.rdev)
}

/// Requests about sessions and groups: the kernel's, not the host terminal's.
/// False: the request is another one.
fn job_control(task: &CurrentTask, device: u64, request: u32, arg: UserAddress) -> SysResult<bool> {
    match request {
        TIOCGPGRP => task.write(UserRef::new(arg), &task.foreground_group(device)?)?,
        TIOCGSID => task.write(UserRef::new(arg), &task.terminal_session(device)?)?,
        TIOCSPGRP => {
            let group = task.read(UserRef::new(arg))?;
            task.set_foreground_group(device, group)?;
        }
        TIOCSCTTY => task.acquire_terminal(device)?,
        TIOCNOTTY => task.release_terminal(device)?,
        TCSETS | TCSETSW | TCSETSF => {
            task.check_background(device, Signal::SIGTTOU)?;
            return Ok(false);
        }
        _ => return Ok(false),
    }
    Ok(true)
}
