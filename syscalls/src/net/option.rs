//! getsockopt(2), setsockopt(2): the level SOL_SOCKET (socket(7)).

use super::{AF_UNIX, socket_file, unix_of};
use crate::arg::Fd;
use rivix_abi::time::Timeval;
use rivix_abi::{Errno, UserAddress, UserRef};
use rivix_fs::unix::Kind;
use rivix_task::{CurrentTask, SysResult};
use std::time::Duration;

const SOL_SOCKET: i32 = 1;
const SO_TYPE: i32 = 3;
const SO_ERROR: i32 = 4;
const SO_SNDBUF: i32 = 7;
const SO_RCVBUF: i32 = 8;
const SO_PASSCRED: i32 = 16;
const SO_PEERCRED: i32 = 17;
const SO_RCVTIMEO: i32 = 20;
const SO_SNDTIMEO: i32 = 21;
const SO_ACCEPTCONN: i32 = 30;
const SO_PROTOCOL: i32 = 38;
const SO_DOMAIN: i32 = 39;

/// None is no limit: zero.
fn timeval(timeout: Option<Duration>) -> Vec<u8> {
    let timeout = timeout.unwrap_or_default();
    let sec = timeout.as_secs() as i64;
    let usec = i64::from(timeout.subsec_micros());
    [sec.to_le_bytes(), usec.to_le_bytes()].concat()
}

pub fn getsockopt(
    task: &mut CurrentTask,
    fd: Fd,
    level: i32,
    option: i32,
    value: UserAddress,
    len: UserRef<i32>,
) -> SysResult<()> {
    let file = socket_file(task, fd)?;
    let socket = unix_of(&file)?;
    if level != SOL_SOCKET {
        return Err(Errno::EOPNOTSUPP.into());
    }
    let room = usize::try_from(task.read(len)?).map_err(|_| Errno::EINVAL)?;
    let int = |value: i32| value.to_le_bytes().to_vec();
    let size = |value: usize| int(i32::try_from(value).unwrap_or(i32::MAX));
    let answer = match option {
        SO_TYPE => int(match socket.kind() {
            Kind::Stream => 1,
            Kind::Datagram => 2,
            Kind::SeqPacket => 5,
        }),
        SO_ERROR => int(socket.core().take_error().map_or(0, Errno::raw)),
        SO_SNDBUF => size(socket.send_buffer()),
        SO_RCVBUF => size(socket.receive_buffer()),
        SO_PASSCRED => int(socket.passes_cred().into()),
        SO_PEERCRED => {
            let cred = socket.peer_cred();
            let ids = [cred.uid.to_le_bytes(), cred.gid.to_le_bytes()].concat();
            [cred.pid.to_le_bytes().to_vec(), ids].concat()
        }
        SO_RCVTIMEO => timeval(socket.receive_timeout()),
        SO_SNDTIMEO => timeval(socket.send_timeout()),
        SO_ACCEPTCONN => int(socket.is_listening().into()),
        SO_PROTOCOL => int(0),
        SO_DOMAIN => int(AF_UNIX.into()),
        _ => return Err(Errno::ENOPROTOOPT.into()),
    };
    let n = room.min(answer.len());
    task.write_bytes(value, &answer[..n])?;
    Ok(task.write(len, &(n as i32))?)
}

/// EDOM: microseconds out of range. A negative time is a limit that has passed.
fn read_timeout(task: &CurrentTask, at: UserAddress, len: i32) -> Result<Option<Duration>, Errno> {
    if len < 16 {
        return Err(Errno::EINVAL);
    }
    let time: Timeval = task.read(UserRef::new(at))?;
    if !(0..1_000_000).contains(&time.usec) {
        return Err(Errno::EDOM);
    }
    if time.sec < 0 {
        return Ok(Some(Duration::ZERO));
    }
    let limit = Duration::new(time.sec as u64, time.usec as u32 * 1000);
    Ok((!limit.is_zero()).then_some(limit))
}

pub fn setsockopt(
    task: &mut CurrentTask,
    fd: Fd,
    level: i32,
    option: i32,
    value: UserAddress,
    len: i32,
) -> SysResult<()> {
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
        SO_SNDBUF => socket.set_send_buffer(number as u32),
        SO_RCVBUF => socket.set_receive_buffer(number as u32),
        SO_PASSCRED => socket.set_pass_cred(number != 0),
        SO_RCVTIMEO => socket.set_receive_timeout(read_timeout(task, value, len)?),
        SO_SNDTIMEO => socket.set_send_timeout(read_timeout(task, value, len)?),
        _ => return Err(Errno::ENOPROTOOPT.into()),
    }
    Ok(())
}
