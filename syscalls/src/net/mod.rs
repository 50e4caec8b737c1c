//! Sockets, as far as programs ask for them that use none: a local socket can be
//! made and finds nobody to connect to. Binding and other families are not there.

use crate::arg::Fd;
use rivix_abi::fcntl::{O_CLOEXEC, O_NONBLOCK, O_RDWR};
use rivix_abi::poll::{POLLHUP, POLLOUT, POLLWRNORM};
use rivix_abi::stat::S_IFSOCK;
use rivix_abi::{Errno, UserAddress, UserRef};
use rivix_fs::anon::AnonNode;
use rivix_fs::{File, FileOps, Lookup, Sink, Source};
use rivix_sync::WaitQueue;
use rivix_task::{CurrentTask, SysResult};
use std::sync::Arc;

const AF_UNSPEC: u16 = 0;
const AF_UNIX: u16 = 1;
const SOCK_STREAM: u32 = 1;
const SOCK_DGRAM: u32 = 2;
const SOCK_SEQPACKET: u32 = 5;
/// Type bits beside the two flags.
const TYPE_MASK: u32 = 0xf;
/// sizeof(struct sockaddr_un): the family and a path (unix(7)).
const ADDRESS_MAX: usize = 110;

/// A local socket that is not connected.
struct LocalSocket {
    kind: u32,
    queue: WaitQueue,
}

impl FileOps for LocalSocket {
    fn read(&self, _: &File, _: &mut dyn Sink, _: Option<u64>) -> Result<usize, Errno> {
        match self.kind {
            SOCK_STREAM => Err(Errno::EINVAL),
            SOCK_SEQPACKET => Err(Errno::ENOTCONN),
            // Nobody can send to it: it has no name.
            _ => Err(Errno::EAGAIN),
        }
    }

    fn write(&self, _: &File, _: &mut dyn Source, _: Option<u64>) -> Result<usize, Errno> {
        Err(Errno::ENOTCONN)
    }

    fn poll(&self, _: &File) -> u32 {
        match self.kind {
            SOCK_DGRAM => POLLOUT | POLLWRNORM,
            _ => POLLOUT | POLLWRNORM | POLLHUP,
        }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.queue)
    }
}

pub fn socket(task: &mut CurrentTask, family: u32, kind: u32, protocol: u32) -> SysResult<Fd> {
    if kind & !(TYPE_MASK | O_CLOEXEC | O_NONBLOCK) != 0 {
        return Err(Errno::EINVAL.into());
    }
    if family != u32::from(AF_UNIX) {
        return Err(Errno::EAFNOSUPPORT.into());
    }
    // AF_UNIX knows its own family number as the one protocol besides 0.
    if protocol != 0 && protocol != u32::from(AF_UNIX) {
        return Err(Errno::EPROTONOSUPPORT.into());
    }
    let wanted = match kind & TYPE_MASK {
        // Linux takes SOCK_RAW for SOCK_DGRAM here.
        3 => SOCK_DGRAM,
        known @ (SOCK_STREAM | SOCK_DGRAM | SOCK_SEQPACKET) => known,
        _ => return Err(Errno::ESOCKTNOSUPPORT.into()),
    };
    let ops = Box::new(LocalSocket {
        kind: wanted,
        queue: WaitQueue::new(),
    });
    let node = AnonNode::socket(&task.caller());
    let status = O_RDWR | (kind & O_NONBLOCK);
    Ok(Fd(task.install_anonymous(
        ops,
        status,
        node,
        kind & O_CLOEXEC != 0,
    )?))
}

/// ECONNREFUSED where a socket file is (whoever made it is not among the
/// guests), ENOENT where none is.
pub fn connect(task: &mut CurrentTask, fd: Fd, address: UserAddress, len: i32) -> SysResult<()> {
    let file = socket_file(task, fd)?;
    let address = read_address(task, address, len)?;
    let family = u16::from_le_bytes([address[0], address[1]]);
    // Only a datagram socket can be disconnected (connect(2)).
    let is_datagram = |socket: &LocalSocket| socket.kind == SOCK_DGRAM;
    if family == AF_UNSPEC && file.downcast().is_some_and(is_datagram) {
        return Ok(());
    }
    let path = &address[2..];
    if family != AF_UNIX || path.is_empty() {
        return Err(Errno::EINVAL.into());
    }
    if path[0] == 0 {
        return Err(Errno::ECONNREFUSED.into());
    }
    let end = path
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(path.len());
    let lookup = Lookup::new(task.fs().namespace(), task.fs(), task.caller());
    lookup.resolve(&path[..end], true)?;
    Err(Errno::ECONNREFUSED.into())
}

pub fn getpeername(
    task: &mut CurrentTask,
    fd: Fd,
    _address: UserAddress,
    _len: UserRef<i32>,
) -> SysResult<()> {
    socket_file(task, fd)?;
    Err(Errno::ENOTCONN.into())
}

/// A socket without a name has its family alone.
pub fn getsockname(
    task: &mut CurrentTask,
    fd: Fd,
    address: UserAddress,
    len: UserRef<i32>,
) -> SysResult<()> {
    socket_file(task, fd)?;
    let room = usize::try_from(task.read(len)?).map_err(|_| Errno::EINVAL)?;
    let name = AF_UNIX.to_le_bytes();
    task.write_bytes(address, &name[..room.min(name.len())])?;
    Ok(task.write(len, &(name.len() as i32))?)
}

/// ENOTSOCK for any other file.
fn socket_file(task: &CurrentTask, fd: Fd) -> Result<Arc<File>, Errno> {
    let file = task.files().get(fd.0)?;
    if file.is_path() {
        return Err(Errno::EBADF);
    }
    let is_socket = file.node().kind() == S_IFSOCK;
    if is_socket {
        Ok(file)
    } else {
        Err(Errno::ENOTSOCK)
    }
}

/// At least the family.
fn read_address(task: &CurrentTask, addr: UserAddress, len: i32) -> Result<Vec<u8>, Errno> {
    let len = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
    if !(2..=ADDRESS_MAX).contains(&len) {
        return Err(Errno::EINVAL);
    }
    let mut bytes = vec![0; len];
    task.read_bytes(addr, &mut bytes)?;
    Ok(bytes)
}
