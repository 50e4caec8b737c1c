//! send(2), recv(2) and their relatives, and read(2) and write(2) of sockets.

use super::address::{Name, encode, read_address, write_address};
use super::control::{Control, read_control};
use super::{net, sender, socket_file, unix_of, wait};
use crate::arg::Fd;
use crate::file::rw::read_iovecs;
use rivix_abi::fcntl::{IOV_MAX, Iovec};
use rivix_abi::poll::{POLLIN, POLLOUT};
use rivix_abi::sockopt::SO_RCVLOWAT;
use rivix_abi::time::Timespec;
use rivix_abi::{Errno, UserAddress, UserRef};
use rivix_fs::unix::{Extra, Kind, Received, UnixSocket};
use rivix_fs::{File, Sink, Source, UserBuffers};
use rivix_task::{CurrentTask, SysError, SysResult};
use std::sync::Arc;
use std::time::{Duration, Instant};

const MSG_OOB: u32 = 1;
const MSG_PEEK: u32 = 2;
const MSG_TRUNC: u32 = 0x20;
const MSG_DONTWAIT: u32 = 0x40;
const MSG_WAITALL: u32 = 0x100;
const MSG_NOSIGNAL: u32 = 0x4000;
const MSG_WAITFORONE: u32 = 0x10000;
const MSG_CMSG_CLOEXEC: u32 = 0x4000_0000;
/// sizeof(struct mmsghdr).
const MMSGHDR: u64 = 64;

/// struct msghdr; the lengths' padding is in their words.
struct Header {
    name: u64,
    name_len: i32,
    iov: u64,
    iov_len: u64,
    control: u64,
    control_len: u64,
}

impl Header {
    fn read(task: &CurrentTask, at: UserAddress) -> Result<Header, Errno> {
        let words: [u64; 7] = task.read(UserRef::new(at))?;
        let header = Header {
            name: words[0],
            name_len: words[1] as u32 as i32,
            iov: words[2],
            iov_len: words[3],
            control: words[4],
            control_len: words[5],
        };
        if header.name != 0 && header.name_len < 0 {
            return Err(Errno::EINVAL);
        }
        Ok(header)
    }

    /// EMSGSIZE: too many of them.
    fn buffers<'a>(&self, task: &'a CurrentTask) -> Result<UserBuffers<'a>, Errno> {
        if self.iov_len > IOV_MAX as u64 {
            return Err(Errno::EMSGSIZE);
        }
        let at = UserRef::<Iovec>::new(UserAddress(self.iov));
        let iovecs = read_iovecs(task, at, self.iov_len as usize)?;
        UserBuffers::many(task.mm(), &iovecs)
    }
}

/// A field of a structure in guest memory.
fn field<T>(at: UserAddress, offset: u64) -> Result<UserRef<T>, Errno> {
    let at = at.0.checked_add(offset).ok_or(Errno::EFAULT)?;
    Ok(UserRef::new(UserAddress(at)))
}

fn do_send(
    task: &CurrentTask,
    file: &Arc<File>,
    source: &mut dyn Source,
    to: Option<Vec<u8>>,
    mut extra: Extra,
    flags: u32,
) -> SysResult<usize> {
    let socket = unix_of(file)?;
    if flags & MSG_OOB != 0 {
        if socket.kind() != Kind::Stream || source.remaining() == 0 {
            return Err(Errno::EOPNOTSUPP.into());
        }
        extra.is_urgent = true;
    }
    let net = net(task);
    let name = match (socket.kind(), to) {
        (Kind::Stream, Some(_)) => {
            return Err(match socket.peer_address() {
                Ok(_) => Errno::EISCONN.into(),
                Err(_) => Errno::EOPNOTSUPP.into(),
            });
        }
        // A connection's address argument is ignored.
        (Kind::SeqPacket, _) | (_, None) => None,
        (Kind::Datagram, Some(bytes)) => Some(Name::parse(&bytes)?),
    };
    // A stream has its name from bind(2) and connect(2).
    if socket.kind() != Kind::Stream && socket.wants_cred() {
        net.autobind(socket)?;
    }
    let is_nonblocking = file.is_nonblocking() || flags & MSG_DONTWAIT != 0;
    let goes_on = socket.kind() == Kind::Stream && !is_nonblocking;
    let timeout = socket.send_timeout();
    let mut sent = 0;
    let find = |name: &Name| name.find(task, &net, socket.kind());
    let target = name.as_ref().map(|name| move || find(name));
    let result = wait(task, file, is_nonblocking, timeout, POLLOUT, || {
        loop {
            let target = target.as_ref().map(|find| find as _);
            let n = socket.send(source, target, &mut extra)?;
            sent += n;
            if !goes_on || n == 0 || source.remaining() == 0 {
                return Ok(());
            }
        }
    });
    match result {
        Ok(()) => Ok(sent),
        Err(_) if sent > 0 => Ok(sent),
        Err(error) => {
            let is_broken = matches!(error, SysError::Errno(Errno::EPIPE));
            if is_broken && socket.kind() == Kind::Stream && flags & MSG_NOSIGNAL == 0 {
                task.broken_pipe();
            }
            Err(error)
        }
    }
}

