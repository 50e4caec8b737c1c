//! Sockets of the family AF_UNIX (unix(7)); other families are not there.

mod address;
mod control;
mod message;
mod option;

pub use message::*;
pub use option::*;

use crate::arg::Fd;
use address::{Name, read_address, write_address};
use rivix_abi::fcntl::{O_CLOEXEC, O_NONBLOCK, O_RDWR};
use rivix_abi::poll::{POLLIN, POLLOUT};
use rivix_abi::resource::Resource;
use rivix_abi::stat::S_IFSOCK;
use rivix_abi::{Errno, UserAddress, UserRef};
use rivix_fs::anon::AnonNode;
use rivix_fs::unix::{self, Cred, Kind, Peer, UnixNet, UnixSocket};
use rivix_fs::{File, Reservation};
use rivix_task::{Blocked, CurrentTask, Restart, SysError, SysResult};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) const AF_UNSPEC: u16 = 0;
pub(crate) const AF_UNIX: u16 = 1;
const SOCK_STREAM: u32 = 1;
const SOCK_DGRAM: u32 = 2;
/// Linux takes it for SOCK_DGRAM here.
const SOCK_RAW: u32 = 3;
const SOCK_SEQPACKET: u32 = 5;
/// Type bits beside the two flags.
const TYPE_MASK: u32 = 0xf;
const TYPE_AND_FLAGS: u32 = TYPE_MASK | O_CLOEXEC | O_NONBLOCK;
/// One more than the last type and the last family there is.
const TYPES: u32 = 11;
const FAMILIES: u32 = 46;

fn kind_of(family: u32, kind: u32, protocol: u32) -> Result<Kind, Errno> {
    if kind & !TYPE_AND_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    if family < FAMILIES && kind & TYPE_MASK >= TYPES {
        return Err(Errno::EINVAL);
    }
    if family != u32::from(AF_UNIX) {
        return Err(Errno::EAFNOSUPPORT);
    }
    // AF_UNIX knows its own family number as the one protocol besides 0.
    if protocol != 0 && protocol != u32::from(AF_UNIX) {
        return Err(Errno::EPROTONOSUPPORT);
    }
    match kind & TYPE_MASK {
        SOCK_STREAM => Ok(Kind::Stream),
        SOCK_DGRAM | SOCK_RAW => Ok(Kind::Datagram),
        SOCK_SEQPACKET => Ok(Kind::SeqPacket),
        _ => Err(Errno::ESOCKTNOSUPPORT),
    }
}

fn net(task: &CurrentTask) -> Arc<UnixNet> {
    task.fs().namespace().shared().unix.clone()
}

/// Who the caller is to those it connects with: its process and effective ids.
fn peer(task: &CurrentTask) -> Peer {
    let creds = task.creds();
    Peer {
        cred: Cred {
            pid: task.pid(),
            uid: creds.euid,
            gid: creds.egid,
        },
        groups: creds.groups.clone(),
    }
}

/// Who the caller is to those who get its messages: its process and real ids.
fn sender(task: &CurrentTask) -> Cred {
    let creds = task.creds();
    Cred {
        pid: task.pid(),
        uid: creds.uid,
        gid: creds.gid,
    }
}

/// A file for `socket`; `flags` are of socket(2)'s type argument.
fn open(task: &CurrentTask, socket: UnixSocket, flags: u32) -> Arc<File> {
    let node = AnonNode::socket(&task.caller());
    let status = O_RDWR | (flags & O_NONBLOCK);
    task.fs()
        .namespace()
        .anonymous(Box::new(socket), status, node)
}

/// The file of a socket: EBADF, ENOTSOCK.
fn socket_file(task: &CurrentTask, fd: Fd) -> Result<Arc<File>, Errno> {
    let file = task.files().get(fd.0)?;
    if file.is_path() {
        return Err(Errno::EBADF);
    }
    if file.node().kind() != S_IFSOCK {
        return Err(Errno::ENOTSOCK);
    }
    Ok(file)
}

fn unix_of(file: &File) -> Result<&UnixSocket, Errno> {
    file.downcast().ok_or(Errno::ENOTSOCK)
}

/// Waits as calls on sockets do: a socket with a timeout is not restarted after a
/// signal (signal(7)).
fn wait<R>(
    task: &CurrentTask,
    file: &Arc<File>,
    is_nonblocking: bool,
    timeout: Option<Duration>,
    events: u32,
    mut op: impl FnMut() -> Result<R, Errno>,
) -> SysResult<R> {
    match op() {
        Err(Errno::EAGAIN) if !is_nonblocking => {}
        other => return Ok(other?),
    }
    let Some(queue) = file.wait_queue() else {
        return Err(Errno::EAGAIN.into());
    };
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    task.block_until(deadline, &[(queue, events)], op)
        .map_err(|blocked| match blocked {
            Blocked::Interrupted if timeout.is_some() => SysError::Errno(Errno::EINTR),
            Blocked::Interrupted => SysError::Restart(Restart::Sys),
            Blocked::TimedOut => SysError::Errno(Errno::EAGAIN),
            Blocked::Errno(errno) => SysError::Errno(errno),
        })
}

pub fn socket(task: &mut CurrentTask, family: u32, kind: u32, protocol: u32) -> SysResult<Fd> {
    let wanted = kind_of(family, kind, protocol)?;
    let socket = UnixSocket::new(&net(task), wanted);
    let file = open(task, socket, kind);
    let limit = task.rlimit(Resource::Nofile).cur;
    let is_cloexec = kind & O_CLOEXEC != 0;
    Ok(Fd(task
        .files()
        .insert_lowest(file, is_cloexec, 0, limit)?))
}

