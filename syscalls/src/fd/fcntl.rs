//! fcntl(2). Leases, directory notifications and signal-driven I/O are not offered.

use crate::Fd;
use crate::file::{Style, get_lock, limit_nofile, set_lock};
use rivix_abi::fcntl::{
    F_DUPFD, F_DUPFD_CLOEXEC, F_DUPFD_QUERY, F_GETFD, F_GETFL, F_GETLEASE, F_GETLK, F_GETOWN,
    F_GETOWN_EX, F_GETSIG, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW, F_SETFD, F_SETFL, F_SETLK,
    F_SETLKW, F_SETOWN, F_SETOWN_EX, F_SETSIG, F_UNLCK, FD_CLOEXEC, Flock, O_PATH, OwnerEx,
};
use rivix_abi::{Errno, UserAddress, UserRef};
use rivix_task::{CurrentTask, SysResult};
use std::sync::Arc;

/// `struct f_owner_ex` types.
const F_OWNER_TID: i32 = 0;
const F_OWNER_PID: i32 = 1;
const F_OWNER_PGRP: i32 = 2;

pub fn fcntl(task: &mut CurrentTask, fd: Fd, command: u32, arg: u64) -> SysResult<u64> {
    let (file, cloexec) = task.files().get_with_flag(fd.0)?;
    let limit = limit_nofile(task);
    match command {
        F_DUPFD | F_DUPFD_CLOEXEC => {
            let min = u64::from(arg as u32);
            if min >= limit {
                return Err(Errno::EINVAL.into());
            }
            let cloexec = command == F_DUPFD_CLOEXEC;
            return Ok(task.files().insert_lowest(file, cloexec, min, limit)? as u64);
        }
        F_GETFD => return Ok(if cloexec { u64::from(FD_CLOEXEC) } else { 0 }),
        F_SETFD => {
            task.files()
                .set_cloexec(fd.0, arg as u32 & FD_CLOEXEC != 0)?;
            return Ok(0);
        }
        F_GETFL => return Ok(u64::from(file.flags())),
        F_DUPFD_QUERY => {
            let other = task.files().get(arg as i32)?;
            return Ok(u64::from(Arc::ptr_eq(&file, &other)));
        }
        // An O_PATH descriptor knows no more than these (open(2)).
        _ if file.flags() & O_PATH != 0 => return Err(Errno::EBADF.into()),
        _ => {}
    }
    let lock = UserRef::<Flock>::new(UserAddress(arg));
    match command {
        F_SETFL => file.set_flags(arg as u32)?,
        F_GETLK => return get_lock(task, &file, lock, Style::Posix),
        F_OFD_GETLK => return get_lock(task, &file, lock, Style::OpenFile),
        F_SETLK => return set_lock(task, &file, lock, Style::Posix, false),
        F_SETLKW => return set_lock(task, &file, lock, Style::Posix, true),
        F_OFD_SETLK => return set_lock(task, &file, lock, Style::OpenFile, false),
        F_OFD_SETLKW => return set_lock(task, &file, lock, Style::OpenFile, true),
        F_GETOWN => return Ok(file.owner() as i64 as u64),
        F_SETOWN => file.set_owner(arg as i32),
        F_GETOWN_EX => {
            let owner = file.owner();
            let kind = if owner < 0 { F_OWNER_PGRP } else { F_OWNER_PID };
            task.write(
                UserRef::new(UserAddress(arg)),
                &OwnerEx {
                    kind,
                    pid: owner.saturating_abs(),
                },
            )?;
        }
        F_SETOWN_EX => {
            let owner: OwnerEx = task.read(UserRef::new(UserAddress(arg)))?;
            match owner.kind {
                F_OWNER_TID | F_OWNER_PID => file.set_owner(owner.pid),
                F_OWNER_PGRP => file.set_owner(owner.pid.checked_neg().ok_or(Errno::EINVAL)?),
                _ => return Err(Errno::EINVAL.into()),
            }
        }
        F_GETSIG => return Ok(file.owner_signal() as u64),
        F_SETSIG => {
            if arg > 64 {
                return Err(Errno::EINVAL.into());
            }
            file.set_owner_signal(arg as i32);
        }
        F_GETLEASE => return Ok(F_UNLCK as u64),
        _ => return Ok(file.ops().fcntl(&file, command, arg)?),
    }
    Ok(0)
}
