//! Directories and files that exist only as code: the skeleton of /dev and /sys.

use crate::anon::{next_ino, stamp};
use crate::file::DirEntry;
use crate::{Caller, File, FileOps, Node, NodeRef, SeekFrom};
use rivix_abi::Errno;
use rivix_abi::fcntl::{DT_BLK, DT_CHR, DT_DIR, DT_FIFO, DT_LNK, DT_REG, DT_SOCK, DT_UNKNOWN};
use rivix_abi::stat::{
    S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK, Stat,
};
use rivix_abi::statfs::{ST_VALID, Statfs};
use std::sync::Arc;

/// getdents64's type byte of a mode.
pub(crate) fn dirent_kind(mode: u32) -> u8 {
    match mode & S_IFMT {
        S_IFIFO => DT_FIFO,
        S_IFCHR => DT_CHR,
        S_IFDIR => DT_DIR,
        S_IFBLK => DT_BLK,
        S_IFREG => DT_REG,
        S_IFLNK => DT_LNK,
        S_IFSOCK => DT_SOCK,
        _ => DT_UNKNOWN,
    }
}

/// Metadata of a node that lives in no real file system.
pub(crate) fn pseudo_stat(dev: u64, ino: u64, mode: u32, created: (i64, u64)) -> Stat {
    let (sec, nsec) = created;
    Stat {
        dev,
        ino,
        mode,
        nlink: if mode & S_IFMT == S_IFDIR { 2 } else { 1 },
        blksize: 4096,
        atime: sec,
        atime_nsec: nsec,
        mtime: sec,
        mtime_nsec: nsec,
        ctime: sec,
        ctime_nsec: nsec,
        ..Stat::default()
    }
}

pub(crate) fn pseudo_statfs(kind: u64) -> Statfs {
    Statfs {
        kind,
        bsize: 4096,
        frsize: 4096,
        namelen: 255,
        flags: ST_VALID,
        ..Statfs::default()
    }
}

/// A directory whose entries never change.
pub(crate) struct PseudoDir {
    ino: u64,
    dev: u64,
    magic: u64,
    created: (i64, u64),
    children: Vec<(&'static str, NodeRef)>,
}

impl PseudoDir {
    pub(crate) fn node(dev: u64, magic: u64, children: Vec<(&'static str, NodeRef)>) -> NodeRef {
        Arc::new(PseudoDir {
            ino: next_ino(),
            dev,
            magic,
            created: stamp(),
            children,
        })
    }
}

impl Node for PseudoDir {
    fn kind(&self) -> u32 {
        S_IFDIR
    }

    fn stat(&self) -> Result<Stat, Errno> {
        Ok(pseudo_stat(
            self.dev,
            self.ino,
            S_IFDIR | 0o755,
            self.created,
        ))
    }

    fn statfs(&self) -> Result<Statfs, Errno> {
        Ok(pseudo_statfs(self.magic))
    }

    fn lookup(&self, name: &[u8], _: &Caller) -> Result<NodeRef, Errno> {
        let found = self
            .children
            .iter()
            .find(|(child, _)| child.as_bytes() == name);
        found.map(|(_, node)| node.clone()).ok_or(Errno::ENOENT)
    }

    fn open(self: Arc<Self>, _: u32, _: &Caller) -> Result<Box<dyn FileOps>, Errno> {
        let entries = self.children.iter().map(|(name, node)| {
            let stat = node.stat().unwrap_or_default();
            Entry {
                ino: stat.ino,
                kind: dirent_kind(node.kind()),
                name: name.as_bytes().to_vec(),
            }
        });
        Ok(Box::new(ListedDir::new(self.ino, entries.collect())))
    }
}

pub(crate) struct Entry {
    pub(crate) ino: u64,
    pub(crate) kind: u8,
    pub(crate) name: Vec<u8>,
}

/// An open directory that lists what was there when it was opened or rewound.
pub(crate) struct ListedDir {
    entries: Vec<Entry>,
}

impl ListedDir {
    pub(crate) fn new(ino: u64, children: Vec<Entry>) -> ListedDir {
        let dots = [&b"."[..], b".."];
        let dots = dots.map(|name| Entry {
            ino,
            kind: DT_DIR,
            name: name.to_vec(),
        });
        ListedDir {
            entries: dots.into_iter().chain(children).collect(),
        }
    }
}

impl FileOps for ListedDir {
    fn read(&self, _: &File, _: &mut dyn crate::Sink, _: Option<u64>) -> Result<usize, Errno> {
        Err(Errno::EISDIR)
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn seek(&self, file: &File, to: SeekFrom) -> Result<u64, Errno> {
        seek_within(file, to, self.entries.len() as u64)
    }

    fn readdir(
        &self,
        file: &File,
        emit: &mut dyn FnMut(&DirEntry<'_>) -> bool,
    ) -> Result<(), Errno> {
        let mut offset = file.offset();
        let from = usize::try_from(*offset).unwrap_or(usize::MAX);
        for (index, entry) in self.entries.iter().enumerate().skip(from) {
            let next = index as u64 + 1;
            if !emit(&DirEntry {
                ino: entry.ino,
                next,
                kind: entry.kind,
                name: &entry.name,
            }) {
                break;
            }
            *offset = next;
        }
        Ok(())
    }

    fn sync(&self, _: bool) -> Result<(), Errno> {
        Ok(())
    }
}

/// lseek of something with a known end and no holes.
pub(crate) fn seek_within(file: &File, to: SeekFrom, end: u64) -> Result<u64, Errno> {
    let mut offset = file.offset();
    let new = match to {
        SeekFrom::Start(at) => Some(at),
        SeekFrom::Current(by) => (*offset as i64).checked_add(by),
        SeekFrom::End(by) => (end as i64).checked_add(by),
        SeekFrom::Data(_) | SeekFrom::Hole(_) => return Err(Errno::EINVAL),
    };
    let new = new.ok_or(Errno::EOVERFLOW)?;
    *offset = u64::try_from(new).map_err(|_| Errno::EINVAL)?;
    Ok(*offset)
}

/// A symlink with a fixed text.
pub(crate) struct PseudoLink {
    ino: u64,
    dev: u64,
    magic: u64,
    created: (i64, u64),
    target: &'static str,
}

impl PseudoLink {
    pub(crate) fn node(dev: u64, magic: u64, target: &'static str) -> NodeRef {
        Arc::new(PseudoLink {
            ino: next_ino(),
            dev,
            magic,
            created: stamp(),
            target,
        })
    }
}

impl Node for PseudoLink {
    fn kind(&self) -> u32 {
        S_IFLNK
    }

    fn stat(&self) -> Result<Stat, Errno> {
        let mut stat = pseudo_stat(self.dev, self.ino, S_IFLNK | 0o777, self.created);
        stat.size = self.target.len() as i64;
        Ok(stat)
    }

    fn statfs(&self) -> Result<Statfs, Errno> {
        Ok(pseudo_statfs(self.magic))
    }

    fn readlink(&self, _: &Caller) -> Result<Vec<u8>, Errno> {
        Ok(self.target.as_bytes().to_vec())
    }

    fn open(self: Arc<Self>, _: u32, _: &Caller) -> Result<Box<dyn FileOps>, Errno> {
        Err(Errno::ELOOP)
    }
}
