//! getsockopt(2), setsockopt(2): the level SOL_SOCKET (socket(7)).

use super::address::encode;
use super::{AF_UNIX, socket_file, unix_of};
use crate::arg::Fd;
use crate::process::pidfd;
use rivix_abi::sockopt::*;
use rivix_abi::time::Timeval;
use rivix_abi::{Errno, UserAddress, UserRef};
use rivix_fs::unix::{Cred, Kind, UnixSocket};
use rivix_task::{CurrentTask, SysResult, cap};
use std::time::Duration;

/// sizeof(struct linger), of a struct timeval.
const LINGER: i32 = 8;
const TIMEVAL: i32 = 16;
/// The largest SO_PRIORITY without a capability.
const PRIORITY_MAX: i32 = 6;
/// Seconds that no clock tick counts to (MAX_SCHEDULE_TIMEOUT, at 1000 a second).
const NO_LIMIT: i64 = i64::MAX / 1000 - 1;
/// The bits of SO_BUF_LOCK.
const BUF_LOCKS: i32 = 3;

/// None is no limit: zero.
fn timeval(timeout: Option<Duration>) -> Vec<u8> {
    let timeout = timeout.unwrap_or_default();
    let sec = timeout.as_secs() as i64;
    let usec = i64::from(timeout.subsec_micros());
    [sec.to_le_bytes(), usec.to_le_bytes()].concat()
}

/// On or off, and without an effect on local sockets but where this crate or the
/// file system looks at them.
fn is_switch(option: u32) -> bool {
    matches!(
        option,
        SO_REUSEADDR
            | SO_DONTROUTE
            | SO_BROADCAST
            | SO_KEEPALIVE
            | SO_OOBINLINE
            | SO_PASSCRED
            | SO_PASSSEC
            | SO_RXQ_OVFL
            | SO_WIFI_STATUS
            | SO_NOFCS
            | SO_SELECT_ERR_QUEUE
            | SO_RCVMARK
            | SO_PASSPIDFD
            | SO_RCVPRIORITY
            | SO_PASSRIGHTS
    )
}

/// Numbers that are kept as they are.
fn is_number(option: u32) -> bool {
    matches!(
        option,
        SO_DEBUG
            | SO_PRIORITY
            | SO_RCVLOWAT
            | SO_MARK
            | SO_PEEK_OFF
            | SO_BUSY_POLL
            | SO_INCOMING_CPU
            | SO_BUF_LOCK
    )
}

fn is_stamp(option: u32) -> bool {
    matches!(
        option,
        SO_TIMESTAMP | SO_TIMESTAMPNS | SO_TIMESTAMP_NEW | SO_TIMESTAMPNS_NEW
    )
}