pub fn socketpair(
    task: &mut CurrentTask,
    family: u32,
    kind: u32,
    protocol: u32,
    ends: UserRef<[i32; 2]>,
) -> SysResult<()> {
    if kind & !TYPE_AND_FLAGS != 0 {
        return Err(Errno::EINVAL.into());
    }
    let is_cloexec = kind & O_CLOEXEC != 0;
    let limit = task.rlimit(Resource::Nofile).cur;
    // The numbers are told before anything is made (net/socket.c).
    let numbers = [
        task.files().reserve_number(is_cloexec, limit)?,
        task.files().reserve_number(is_cloexec, limit)?,
    ];
    task.write(ends, &numbers.each_ref().map(Reservation::fd))?;
    let wanted = kind_of(family, kind, protocol)?;
    let (one, two) = unix::pair(&net(task), wanted, peer(task));
    for (number, socket) in numbers.into_iter().zip([one, two]) {
        number.publish_file(open(task, socket, kind));
    }
    Ok(())
}

pub fn bind(task: &mut CurrentTask, fd: Fd, address: UserAddress, len: i32) -> SysResult<()> {
    let file = socket_file(task, fd)?;
    let address = read_address(task, address, len)?;
    let socket = unix_of(&file)?;
    if address == AF_UNIX.to_le_bytes() {
        return Ok(net(task).autobind(socket)?);
    }
    let address = Name::parse(&address)?.create(task, socket)?;
    Ok(net(task).bind(socket, address)?)
}

pub fn listen(task: &mut CurrentTask, fd: Fd, backlog: i32) -> SysResult<()> {
    let file = socket_file(task, fd)?;
    Ok(unix_of(&file)?.listen(backlog, peer(task))?)
}

pub fn connect(task: &mut CurrentTask, fd: Fd, address: UserAddress, len: i32) -> SysResult<()> {
    let file = socket_file(task, fd)?;
    let address = read_address(task, address, len)?;
    let socket = unix_of(&file)?;
    let net = net(task);
    let is_datagram = socket.kind() == Kind::Datagram;
    if address.len() < 2 {
        return Err(Errno::EINVAL.into());
    }
    // Only a datagram socket can be disconnected (connect(2)).
    if is_datagram && address.starts_with(&AF_UNSPEC.to_le_bytes()) {
        return Ok(socket.set_peer(None)?);
    }
    let name = Name::parse(&address)?;
    if socket.wants_cred() {
        net.autobind(socket)?;
    }
    if is_datagram {
        let target = name.find(task, &net, socket.kind())?;
        return Ok(socket.set_peer(Some(&target))?);
    }
    let me = peer(task);
    let is_nonblocking = file.is_nonblocking();
    let timeout = socket.send_timeout();
    wait(task, &file, is_nonblocking, timeout, POLLOUT, || {
        // Anew each time: the listener may have gone.
        let target = name.find(task, &net, socket.kind())?;
        socket.connect(&net, &target, me.clone())
    })
}

pub fn accept(
    task: &mut CurrentTask,
    fd: Fd,
    address: UserAddress,
    len: UserRef<i32>,
) -> SysResult<Fd> {
    accept4(task, fd, address, len, 0)
}

pub fn accept4(
    task: &mut CurrentTask,
    fd: Fd,
    address: UserAddress,
    len: UserRef<i32>,
    flags: u32,
) -> SysResult<Fd> {
    if flags & !(O_CLOEXEC | O_NONBLOCK) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let file = socket_file(task, fd)?;
    let socket = unix_of(&file)?;
    let limit = task.rlimit(Resource::Nofile).cur;
    let number = task.files().reserve_number(flags & O_CLOEXEC != 0, limit)?;
    let timeout = socket.receive_timeout();
    let is_nonblocking = file.is_nonblocking();
    let accepted = wait(task, &file, is_nonblocking, timeout, POLLIN, || {
        socket.accept(is_nonblocking)
    })?;
    // A peer that has gone already has no name; the connection is there.
    let other = accepted.peer_address().unwrap_or(None);
    let new = open(task, accepted, flags);
    if address.0 != 0 {
        write_address(task, address, len, other.as_deref(), true)?;
    }
    Ok(Fd(number.publish_file(new)))
}

pub fn getpeername(
    task: &mut CurrentTask,
    fd: Fd,
    address: UserAddress,
    len: UserRef<i32>,
) -> SysResult<()> {
    let file = socket_file(task, fd)?;
    let peer = unix_of(&file)?.peer_address()?;
    Ok(write_address(task, address, len, peer.as_deref(), true)?)
}

/// A socket without a name has its family alone.
pub fn getsockname(
    task: &mut CurrentTask,
    fd: Fd,
    address: UserAddress,
    len: UserRef<i32>,
) -> SysResult<()> {
    let file = socket_file(task, fd)?;
    let own = unix_of(&file)?.address();
    Ok(write_address(task, address, len, own.as_deref(), true)?)
}

pub fn shutdown(task: &mut CurrentTask, fd: Fd, how: u32) -> SysResult<()> {
    let file = socket_file(task, fd)?;
    Ok(unix_of(&file)?.shutdown(how)?)
}
