//! Socket addresses on their way in and out.

use super::AF_UNIX;
use rivix_abi::stat::S_IFSOCK;
use rivix_abi::{Errno, UserAddress, UserRef};
use rivix_fs::Lookup;
use rivix_fs::unix::{Address, Core, Key, Kind, UnixNet, UnixSocket};
use rivix_task::CurrentTask;
use std::sync::Arc;

/// sizeof(struct sockaddr_un): the family and a path (unix(7)).
const ADDRESS_MAX: usize = 110;
/// sizeof(struct sockaddr_storage).
const STORAGE_MAX: usize = 128;
const W_OK: u32 = 2;

/// What a struct sockaddr_un says.
pub(super) enum Name {
    /// Without its NUL.
    Path(Vec<u8>),
    /// With its leading NUL.
    Abstract(Vec<u8>),
}

pub(super) fn read_address(
    task: &CurrentTask,
    at: UserAddress,
    len: i32,
) -> Result<Vec<u8>, Errno> {
    let len = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
    if len > STORAGE_MAX {
        return Err(Errno::EINVAL);
    }
    let mut bytes = vec![0; len];
    if len > 0 {
        task.read_bytes(at, &mut bytes)?;
    }
    Ok(bytes)
}

/// Writes as much as there is room for, and the true length (accept(2)).
pub(super) fn write_address(
    task: &CurrentTask,
    at: UserAddress,
    len: UserRef<i32>,
    address: Option<&Address>,
    is_named: bool,
) -> Result<(), Errno> {
    let room = usize::try_from(task.read(len)?).map_err(|_| Errno::EINVAL)?;
    let bytes = encode(address, is_named);
    task.write_bytes(at, &bytes[..room.min(bytes.len())])?;
    task.write(len, &(bytes.len() as i32))
}

/// With `is_named`, a socket without a name has its family; else nothing.
pub(super) fn encode(address: Option<&Address>, is_named: bool) -> Vec<u8> {
    match address {
        Some(address) => [&AF_UNIX.to_le_bytes()[..], &address.path].concat(),
        None if is_named => AF_UNIX.to_le_bytes().to_vec(),
        None => Vec::new(),
    }
}

impl Name {
    /// EINVAL: another family, no name, or too long.
    pub(super) fn parse(bytes: &[u8]) -> Result<Name, Errno> {
        if bytes.len() > ADDRESS_MAX {
            return Err(Errno::EINVAL);
        }
        match bytes.strip_prefix(&AF_UNIX.to_le_bytes()) {
            None | Some([]) => Err(Errno::EINVAL),
            Some(name) if name.first() == Some(&0) => Ok(Name::Abstract(name.to_vec())),
            Some(path) => {
                let path = path.split(|&byte| byte == 0).next().unwrap_or_default();
                Ok(Name::Path(path.to_vec()))
            }
        }
    }

    /// The socket of this name: ECONNREFUSED when nobody has it; a file must be
    /// there and writable, and its socket of this kind (EPROTOTYPE).
    pub(super) fn find(
        &self,
        task: &CurrentTask,
        net: &UnixNet,
        kind: Kind,
    ) -> Result<Arc<Core>, Errno> {
        let key = match self {
            Name::Abstract(name) => Key::Abstract(kind, name.clone()),
            Name::Path(path) => {
                let lookup = Lookup::new(task.fs().namespace(), task.fs(), task.caller());
                let place = lookup.resolve(path, true)?;
                place.node.access(W_OK, &task.caller())?;
                if place.node.kind() != S_IFSOCK {
                    return Err(Errno::ECONNREFUSED);
                }
                let stat = place.node.stat()?;
                Key::Inode(stat.dev, stat.ino)
            }
        };
        net.find(&key, kind)
    }

    /// Makes the file of a path; EADDRINUSE when something is there.
    pub(super) fn create(self, task: &CurrentTask, socket: &UnixSocket) -> Result<Address, Errno> {
        let path = match self {
            Name::Abstract(name) => return Ok(Address::abstract_name(socket.kind(), name)),
            Name::Path(path) => path,
        };
        let is_bound = socket.address().is_some();
        let caller = task.caller();
        let lookup = Lookup::new(task.fs().namespace(), task.fs(), caller);
        let last = lookup.last_name(&path)?;
        if last.name.is_empty() || lookup.child(&last.parent, &last.name).is_ok() {
            return Err(Errno::EADDRINUSE);
        }
        if is_bound {
            return Err(Errno::EINVAL);
        }
        if last.wants_dir {
            return Err(Errno::ENOENT);
        }
        last.writable()?;
        let mode = S_IFSOCK | 0o777 & !task.fs().umask();
        match last.parent.node.mknod(&last.name, mode, 0, &caller) {
            Err(Errno::EEXIST) => return Err(Errno::EADDRINUSE),
            other => other?,
        }
        let place = lookup.child(&last.parent, &last.name)?;
        Address::file(&path, place.node)
    }
}
