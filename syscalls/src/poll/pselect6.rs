//! pselect6(2).

use super::ppoll::poll_list;
use super::{Timeout, read_mask};
use rivix_abi::poll::{
    POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLPRI, POLLRDBAND, POLLRDNORM, POLLWRBAND,
    POLLWRNORM, PollFd,
};
use rivix_abi::time::Timespec;
use rivix_abi::{Errno, UserAddress, UserRef};
use rivix_task::{CurrentTask, Restart, SysError, SysResult};

/// What each of the three sets asks for (fs/select.c).
const READ: u32 = POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR;
const WRITE: u32 = POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR;
const EXCEPT: u32 = POLLPRI;

/// A set larger than this names no descriptor that can be open.
const MAX_FDS: i32 = 1 << 20;

pub fn pselect6(
    task: &mut CurrentTask,
    nfds: i32,
    read: UserAddress,
    write: UserAddress,
    except: UserAddress,
    timeout: UserRef<Timespec>,
    mask: UserRef<[u64; 2]>,
) -> SysResult<usize> {
    let until = Timeout::read(task, timeout)?;
    let mask = match mask.non_null() {
        Some(at) => {
            let [mask, size] = task.read(at)?;
            read_mask(task, UserRef::new(UserAddress(mask)), size)?
        }
        None => None,
    };
    if nfds < 0 {
        return Err(Errno::EINVAL.into());
    }
    let nfds = nfds.min(MAX_FDS) as usize;
    let deadline = match until {
        Some(until) => until.deadline(task)?,
        None => None,
    };
    let wanted = [(read, READ), (write, WRITE), (except, EXCEPT)];
    let result = task.with_temporary_mask(mask, |task| {
        let mut sets = Vec::with_capacity(3);
        for (addr, _) in wanted {
            sets.push(read_set(task, addr, nfds)?);
        }
        let mut list = Vec::new();
        for fd in 0..nfds {
            let asked = sets.iter().zip(wanted).filter(|(set, _)| bit(set, fd));
            let events = asked.fold(0, |events, (_, (_, mask))| events | mask);
            if events != 0 {
                if task.files().get(fd as i32).is_err() {
                    return Err(Errno::EBADF.into());
                }
                list.push(PollFd {
                    fd: fd as i32,
                    events: events as i16,
                    revents: 0,
                });
            }
        }
        poll_list(task, &mut list, deadline).map_err(|error| match error {
            SysError::Restart(_) => SysError::Restart(Restart::NoHand),
            other => other,
        })?;
        let mut count = 0;
        for ((set, (addr, mask)), had) in sets.iter().zip(wanted).zip(sets.iter()) {
            let mut out = vec![0u64; set.len()];
            for entry in &list {
                let fd = entry.fd as usize;
                let events = u32::from(entry.revents as u16);
                if bit(had, fd) && events & (mask | POLLNVAL) != 0 {
                    out[fd / 64] |= 1 << (fd % 64);
                    count += 1;
                }
            }
            if !addr.is_null() {
                task.write_bytes(addr, bytemuck::cast_slice(&out))?;
            }
        }
        Ok(count)
    });
    match (until, timeout.non_null()) {
        (Some(until), Some(at)) => until.write_back(task, at, result),
        _ => result,
    }
}

/// A set's words; empty when it is NULL.
fn read_set(task: &CurrentTask, addr: UserAddress, nfds: usize) -> Result<Vec<u64>, Errno> {
    if addr.is_null() {
        return Ok(Vec::new());
    }
    let mut words = vec![0u64; nfds.div_ceil(64)];
    task.read_bytes(addr, bytemuck::cast_slice_mut(&mut words))?;
    Ok(words)
}

fn bit(set: &[u64], fd: usize) -> bool {
    set.get(fd / 64)
        .is_some_and(|word| word >> (fd % 64) & 1 == 1)
}
