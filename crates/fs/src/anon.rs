//! Nodes of objects that have no path: pipes, sockets, eventfds.

use crate::{Caller, FileOps, Node, NodeRef};
use rivix_abi::Errno;
use rivix_abi::stat::{S_IFIFO, S_IFSOCK, Stat, makedev};
use rivix_abi::statfs::{ANON_INODE_FS_MAGIC, PIPEFS_MAGIC, SOCKFS_MAGIC, ST_VALID, Statfs};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The next inode number of our own objects.
pub fn next_ino() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1000);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The time of day for stamps on our own nodes.
pub(crate) fn stamp() -> (i64, u64) {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    (now.as_secs() as i64, now.subsec_nanos().into())
}

/// How an anonymous node opens again through /proc/self/fd; None: it cannot.
type Reopen = Box<dyn Fn(u32) -> Result<Box<dyn FileOps>, Errno> + Send + Sync>;

pub struct AnonNode {
    pub ino: u64,
    mode: u32,
    label: String,
    magic: u64,
    created: (i64, u64),
    owner: (u32, u32),
    reopen: Option<Reopen>,
}

impl AnonNode {
    pub fn pipe(caller: &Caller, reopen: Reopen) -> NodeRef {
        let ino = next_ino();
        Self::build(
            ino,
            S_IFIFO | 0o600,
            format!("pipe:[{ino}]"),
            PIPEFS_MAGIC,
            caller,
            Some(reopen),
        )
    }

    pub fn socket(caller: &Caller) -> NodeRef {
        let ino = next_ino();
        Self::build(
            ino,
            S_IFSOCK | 0o777,
            format!("socket:[{ino}]"),
            SOCKFS_MAGIC,
            caller,
            None,
        )
    }

    /// eventfd, eventpoll, timerfd, signalfd, pidfd: no type bits, as on Linux.
    pub fn inode(kind: &str) -> NodeRef {
        let label = format!("anon_inode:[{kind}]");
        Self::build(
            next_ino(),
            0o600,
            label,
            ANON_INODE_FS_MAGIC,
            &Caller::default(),
            None,
        )
    }

    fn build(
        ino: u64,
        mode: u32,
        label: String,
        magic: u64,
        caller: &Caller,
        reopen: Option<Reopen>,
    ) -> NodeRef {
        let owner = (caller.uid, caller.gid);
        Arc::new(AnonNode {
            ino,
            mode,
            label,
            magic,
            created: stamp(),
            owner,
            reopen,
        })
    }
}

impl Node for AnonNode {
    fn kind(&self) -> u32 {
        self.mode & rivix_abi::stat::S_IFMT
    }

    fn stat(&self) -> Result<Stat, Errno> {
        let (sec, nsec) = self.created;
        Ok(Stat {
            dev: makedev(0, 15),
            ino: self.ino,
            mode: self.mode,
            nlink: 1,
            uid: self.owner.0,
            gid: self.owner.1,
            blksize: 4096,
            atime: sec,
            atime_nsec: nsec,
            mtime: sec,
            mtime_nsec: nsec,
            ctime: sec,
            ctime_nsec: nsec,
            ..Stat::default()
        })
    }

    fn statfs(&self) -> Result<Statfs, Errno> {
        Ok(Statfs {
            kind: self.magic,
            bsize: 4096,
            namelen: 255,
            frsize: 4096,
            flags: ST_VALID,
            ..Statfs::default()
        })
    }

    fn open(self: Arc<Self>, flags: u32, _: &Caller) -> Result<Box<dyn FileOps>, Errno> {
        match &self.reopen {
            Some(reopen) => reopen(flags),
            None => Err(Errno::ENXIO),
        }
    }

    fn set_mode(&self, _: u32) -> Result<(), Errno> {
        Ok(())
    }

    fn label(&self) -> Option<Vec<u8>> {
        Some(self.label.clone().into_bytes())
    }
}
