//! openat(2), openat2(2).

use super::{at, limit_nofile, terminal, walk};
use crate::Fd;
use rivix_abi::fcntl::{
    O_ACCMODE, O_CLOEXEC, O_CREAT, O_DIRECTORY, O_LARGEFILE, O_NOFOLLOW, O_PATH, O_TMPFILE,
    O_TMPFILE_BIT, O_TRUNC, O_VALID, OpenHow, PATH_MAX, RESOLVE_BENEATH, RESOLVE_CACHED,
    RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV,
};
use rivix_abi::{Errno, UserAddress, UserRef};
use rivix_task::{CurrentTask, SysResult};

pub fn openat(
    task: &mut CurrentTask,
    dirfd: Fd,
    path: UserAddress,
    flags: u32,
    mode: u32,
) -> SysResult<Fd> {
    // open(2) ignores flags it does not know, and all but a few with O_PATH.
    let mut flags = flags & O_VALID;
    if flags & O_PATH != 0 {
        flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    }
    open(task, dirfd, path, flags, mode & 0o7777, 0)
}

pub fn openat2(
    task: &mut CurrentTask,
    dirfd: Fd,
    path: UserAddress,
    how: UserRef<OpenHow>,
    size: usize,
) -> SysResult<Fd> {
    const SIZE: usize = size_of::<OpenHow>();
    const RESOLVE: u64 = RESOLVE_NO_XDEV
        | RESOLVE_NO_MAGICLINKS
        | RESOLVE_NO_SYMLINKS
        | RESOLVE_BENEATH
        | RESOLVE_IN_ROOT
        | RESOLVE_CACHED;
    if size < SIZE {
        return Err(Errno::EINVAL.into());
    }
    if size > 4096 {
        return Err(Errno::E2BIG.into());
    }
    // A longer structure is fine while what we do not know is zero (openat2(2)).
    let mut tail = vec![0u8; size - SIZE];
    let given = task.read(how)?;
    task.read_bytes(how.addr.offset(SIZE as u64)?, &mut tail)?;
    if tail.iter().any(|&byte| byte != 0) {
        return Err(Errno::E2BIG.into());
    }
    let flags = u32::try_from(given.flags).map_err(|_| Errno::EINVAL)?;
    let scopes = given.resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT);
    let takes_mode = flags & O_CREAT != 0 || flags & O_TMPFILE_BIT != 0;
    let path_extra =
        flags & O_PATH != 0 && flags & !(O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) != 0;
    if flags & !O_VALID != 0
        || given.resolve & !RESOLVE != 0
        || scopes == RESOLVE_BENEATH | RESOLVE_IN_ROOT
        || given.mode & !0o7777 != 0
        || given.mode != 0 && !takes_mode
        || path_extra
    {
        return Err(Errno::EINVAL.into());
    }
    if given.resolve & RESOLVE_CACHED != 0 {
        // Nothing is ever known to be cached here; callers then try without.
        if flags & (O_TRUNC | O_CREAT | O_TMPFILE_BIT) != 0 {
            return Err(Errno::EINVAL.into());
        }
        return Err(Errno::EAGAIN.into());
    }
    open(task, dirfd, path, flags, given.mode as u32, given.resolve)
}

fn open(
    task: &mut CurrentTask,
    dirfd: Fd,
    path: UserAddress,
    flags: u32,
    mode: u32,
    resolve: u64,
) -> SysResult<Fd> {
    if flags & (O_CREAT | O_DIRECTORY) == O_CREAT | O_DIRECTORY && flags & O_TMPFILE_BIT == 0 {
        return Err(Errno::EINVAL.into());
    }
    if flags & O_TMPFILE_BIT != 0 && (flags & O_TMPFILE != O_TMPFILE || flags & O_ACCMODE == 0) {
        return Err(Errno::EINVAL.into());
    }
    let path = task.mm().read_cstr(path, PATH_MAX)?;
    let number = task
        .files()
        .reserve_number(flags & O_CLOEXEC != 0, limit_nofile(task))?;
    let base = at(task, dirfd, &path)?;
    let flags = if flags & O_PATH == 0 {
        flags | O_LARGEFILE
    } else {
        flags
    };
    let file = {
        let mut lookup = walk(task, &base);
        lookup.resolve = resolve;
        lookup.open(&path, flags, mode)?
    };
    let attempt = || file.ops().finish_open(&file);
    if attempt() == Err(Errno::EAGAIN) {
        // A FIFO waits for its other side (fifo(7)).
        let queues: Vec<_> = file
            .wait_queue()
            .into_iter()
            .map(|queue| (queue, 0))
            .collect();
        task.block_until(None, &queues, attempt)
            .map_err(|blocked| blocked.restart_sys(Errno::EAGAIN))?;
    }
    terminal::opened(task, &file, flags);
    Ok(Fd(number.publish_file(file)))
}
