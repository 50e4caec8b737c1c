//! flock(2) and the record locks of fcntl(2).

use crate::Fd;
use rivix_abi::fcntl::{
    F_RDLCK, F_UNLCK, F_WRLCK, Flock, LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN, SEEK_CUR, SEEK_END,
    SEEK_SET,
};
use rivix_abi::{Errno, UserRef};
use rivix_fs::File;
use rivix_fs::locks::{self, Owner, Record};
use rivix_task::{CurrentTask, SysResult};
use std::sync::Arc;

pub fn flock(task: &mut CurrentTask, fd: Fd, operation: u32) -> SysResult<()> {
    let exclusive = match operation & !LOCK_NB {
        LOCK_SH => Some(false),
        LOCK_EX => Some(true),
        LOCK_UN => None,
        _ => return Err(Errno::EINVAL.into()),
    };
    let file = task.files().get(fd.0)?;
    if file.is_path() {
        return Err(Errno::EBADF.into());
    }
    if operation & LOCK_NB != 0 || exclusive.is_none() {
        return Ok(locks::flock(&file, exclusive)?);
    }
    task.block_until(None, &[(locks::queue(), 0)], || {
        locks::flock(&file, exclusive)
    })
    .map_err(|blocked| blocked.restart_sys(Errno::EAGAIN))
}

/// Whose lock it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Posix,
    OpenFile,
}

/// `struct flock` as an owner and a range. EINVAL and EOVERFLOW as fcntl(2) says.
fn record(task: &CurrentTask, file: &File, lock: &Flock, style: Style) -> Result<Record, Errno> {
    let base = match u32::from(lock.whence as u16) {
        SEEK_SET => 0,
        SEEK_CUR => *file.offset() as i64,
        SEEK_END => file.stat()?.size,
        _ => return Err(Errno::EINVAL),
    };
    let start = base.checked_add(lock.start).ok_or(Errno::EOVERFLOW)?;
    let (start, end) = match lock.len {
        0 => (start, i64::MAX),
        len if len > 0 => (start, start.checked_add(len).ok_or(Errno::EOVERFLOW)?),
        len => (start.checked_add(len).ok_or(Errno::EINVAL)?, start),
    };
    let start = u64::try_from(start).map_err(|_| Errno::EINVAL)?;
    let end = if lock.len == 0 { u64::MAX } else { end as u64 };
    let owner = match style {
        Style::Posix => Owner::Process {
            table: task.files().id(),
            pid: task.pid(),
        },
        Style::OpenFile if lock.pid != 0 => return Err(Errno::EINVAL),
        Style::OpenFile => Owner::File(file.id()),
    };
    Ok(Record {
        owner,
        exclusive: lock.kind == F_WRLCK,
        start,
        end,
    })
}

/// F_GETLK and F_OFD_GETLK.
pub(crate) fn get_lock(
    task: &CurrentTask,
    file: &File,
    at: UserRef<Flock>,
    style: Style,
) -> SysResult<u64> {
    let mut lock = task.read(at)?;
    if !matches!(lock.kind, F_RDLCK | F_WRLCK) {
        return Err(Errno::EINVAL.into());
    }
    let wanted = record(task, file, &lock, style)?;
    match locks::conflicting(file, &wanted)? {
        None => lock.kind = F_UNLCK,
        Some(held) => {
            lock.kind = if held.exclusive { F_WRLCK } else { F_RDLCK };
            lock.whence = SEEK_SET as i16;
            lock.start = held.start as i64;
            lock.len = if held.end == u64::MAX {
                0
            } else {
                (held.end - held.start) as i64
            };
            lock.pid = match held.owner {
                Owner::Process { pid, .. } => pid,
                Owner::File(_) => -1,
            };
        }
    }
    task.write(at, &lock)?;
    Ok(0)
}

/// F_SETLK, F_SETLKW and their OFD forms.
pub(crate) fn set_lock(
    task: &CurrentTask,
    file: &Arc<File>,
    at: UserRef<Flock>,
    style: Style,
    waits: bool,
) -> SysResult<u64> {
    let lock = task.read(at)?;
    let allowed = match lock.kind {
        F_RDLCK => file.can_read(),
        F_WRLCK => file.can_write(),
        F_UNLCK => true,
        _ => return Err(Errno::EINVAL.into()),
    };
    let wanted = record(task, file, &lock, style)?;
    if !allowed {
        return Err(Errno::EBADF.into());
    }
    if !waits || lock.kind == F_UNLCK {
        locks::set(file, wanted, lock.kind)?;
        return Ok(0);
    }
    let _waiting = locks::Waiting::new(wanted.owner);
    task.block_until(None, &[(locks::queue(), 0)], || {
        locks::set_or_wait(file, wanted, lock.kind)
    })
    .map_err(|blocked| blocked.restart_sys(Errno::EAGAIN))?;
    Ok(0)
}
