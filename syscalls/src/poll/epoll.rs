//! epoll_create1(2), epoll_ctl(2), epoll_pwait(2), epoll_pwait2(2).

use super::{Timeout, read_mask};
use crate::arg::Fd;
use rivix_abi::poll::{
    EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EpollEvent, POLLIN,
};
use rivix_abi::time::Timespec;
use rivix_abi::{Errno, UserRef};
use rivix_fs::epoll::Epoll;
use rivix_task::{Blocked, CurrentTask, SysResult};

/// epoll_wait's limit on maxevents (fs/eventpoll.c, EP_MAX_EVENTS).
const MAX_EVENTS: i32 = i32::MAX / size_of::<EpollEvent>() as i32;
/// Events looked for in one round; more wait for the next call, as they may.
const ROUND: usize = 1024;

pub fn epoll_create1(task: &mut CurrentTask, flags: u32) -> SysResult<Fd> {
    if flags & !EPOLL_CLOEXEC != 0 {
        return Err(Errno::EINVAL.into());
    }
    super::install(task, "eventpoll", Box::new(Epoll::default()), flags)
}

pub fn epoll_ctl(
    task: &mut CurrentTask,
    epfd: Fd,
    op: i32,
    fd: Fd,
    event: UserRef<EpollEvent>,
) -> SysResult<()> {
    // The event is read first, whatever the rest (EFAULT before EBADF).
    let event = match op {
        EPOLL_CTL_DEL => EpollEvent::default(),
        _ => task.read(event)?,
    };
    let this = task.files().get(epfd.0)?;
    let file = task.files().get(fd.0)?;
    if !file.ops().is_pollable() {
        return Err(Errno::EPERM.into());
    }
    let epoll = this.downcast::<Epoll>().ok_or(Errno::EINVAL)?;
    if this.id() == file.id() {
        return Err(Errno::EINVAL.into());
    }
    match op {
        EPOLL_CTL_ADD => epoll.add(&this, fd.0, &file, event)?,
        EPOLL_CTL_MOD => epoll.modify(fd.0, &file, event)?,
        EPOLL_CTL_DEL => epoll.remove(fd.0, &file)?,
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(())
}

pub fn epoll_pwait(
    task: &mut CurrentTask,
    epfd: Fd,
    events: UserRef<EpollEvent>,
    maxevents: i32,
    timeout_ms: i32,
    mask: UserRef<u64>,
    mask_size: u64,
) -> SysResult<usize> {
    let timeout = match u32::try_from(timeout_ms) {
        Ok(ms) => Some(Timeout::after(task, i128::from(ms) * 1_000_000)?),
        Err(_) => None,
    };
    let mask = read_mask(task, mask, mask_size)?;
    wait(task, epfd, events, maxevents, timeout, mask)
}

pub fn epoll_pwait2(
    task: &mut CurrentTask,
    epfd: Fd,
    events: UserRef<EpollEvent>,
    maxevents: i32,
    timeout: UserRef<Timespec>,
    mask: UserRef<u64>,
    mask_size: u64,
) -> SysResult<usize> {
    let timeout = Timeout::read(task, timeout)?;
    let mask = read_mask(task, mask, mask_size)?;
    wait(task, epfd, events, maxevents, timeout, mask)
}

fn wait(
    task: &mut CurrentTask,
    epfd: Fd,
    events: UserRef<EpollEvent>,
    maxevents: i32,
    timeout: Option<Timeout>,
    mask: Option<u64>,
) -> SysResult<usize> {
    if maxevents <= 0 || maxevents > MAX_EVENTS {
        return Err(Errno::EINVAL.into());
    }
    let this = task.files().get(epfd.0)?;
    let epoll = this.downcast::<Epoll>().ok_or(Errno::EINVAL)?;
    let max = (maxevents as usize).min(ROUND);
    let deadline = match timeout {
        Some(timeout) => timeout.deadline(task)?,
        None => None,
    };
    task.with_temporary_mask(mask, |task| {
        let found = task.block_until(deadline, &[(epoll.queue(), POLLIN)], || {
            let found = epoll.collect(max);
            if found.is_empty() {
                Err(Errno::EAGAIN)
            } else {
                Ok(found)
            }
        });
        match found {
            Ok(found) => {
                for (at, event) in found.iter().enumerate() {
                    task.write(events.at(at as u64)?, event)?;
                }
                Ok(found.len())
            }
            Err(Blocked::TimedOut) => Ok(0),
            // A signal always ends the wait (signal(7)).
            Err(other) => Err(other.eintr(Errno::EINTR)),
        }
    })
}
