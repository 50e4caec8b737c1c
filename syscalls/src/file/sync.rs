//! Getting data to the disk, and hints about it.

use crate::Fd;
use rivix_abi::Errno;
use rivix_abi::stat::{S_IFDIR, S_IFIFO, S_IFREG, S_IFSOCK};
use rivix_fs::{File, FileOps};
use rivix_task::{CurrentTask, SysError, SysResult};
use std::sync::Arc;

pub fn sync(task: &mut CurrentTask) -> SysResult<()> {
    let root = task.fs().namespace().root();
    let file = rivix_fs::node::open_place(&root, 0, &super::caller(task));
    // sync(2) always succeeds.
    if let Ok(file) = file {
        match on_disk(task, &file, |ops| ops.sync_fs()) {
            Err(error @ SysError::Restart(_)) => return Err(error),
            Ok(()) | Err(SysError::Errno(_)) => {}
        }
    }
    Ok(())
}

/// Runs `act` where waiting for a disk does not hold up the end of the task.
pub(super) fn on_disk(
    task: &CurrentTask,
    file: &Arc<File>,
    act: impl FnOnce(&dyn FileOps) -> Result<(), Errno> + Send + 'static,
) -> SysResult<()> {
    if !file.ops().waits_for_disk() {
        return Ok(act(file.ops())?);
    }
    let file = file.clone();
    let done = task.offload(move || act(file.ops()));
    Ok(done.map_err(|blocked| blocked.restart_sys(Errno::EIO))??)
}

pub fn syncfs(task: &mut CurrentTask, fd: Fd) -> SysResult<()> {
    let file = task.files().get(fd.0)?;
    if file.is_path() {
        return Err(Errno::EBADF.into());
    }
    on_disk(task, &file, |ops| ops.sync_fs())
}

pub fn fsync(task: &mut CurrentTask, fd: Fd) -> SysResult<()> {
    flush(task, fd, false)
}

pub fn fdatasync(task: &mut CurrentTask, fd: Fd) -> SysResult<()> {
    flush(task, fd, true)
}

fn flush(task: &CurrentTask, fd: Fd, data_only: bool) -> SysResult<()> {
    let file = task.files().get(fd.0)?;
    if file.is_path() {
        return Err(Errno::EBADF.into());
    }
    on_disk(task, &file, move |ops| ops.sync(data_only))
}

pub fn sync_file_range(
    task: &mut CurrentTask,
    fd: Fd,
    at: i64,
    len: i64,
    flags: u32,
) -> SysResult<()> {
    let file = task.files().get(fd.0)?;
    if flags & !7 != 0 || at < 0 || len < 0 || at.checked_add(len).is_none() {
        return Err(Errno::EINVAL.into());
    }
    match file.node().kind() {
        S_IFREG | S_IFDIR => on_disk(task, &file, |ops| ops.sync(true)),
        _ => Err(Errno::ESPIPE.into()),
    }
}

pub fn readahead(task: &mut CurrentTask, fd: Fd, _at: i64, _len: usize) -> SysResult<()> {
    let file = task.files().get(fd.0)?;
    if !file.can_read() {
        return Err(Errno::EBADF.into());
    }
    if file.node().kind() != S_IFREG {
        return Err(Errno::EINVAL.into());
    }
    // A hint only: the host reads ahead by itself.
    Ok(())
}

pub fn fadvise64(task: &mut CurrentTask, fd: Fd, at: i64, len: i64, advice: i32) -> SysResult<()> {
    let file = task.files().get(fd.0)?;
    if file.is_path() {
        return Err(Errno::EBADF.into());
    }
    if matches!(file.node().kind(), S_IFIFO | S_IFSOCK) {
        return Err(Errno::ESPIPE.into());
    }
    if len < 0 || !(0..=5).contains(&advice) {
        return Err(Errno::EINVAL.into());
    }
    Ok(file.ops().advise(at, len, advice)?)
}
