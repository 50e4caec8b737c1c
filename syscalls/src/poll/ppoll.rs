//! ppoll(2).

use super::{Timeout, read_mask};
use rivix_abi::poll::{POLLERR, POLLHUP, POLLNVAL, PollFd};
use rivix_abi::resource::Resource;
use rivix_abi::time::Timespec;
use rivix_abi::{Errno, UserRef};
use rivix_fs::File;
use rivix_sync::WaitEntry;
use rivix_task::{Blocked, CurrentTask, Restart, SysError, SysResult};
use std::sync::Arc;
use std::time::Instant;

pub fn ppoll(
    task: &mut CurrentTask,
    fds: UserRef<PollFd>,
    nfds: u32,
    timeout: UserRef<Timespec>,
    mask: UserRef<u64>,
    mask_size: u64,
) -> SysResult<usize> {
    let until = Timeout::read(task, timeout)?;
    let mask = read_mask(task, mask, mask_size)?;
    let deadline = match until {
        Some(until) => until.deadline(task)?,
        None => None,
    };
    let result = task.with_temporary_mask(mask, |task| {
        poll_user(task, fds, nfds, deadline).map_err(|error| match error {
            SysError::Restart(_) => SysError::Restart(Restart::NoHand),
            other => other,
        })
    });
    match (until, timeout.non_null()) {
        (Some(until), Some(at)) => until.write_back(task, at, result),
        _ => result,
    }
}

fn poll_user(
    task: &mut CurrentTask,
    fds: UserRef<PollFd>,
    nfds: u32,
    deadline: Option<Instant>,
) -> SysResult<usize> {
    if u64::from(nfds) > task.rlimit(Resource::Nofile).cur {
        return Err(Errno::EINVAL.into());
    }
    let mut list = vec![PollFd::default(); nfds as usize];
    task.read_bytes(fds.addr, bytemuck::cast_slice_mut(&mut list))?;
    let result = poll_list(task, &mut list, deadline);
    if result.is_ok() {
        for (at, entry) in list.iter().enumerate() {
            // Only revents is written: others may write the rest meanwhile.
            let revents = fds.at(at as u64)?.addr.offset(6)?;
            task.write_bytes(revents, &entry.revents.to_le_bytes())?;
        }
    }
    result
}

/// Fills in `revents`; gives how many are not zero. A signal is ERESTARTSYS.
pub(super) fn poll_list(
    task: &CurrentTask,
    list: &mut [PollFd],
    deadline: Option<Instant>,
) -> SysResult<usize> {
    // A file is looked up once; closing it meanwhile does not change the call.
    let files: Vec<Option<Result<Arc<File>, Errno>>> = list
        .iter()
        .map(|entry| (entry.fd >= 0).then(|| task.files().get(entry.fd)))
        .collect();

    let mut look = || {
        let mut ready = 0;
        for (entry, file) in list.iter_mut().zip(&files) {
            let wanted = u32::from(entry.events as u16) | POLLERR | POLLHUP;
            let events = match file {
                None => 0,
                Some(Err(_)) => POLLNVAL,
                Some(Ok(file)) if file.is_path() => POLLNVAL,
                Some(Ok(file)) => file.poll() & wanted,
            };
            entry.revents = events as i16;
            ready += usize::from(events != 0);
        }
        ready
    };

    // The common case registers nowhere.
    let ready = look();
    if ready > 0 || deadline.is_some_and(|at| at <= Instant::now()) {
        return Ok(ready);
    }
    let _entries: Vec<WaitEntry> = files
        .iter()
        .flatten()
        .flatten()
        .filter_map(|file| file.wait_queue())
        .map(|queue| queue.register(task.notifier(), u32::MAX))
        .collect();
    let found = task.block(deadline, || match look() {
        0 => Err(Errno::EAGAIN),
        ready => Ok(ready),
    });
    match found {
        Ok(ready) => Ok(ready),
        Err(Blocked::TimedOut) => Ok(0),
        Err(other) => Err(other.restart_sys(Errno::EAGAIN)),
    }
}