fn do_receive(
    task: &CurrentTask,
    file: &Arc<File>,
    sink: &mut dyn Sink,
    flags: u32,
) -> SysResult<Received> {
    let socket = unix_of(file)?;
    let peek = flags & MSG_PEEK != 0;
    if flags & MSG_OOB != 0 {
        if socket.kind() != Kind::Stream {
            return Err(Errno::EOPNOTSUPP.into());
        }
        socket.receive_urgent(sink, peek)?;
        return Ok(Received {
            bytes: 1,
            whole: 1,
            ..Received::default()
        });
    }
    let wanted = match (socket.kind(), peek) {
        (Kind::Stream, false) if flags & MSG_WAITALL != 0 => sink.remaining(),
        (Kind::Stream, false) => socket.option(SO_RCVLOWAT).max(1) as usize,
        _ => 0,
    };
    let is_nonblocking = file.is_nonblocking() || flags & MSG_DONTWAIT != 0;
    let mut got = Received {
        is_nonblocking,
        ..Received::default()
    };
    let timeout = socket.receive_timeout();
    let result = wait(task, file, is_nonblocking, timeout, POLLIN, || {
        loop {
            socket.receive(sink, peek, &mut got)?;
            if got.bytes >= wanted || got.is_complete || sink.remaining() == 0 {
                return Ok(());
            }
        }
    });
    match result {
        Err(error) if got.bytes == 0 => Err(error),
        _ => Ok(got),
    }
}

/// read(2) of a socket. Nothing wanted from a stream is nothing given.
pub(crate) fn read_socket(
    task: &CurrentTask,
    file: &Arc<File>,
    sink: &mut dyn Sink,
) -> SysResult<usize> {
    if sink.remaining() == 0 {
        return Ok(0);
    }
    Ok(do_receive(task, file, sink, 0)?.bytes)
}

/// write(2) of a socket.
pub(crate) fn write_socket(
    task: &CurrentTask,
    file: &Arc<File>,
    source: &mut dyn Source,
) -> SysResult<usize> {
    do_send(task, file, source, None, Extra::new(sender(task)), 0)
}

/// Is it a socket, whose read(2) and write(2) are those here?
pub(crate) fn is_socket(file: &File) -> bool {
    file.downcast::<UnixSocket>().is_some()
}

pub fn sendto(
    task: &mut CurrentTask,
    fd: Fd,
    buf: UserAddress,
    len: usize,
    flags: u32,
    address: UserAddress,
    address_len: i32,
) -> SysResult<usize> {
    let task = &*task;
    let file = socket_file(task, fd)?;
    let to = match address.0 {
        0 => None,
        _ => Some(read_address(task, address, address_len)?).filter(|to| !to.is_empty()),
    };
    let mut source = UserBuffers::one(task.mm(), buf, len);
    do_send(
        task,
        &file,
        &mut source,
        to,
        Extra::new(sender(task)),
        flags,
    )
}

pub fn recvfrom(
    task: &mut CurrentTask,
    fd: Fd,
    buf: UserAddress,
    len: usize,
    flags: u32,
    address: UserAddress,
    address_len: UserRef<i32>,
) -> SysResult<usize> {
    let task = &*task;
    let file = socket_file(task, fd)?;
    let mut sink = UserBuffers::one(task.mm(), buf, len);
    let got = do_receive(task, &file, &mut sink, flags)?;
    if address.0 != 0 {
        write_address(task, address, address_len, got.from.as_deref(), false)?;
    }
    Ok(if flags & MSG_TRUNC != 0 {
        got.whole.max(got.bytes)
    } else {
        got.bytes
    })
}

fn send_one(task: &CurrentTask, file: &Arc<File>, at: UserAddress, flags: u32) -> SysResult<usize> {
    let header = Header::read(task, at)?;
    let to = match (header.name, header.name_len) {
        (0, _) | (_, 0) => None,
        // More than a struct sockaddr_storage is cut (net/socket.c).
        (name, len) => Some(read_address(task, UserAddress(name), len.min(128))?),
    };
    let mut source = header.buffers(task)?;
    let extra = read_control(task, header.control, header.control_len)?;
    do_send(task, file, &mut source, to, extra, flags)
}

pub fn sendmsg(task: &mut CurrentTask, fd: Fd, at: UserAddress, flags: u32) -> SysResult<usize> {
    let file = socket_file(task, fd)?;
    send_one(task, &file, at, flags)
}