fn words(values: &[u32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

/// The value of an option that needs no more than the socket.
fn value_of(socket: &UnixSocket, option: u32) -> Result<Vec<u8>, Errno> {
    let int = |value: i32| value.to_le_bytes().to_vec();
    let size = |value: usize| int(i32::try_from(value).unwrap_or(i32::MAX));
    Ok(match option {
        SO_TYPE => int(match socket.kind() {
            Kind::Stream => 1,
            Kind::Datagram => 2,
            Kind::SeqPacket => 5,
        }),
        SO_ERROR => int(socket.core().take_error().map_or(0, Errno::raw)),
        SO_SNDBUF => size(socket.send_buffer()),
        SO_RCVBUF => size(socket.receive_buffer()),
        SO_SNDLOWAT => int(1),
        SO_LINGER => {
            let time = socket.option(SO_LINGER);
            words(&[u32::from(time != 0), (time - 1).max(0) as u32])
        }
        SO_PEERCRED => {
            let peer = socket.peer_cred();
            let cred = peer.map_or(Cred::NOBODY, |peer| peer.cred);
            words(&[cred.pid as u32, cred.uid, cred.gid])
        }
        SO_RCVTIMEO | SO_RCVTIMEO_NEW => timeval(socket.receive_timeout()),
        SO_SNDTIMEO | SO_SNDTIMEO_NEW => timeval(socket.send_timeout()),
        SO_ACCEPTCONN => int(socket.is_listening().into()),
        SO_PROTOCOL | SO_REUSEPORT => int(0),
        SO_DOMAIN => int(AF_UNIX.into()),
        _ if is_stamp(option) => int((socket.option(SO_TIMESTAMP) == option as i32).into()),
        _ if is_switch(option) || is_number(option) => int(socket.option(option)),
        _ => return Err(Errno::ENOPROTOOPT),
    })
}

pub fn getsockopt(
    task: &mut CurrentTask,
    fd: Fd,
    level: i32,
    option: u32,
    value: UserAddress,
    len: UserRef<i32>,
) -> SysResult<()> {
    let task = &*task;
    let file = socket_file(task, fd)?;
    let socket = unix_of(&file)?;
    if level != SOL_SOCKET {
        return Err(Errno::EOPNOTSUPP.into());
    }
    let room = usize::try_from(task.read(len)?).map_err(|_| Errno::EINVAL)?;
    let mut pidfd = None;
    let answer = match option {
        SO_PEERNAME => {
            let peer = socket.peer_address()?;
            let name = encode(peer.as_deref(), true);
            if name.len() < room {
                return Err(Errno::EINVAL.into());
            }
            name
        }
        SO_PEERGROUPS => {
            let peer = socket.peer_cred().ok_or(Errno::ENODATA)?;
            let groups = words(&peer.groups);
            if room < groups.len() {
                task.write(len, &(groups.len() as i32))?;
                return Err(Errno::ERANGE.into());
            }
            groups
        }
        SO_PEERPIDFD => {
            let peer = socket.peer_cred().ok_or(Errno::ENODATA)?;
            let number = pidfd::reserve_process(task, peer.cred.pid)?;
            pidfd.insert(number).fd().to_le_bytes().to_vec()
        }
        _ => value_of(socket, option)?,
    };
    let n = room.min(answer.len());
    task.write_bytes(value, answer.get(..n).unwrap_or_default())?;
    task.write(len, &(n as i32))?;
    if let Some(number) = pidfd {
        number.publish();
    }
    Ok(())
}

/// EDOM: microseconds out of range. A negative time is a limit that has passed, a very
/// long one is none.
fn read_timeout(task: &CurrentTask, at: UserAddress, len: i32) -> Result<Option<Duration>, Errno> {
    if len < TIMEVAL {
        return Err(Errno::EINVAL);
    }
    let time: Timeval = task.read(UserRef::new(at))?;
    if !(0..1_000_000).contains(&time.usec) {
        return Err(Errno::EDOM);
    }
    if time.sec < 0 {
        return Ok(Some(Duration::ZERO));
    }
    if time.sec >= NO_LIMIT {
        return Ok(None);
    }
    let limit = Duration::new(time.sec as u64, time.usec as u32 * 1000);
    Ok((!limit.is_zero()).then_some(limit))
}

/// What is kept for a number, if the caller may set it and it is in range.
fn number_for(task: &CurrentTask, option: u32, asked: i32) -> Result<i32, Errno> {
    let has = |capability| task.creds().has_cap(capability);
    let may_mark = || has(cap::NET_RAW) || has(cap::NET_ADMIN);
    match option {
        SO_DEBUG if asked != 0 && !has(cap::NET_ADMIN) => Err(Errno::EACCES),
        SO_DEBUG => Ok((asked != 0).into()),
        SO_PRIORITY if !(0..=PRIORITY_MAX).contains(&asked) && !may_mark() => Err(Errno::EPERM),
        SO_MARK if !may_mark() => Err(Errno::EPERM),
        SO_RCVLOWAT if asked < 0 => Ok(i32::MAX),
        SO_RCVLOWAT => Ok(asked.max(1)),
        SO_BUSY_POLL if asked < 0 => Err(Errno::EINVAL),
        SO_BUF_LOCK if asked & !BUF_LOCKS != 0 => Err(Errno::EINVAL),
        _ => Ok(asked),
    }
}

pub fn setsockopt(
    task: &mut CurrentTask,
    fd: Fd,
    level: i32,
    option: u32,
    value: UserAddress,
    len: i32,
) -> SysResult<()> {
    let task = &*task;
    let file = socket_file(task, fd)?;
    let socket = unix_of(&file)?;
    if len < 0 {
        return Err(Errno::EINVAL.into());
    }
    if level != SOL_SOCKET {
        return Err(Errno::EOPNOTSUPP.into());
    }
    if len < 4 {
        return Err(Errno::EINVAL.into());
    }
    let number: i32 = task.read(UserRef::new(value))?;
    match option {
        SO_SNDBUF => socket.set_send_buffer(number as u32, false),
        SO_RCVBUF => socket.set_receive_buffer(number as u32, false),
        SO_SNDBUFFORCE | SO_RCVBUFFORCE if !task.creds().has_cap(cap::NET_ADMIN) => {
            return Err(Errno::EPERM.into());
        }
        SO_SNDBUFFORCE => socket.set_send_buffer(number.max(0) as u32, true),
        SO_RCVBUFFORCE => socket.set_receive_buffer(number.max(0) as u32, true),
        SO_LINGER if len < LINGER => return Err(Errno::EINVAL.into()),
        SO_LINGER => {
            // On is kept as the time and one more.
            let [on, time]: [i32; 2] = task.read(UserRef::new(value))?;
            let kept = if on == 0 {
                0
            } else {
                time.max(0).saturating_add(1)
            };
            socket.set_option(SO_LINGER, kept);
        }
        SO_REUSEPORT => return Err(Errno::EOPNOTSUPP.into()),
        SO_RCVTIMEO | SO_RCVTIMEO_NEW => {
            socket.set_receive_timeout(read_timeout(task, value, len)?);
        }
        SO_SNDTIMEO | SO_SNDTIMEO_NEW => socket.set_send_timeout(read_timeout(task, value, len)?),
        SO_INQ if socket.kind() == Kind::Stream => {
            if !(0..=1).contains(&number) {
                return Err(Errno::EINVAL.into());
            }
            socket.set_option(SO_INQ, number);
        }
        _ if is_stamp(option) => {
            let kept = if number == 0 { 0 } else { option as i32 };
            socket.set_option(SO_TIMESTAMP, kept);
        }
        _ if is_switch(option) => socket.set_option(option, (number != 0).into()),
        _ if is_number(option) => {
            socket.set_option(option, number_for(task, option, number)?);
        }
        _ => return Err(Errno::ENOPROTOOPT.into()),
    }
    Ok(())
}
