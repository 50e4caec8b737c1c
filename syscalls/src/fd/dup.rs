//! dup(2), dup3(2).

use crate::Fd;
use crate::file::limit_nofile;
use rivix_abi::Errno;
use rivix_abi::fcntl::O_CLOEXEC;
use rivix_task::{CurrentTask, SysResult};

pub fn dup(task: &mut CurrentTask, fd: Fd) -> SysResult<Fd> {
    let file = task.files().get(fd.0)?;
    Ok(Fd(task.files().insert_lowest(
        file,
        false,
        0,
        limit_nofile(task),
    )?))
}

pub fn dup3(task: &mut CurrentTask, old: Fd, new: Fd, flags: u32) -> SysResult<Fd> {
    if flags & !O_CLOEXEC != 0 || old == new {
        return Err(Errno::EINVAL.into());
    }
    let limit = limit_nofile(task);
    if u64::try_from(new.0).map_or(true, |new| new >= limit) {
        return Err(Errno::EBADF.into());
    }
    let file = task.files().get(old.0)?;
    let replaced = task
        .files()
        .dup_to(file, new.0, flags & O_CLOEXEC != 0, limit)?;
    drop(replaced);
    Ok(new)
}