fn receive_one(
    task: &CurrentTask,
    file: &Arc<File>,
    at: UserAddress,
    flags: u32,
) -> SysResult<usize> {
    let header = Header::read(task, at)?;
    let mut sink = header.buffers(task)?;
    let mut got = do_receive(task, file, &mut sink, flags)?;
    let mut control = Control {
        at: header.control,
        left: if header.control == 0 {
            0
        } else {
            header.control_len
        },
        flags: flags & MSG_CMSG_CLOEXEC,
    };
    if flags & MSG_OOB != 0 {
        control.flags |= MSG_OOB;
    } else {
        let is_cloexec = flags & MSG_CMSG_CLOEXEC != 0;
        control.put_all(task, unix_of(file)?, &mut got, is_cloexec);
    }
    if got.whole > got.bytes {
        control.flags |= MSG_TRUNC;
    }
    if header.name != 0 {
        let name = encode(got.from.as_deref(), false);
        let room = (header.name_len as usize).min(name.len());
        task.write_bytes(UserAddress(header.name), &name[..room])?;
        task.write(field(at, 8)?, &(name.len() as i32))?;
    }
    task.write(
        field(at, 40)?,
        &header
            .control_len
            .min(control.at.wrapping_sub(header.control)),
    )?;
    task.write(field(at, 48)?, &control.flags)?;
    Ok(if flags & MSG_TRUNC != 0 {
        got.whole.max(got.bytes)
    } else {
        got.bytes
    })
}

pub fn recvmsg(task: &mut CurrentTask, fd: Fd, at: UserAddress, flags: u32) -> SysResult<usize> {
    let file = socket_file(task, fd)?;
    receive_one(task, &file, at, flags)
}

/// One after the other, each with its count. An error after the first does not end
/// the call badly; it is given beside the number of those that went well.
fn each(
    task: &CurrentTask,
    at: UserAddress,
    count: u32,
    mut one: impl FnMut(UserAddress, u32) -> SysResult<Option<usize>>,
) -> SysResult<(u32, Option<SysError>)> {
    let mut done = 0;
    while done < count.min(IOV_MAX as u32) {
        let result = field::<u32>(at, u64::from(done) * MMSGHDR).map_err(SysError::from);
        let result = result.and_then(|message| {
            let message = message.addr;
            let Some(n) = one(message, done)? else {
                return Ok(false);
            };
            task.write(field(message, 56)?, &(n as u32))?;
            Ok(true)
        });
        match result {
            Ok(true) => done += 1,
            Ok(false) => break,
            Err(error) if done == 0 => return Err(error),
            Err(error) => return Ok((done, Some(error))),
        }
        if task.pending_interrupt() {
            break;
        }
    }
    Ok((done, None))
}

pub fn sendmmsg(
    task: &mut CurrentTask,
    fd: Fd,
    at: UserAddress,
    count: u32,
    flags: u32,
) -> SysResult<u32> {
    let task = &*task;
    let file = socket_file(task, fd)?;
    let (sent, _) = each(task, at, count, |message, _| {
        send_one(task, &file, message, flags).map(Some)
    })?;
    Ok(sent)
}

/// The time limit is looked at after each message only (recvmmsg(2), BUGS).
pub fn recvmmsg(
    task: &mut CurrentTask,
    fd: Fd,
    at: UserAddress,
    count: u32,
    flags: u32,
    timeout: UserRef<Timespec>,
) -> SysResult<u32> {
    let task = &*task;
    let until = match timeout.non_null() {
        None => None,
        Some(timeout) => {
            let limit = task.read(timeout)?.validate()?;
            let limit = Duration::new(limit.sec as u64, limit.nsec as u32);
            Instant::now().checked_add(limit)
        }
    };
    let file = socket_file(task, fd)?;
    let core = unix_of(&file)?.core();
    if let Some(errno) = core.take_error() {
        return Err(errno.into());
    }
    let (received, error) = each(task, at, count, |message, done| {
        if done > 0 && until.is_some_and(|until| until <= Instant::now()) {
            return Ok(None);
        }
        let mut flags = flags;
        if done > 0 && flags & MSG_WAITFORONE != 0 {
            flags |= MSG_DONTWAIT;
        }
        receive_one(task, &file, message, flags & !MSG_WAITFORONE).map(Some)
    })?;
    // The next call tells of it, or SO_ERROR.
    if let Some(SysError::Errno(errno)) = error
        && errno != Errno::EAGAIN
    {
        core.set_error(errno);
    }
    if let (Some(timeout), Some(until)) = (timeout.non_null(), until) {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec {
            sec: left.as_secs() as i64,
            nsec: i64::from(left.subsec_nanos()),
        };
        task.write(timeout, &left)?;
    }
    Ok(received)
}
