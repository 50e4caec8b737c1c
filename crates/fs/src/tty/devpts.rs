//! /dev/ptmx, /dev/pts and the slaves' names (pts(4)).

use super::pair::device_of;
use super::{Master, Pair, Ptys, Slave};
use crate::anon::stamp;
use crate::lookup::check_open_mode;
use crate::node::check_access;
use crate::pseudo::{Entry, ListedDir, pseudo_stat, pseudo_statfs};
use crate::{Caller, FileOps, Node, NodeRef};
use rivix_abi::Errno;
use rivix_abi::fcntl::DT_CHR;
use rivix_abi::stat::{S_IFCHR, S_IFDIR, Stat, makedev};
use rivix_abi::statfs::{DEVPTS_SUPER_MAGIC, Statfs};
use std::sync::Arc;

const DEV: u64 = makedev(0, 24);
/// The multiplexer's number.
const PTMX: u64 = makedev(5, 2);
/// Inode numbers (fs/devpts/inode.c): the root, its ptmx, the slaves.
const ROOT_INO: u64 = 1;
const PTMX_INO: u64 = 2;
const FIRST_INO: u64 = 3;
/// The group `tty`, and the mode that lets it write to others' terminals.
pub(super) const GROUP: u32 = 5;
pub(super) const MODE: u32 = 0o620;

/// The file system's root.
pub(crate) fn new_root(ptys: &Arc<Ptys>) -> NodeRef {
    Arc::new(Root {
        ptys: ptys.clone(),
        created: stamp(),
    })
}

/// A new pair's master.
pub(crate) fn open_master(ptys: &Arc<Ptys>, caller: &Caller) -> Result<Box<dyn FileOps>, Errno> {
    let pair = ptys.create(caller.uid)?;
    Ok(Box::new(Master::new(pair)))
}

/// The node of a pair's slave.
pub(crate) fn slave_node(pair: Arc<Pair>) -> NodeRef {
    Arc::new(SlaveNode { pair })
}

struct Root {
    ptys: Arc<Ptys>,
    created: (i64, u64),
}

impl Node for Root {
    fn kind(&self) -> u32 {
        S_IFDIR
    }

    fn stat(&self) -> Result<Stat, Errno> {
        Ok(pseudo_stat(DEV, ROOT_INO, S_IFDIR | 0o755, self.created))
    }

    fn statfs(&self) -> Result<Statfs, Errno> {
        Ok(pseudo_statfs(DEVPTS_SUPER_MAGIC))
    }

    fn lookup(&self, name: &[u8], _: &Caller) -> Result<NodeRef, Errno> {
        if name == b"ptmx" {
            return Ok(Arc::new(Multiplexer {
                ptys: self.ptys.clone(),
                created: self.created,
            }));
        }
        let index = number(name).ok_or(Errno::ENOENT)?;
        self.ptys.node(index).ok_or(Errno::ENOENT)
    }

    fn open(self: Arc<Self>, _: u32, _: &Caller) -> Result<Box<dyn FileOps>, Errno> {
        let ptmx = Entry {
            ino: PTMX_INO,
            kind: DT_CHR,
            name: b"ptmx".to_vec(),
        };
        let slaves = self.ptys.numbers().into_iter().map(|index| Entry {
            ino: u64::from(index) + FIRST_INO,
            kind: DT_CHR,
            name: index.to_string().into_bytes(),
        });
        let entries = std::iter::once(ptmx).chain(slaves).collect();
        Ok(Box::new(ListedDir::new(ROOT_INO, entries)))
    }
}

/// A name as the file system writes it: no sign, no leading zero.
fn number(name: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(name).ok()?;
    let index: u32 = text.parse().ok()?;
    (index.to_string() == text).then_some(index)
}

/// The file system's own multiplexer, which nobody but root may open; /dev/ptmx is
/// for everyone.
struct Multiplexer {
    ptys: Arc<Ptys>,
    created: (i64, u64),
}

impl Node for Multiplexer {
    fn kind(&self) -> u32 {
        S_IFCHR
    }

    fn stat(&self) -> Result<Stat, Errno> {
        let mut stat = pseudo_stat(DEV, PTMX_INO, S_IFCHR, self.created);
        stat.rdev = PTMX;
        Ok(stat)
    }

    fn statfs(&self) -> Result<Statfs, Errno> {
        Ok(pseudo_statfs(DEVPTS_SUPER_MAGIC))
    }

    fn open(self: Arc<Self>, flags: u32, caller: &Caller) -> Result<Box<dyn FileOps>, Errno> {
        check_open_mode(&*self, flags, caller)?;
        open_master(&self.ptys, caller)
    }

    fn access(&self, mode: u32, caller: &Caller) -> Result<(), Errno> {
        check_access(&self.stat()?, mode, caller)
    }
}

struct SlaveNode {
    pair: Arc<Pair>,
}

impl Node for SlaveNode {
    fn kind(&self) -> u32 {
        S_IFCHR
    }

    fn stat(&self) -> Result<Stat, Errno> {
        let owner = self.pair.owner();
        let index = self.pair.index();
        let ino = u64::from(index) + FIRST_INO;
        let mut stat = pseudo_stat(DEV, ino, S_IFCHR | owner.mode, owner.created);
        stat.rdev = device_of(index);
        stat.blksize = 1024;
        (stat.uid, stat.gid) = (owner.uid, owner.gid);
        Ok(stat)
    }

    fn statfs(&self) -> Result<Statfs, Errno> {
        Ok(pseudo_statfs(DEVPTS_SUPER_MAGIC))
    }

    fn open(self: Arc<Self>, flags: u32, caller: &Caller) -> Result<Box<dyn FileOps>, Errno> {
        check_open_mode(&*self, flags, caller)?;
        Ok(Box::new(Slave::open(&self.pair, caller.uid == 0)?))
    }

    fn access(&self, mode: u32, caller: &Caller) -> Result<(), Errno> {
        check_access(&self.stat()?, mode, caller)
    }

    fn set_mode(&self, mode: u32) -> Result<(), Errno> {
        self.pair.set_owner(|owner| owner.mode = mode & 0o7777);
        Ok(())
    }

    fn set_owner(&self, uid: u32, gid: u32) -> Result<(), Errno> {
        self.pair.set_owner(|owner| {
            if uid != u32::MAX {
                owner.uid = uid;
            }
            if gid != u32::MAX {
                owner.gid = gid;
            }
        });
        Ok(())
    }

    fn is_unlinked(&self) -> bool {
        !self.pair.has_master()
    }
}
