//! Names of sockets: files, and the abstract ones.

use super::{Core, Kind, UnixNet, UnixSocket};
use crate::NodeRef;
use rivix_abi::Errno;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

/// What a name is looked up by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// Device and inode of a socket file.
    Inode(u64, u64),
    /// All bytes after the family, the leading NUL among them. Each type of
    /// socket has names of its own.
    Abstract(Kind, Vec<u8>),
}

/// A bound name.
pub struct Address {
    /// sun_path as getsockname(2) gives it.
    pub path: Vec<u8>,
    key: Key,
    /// Keeps the inode, so that its number names no other file.
    _node: Option<NodeRef>,
}

impl Address {
    /// `path` without its NUL; getsockname(2) tells it with one.
    pub fn file(path: &[u8], node: NodeRef) -> Result<Address, Errno> {
        let stat = node.stat()?;
        Ok(Address {
            path: [path, &[0]].concat(),
            key: Key::Inode(stat.dev, stat.ino),
            _node: Some(node),
        })
    }

    pub fn abstract_name(kind: Kind, name: Vec<u8>) -> Address {
        Address {
            path: name.clone(),
            key: Key::Abstract(kind, name),
            _node: None,
        }
    }
}

impl UnixNet {
    /// The socket that has the name: ECONNREFUSED when nobody has it, EPROTOTYPE
    /// when it is of another kind.
    pub fn find(&self, key: &Key, kind: Kind) -> Result<Arc<Core>, Errno> {
        let core = self.names.lock().get(key).and_then(Weak::upgrade);
        let core = core.ok_or(Errno::ECONNREFUSED)?;
        if core.kind() != kind {
            return Err(Errno::EPROTOTYPE);
        }
        Ok(core)
    }

    /// Gives `socket` the name: EINVAL when it has one, EADDRINUSE when another
    /// has this one.
    pub fn bind(&self, socket: &UnixSocket, address: Address) -> Result<(), Errno> {
        let core = socket.core();
        let mut state = core.state.lock();
        if state.address.is_some() {
            return Err(Errno::EINVAL);
        }
        let mut names = self.names.lock();
        let is_taken = names
            .get(&address.key)
            .is_some_and(|c| c.strong_count() > 0);
        if is_taken {
            return Err(Errno::EADDRINUSE);
        }
        names.insert(address.key.clone(), Arc::downgrade(core));
        state.address = Some(Arc::new(address));
        Ok(())
    }

    /// An abstract name of five hexadecimal digits, unless there is a name already.
    pub fn autobind(&self, socket: &UnixSocket) -> Result<(), Errno> {
        static NEXT: AtomicU32 = AtomicU32::new(0x1_0000);
        for _ in 0..=0xf_ffff_u32 {
            if socket.address().is_some() {
                return Ok(());
            }
            let number = NEXT.fetch_add(1, Ordering::Relaxed) & 0xf_ffff;
            let name = format!("\0{number:05x}").into_bytes();
            match self.bind(socket, Address::abstract_name(socket.kind(), name)) {
                Err(Errno::EADDRINUSE) => {}
                Ok(()) | Err(Errno::EINVAL) => return Ok(()),
                Err(errno) => return Err(errno),
            }
        }
        Err(Errno::ENOSPC)
    }

    /// The socket has closed. A connection shares its listener's address and
    /// must leave the listener's name alone.
    pub(super) fn forget_name(&self, core: &Arc<Core>) {
        let address = core.state.lock().address.clone();
        let Some(address) = address else { return };
        let mut names = self.names.lock();
        let is_ours = names
            .get(&address.key)
            .is_some_and(|named| std::ptr::eq(named.as_ptr(), Arc::as_ptr(core)));
        if is_ours {
            names.remove(&address.key);
        }
    }
}
