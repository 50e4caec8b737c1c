//! close(2), close_range(2).

use crate::Fd;
use rivix_abi::Errno;
use rivix_abi::fcntl::{CLOSE_RANGE_CLOEXEC, CLOSE_RANGE_UNSHARE};
use rivix_task::{CurrentTask, SysResult};

pub fn close(task: &mut CurrentTask, fd: Fd) -> SysResult<()> {
    drop(task.files().close(fd.0)?);
    Ok(())
}

pub fn close_range(task: &mut CurrentTask, first: u32, last: u32, flags: u32) -> SysResult<()> {
    if flags & !(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC) != 0 || first > last {
        return Err(Errno::EINVAL.into());
    }
    if flags & CLOSE_RANGE_UNSHARE != 0 {
        task.unshare_files();
    }
    task.files()
        .close_range(first, last, flags & CLOSE_RANGE_CLOEXEC != 0);
    Ok(())
}
