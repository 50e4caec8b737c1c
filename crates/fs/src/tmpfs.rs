//! tmpfs(5): files in memory. Content lives in memfds, made when the first byte is
//! written, so that files can be mapped.

use crate::anon::{next_ino, stamp};
use crate::file::DirEntry;
use crate::host::{HostFd, HostShared, sys};
use crate::node::{Created, NewTimes, TimeChange, check_access};
use crate::pseudo::{dirent_kind, pseudo_statfs};
use crate::{Caller, File, FileOps, Node, NodeRef, SeekFrom, Sink, Source};
use rivix_abi::Errno;
use rivix_abi::fcntl::{DT_DIR, NAME_MAX, O_TRUNC, RENAME_EXCHANGE, RENAME_NOREPLACE};
use rivix_abi::stat::{
    S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK, S_ISGID, S_ISUID,
    S_ISVTX, Stat, makedev,
};
use rivix_abi::statfs::{Statfs, TMPFS_MAGIC};
use rivix_mem::MapSource;
use rivix_sync::{Mutex, level};
use std::any::Any;
use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock, Weak};

/// What all nodes of one tmpfs share.
struct Fs {
    host: Arc<HostShared>,
    dev: u64,
    /// Renames and removals of directories take turns: a directory must not be
    /// moved below itself by two at once.
    changes: Mutex<level::Mounts, ()>,
}

/// Metadata that calls change.
#[derive(Clone)]
struct Meta {
    mode: u32,
    uid: u32,
    gid: u32,
    nlink: u32,
    atime: (i64, u64),
    mtime: (i64, u64),
    ctime: (i64, u64),
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

#[derive(Default)]
struct Entries {
    /// By name; the number is the entry's stable directory cookie.
    names: BTreeMap<Vec<u8>, (u64, Arc<TmpNode>)>,
    next_cookie: u64,
    /// Removed: nothing can be made here any more.
    is_dead: bool,
}

enum Content {
    Dir {
        entries: Mutex<level::Inode, Entries>,
        parent: Mutex<level::Stats, Weak<TmpNode>>,
    },
    File(OnceLock<Arc<HostFd>>),
    Symlink(Vec<u8>),
    Fifo,
    Socket,
}

struct TmpNode {
    fs: Arc<Fs>,
    ino: u64,
    kind: u32,
    meta: Mutex<level::Futex, Meta>,
    content: Content,
    me: Weak<TmpNode>,
}

pub(crate) fn new_root(shared: &Arc<HostShared>, id: u32) -> NodeRef {
    let fs = Arc::new(Fs {
        host: shared.clone(),
        dev: makedev(0, 64 + id),
        changes: Mutex::new(()),
    });
    TmpNode::new(
        &fs,
        S_IFDIR | S_ISVTX | 0o777,
        &Caller::default(),
        TmpNode::dir_content(Weak::new()),
    )
}

/// memfd_create(2): a file of a tmpfs without names.
pub fn memfd(
    shared: &Arc<HostShared>,
    name: &[u8],
    allow_sealing: bool,
    caller: &Caller,
) -> Result<(NodeRef, Box<dyn FileOps>), Errno> {
    let fs = Arc::new(Fs {
        host: shared.clone(),
        dev: makedev(0, 1),
        changes: Mutex::new(()),
    });
    let charge = shared.charge()?;
    let flags = if allow_sealing {
        libc::MFD_ALLOW_SEALING
    } else {
        0
    };
    let fd = HostFd::new(sys::memfd(c"rivix-memfd", flags)?, charge);
    let content = OnceLock::new();
    let _ = content.set(fd);
    let node = TmpNode::new(&fs, S_IFREG | 0o777, caller, Content::File(content));
    node.meta.lock().nlink = 0;
    let ops = TmpFile {
        node: node.clone(),
        label: Some([b"/memfd:", name, b" (deleted)"].concat()),
    };
    let node: NodeRef = Arc::new(MemfdNode {
        inner: node,
        label: [b"/memfd:", name, b" (deleted)"].concat(),
    });
    Ok((node, Box::new(ops)))
}

impl TmpNode {
    fn new(fs: &Arc<Fs>, mode: u32, caller: &Caller, content: Content) -> Arc<TmpNode> {
        let now = stamp();
        let meta = Meta {
            mode,
            uid: caller.uid,
            gid: caller.gid,
            nlink: if mode & S_IFMT == S_IFDIR { 2 } else { 1 },
            atime: now,
            mtime: now,
            ctime: now,
            xattrs: BTreeMap::new(),
        };
        Arc::new_cyclic(|me| TmpNode {
            fs: fs.clone(),
            ino: next_ino(),
            kind: mode & S_IFMT,
            meta: Mutex::new(meta),
            content,
            me: me.clone(),
        })
    }

    fn dir_content(parent: Weak<TmpNode>) -> Content {
        let entries = Entries {
            next_cookie: 3,
            ..Entries::default()
        };
        Content::Dir {
            entries: Mutex::new(entries),
            parent: Mutex::new(parent),
        }
    }

    fn entries(&self) -> Result<&Mutex<level::Inode, Entries>, Errno> {
        match &self.content {
            Content::Dir { entries, .. } => Ok(entries),
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn touch(&self) {
        let now = stamp();
        let mut meta = self.meta.lock();
        meta.mtime = now;
        meta.ctime = now;
    }

    /// Needs write and search permission here (path_resolution(7)).
    fn may_change(&self, caller: &Caller) -> Result<(), Errno> {
        check_access(&self.stat()?, 3, caller)
    }

    fn insert(&self, name: &[u8], child: Arc<TmpNode>) -> Result<(), Errno> {
        if name.len() > NAME_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        {
            let mut entries = self.entries()?.lock();
            if entries.is_dead {
                return Err(Errno::ENOENT);
            }
            if entries.names.contains_key(name) {
                return Err(Errno::EEXIST);
            }
            let cookie = entries.next_cookie;
            entries.next_cookie += 1;
            entries.names.insert(name.to_vec(), (cookie, child.clone()));
        }
        if child.kind == S_IFDIR {
            self.meta.lock().nlink += 1;
            child.set_parent(self.me.clone());
        }
        self.touch();
        Ok(())
    }

    fn set_parent(&self, parent: Weak<TmpNode>) {
        if let Content::Dir { parent: slot, .. } = &self.content {
            *slot.lock() = parent;
        }
    }

    fn add(
        &self,
        name: &[u8],
        mode: u32,
        caller: &Caller,
        content: Content,
    ) -> Result<Arc<TmpNode>, Errno> {
        self.may_change(caller)?;
        let child = TmpNode::new(&self.fs, mode, caller, content);
        {
            // A set-group-ID directory passes its group on (inode(7)).
            let meta = self.meta.lock();
            if meta.mode & S_ISGID != 0 {
                let (gid, is_dir) = (meta.gid, child.kind == S_IFDIR);
                drop(meta);
                let mut own = child.meta.lock();
                own.gid = gid;
                if is_dir {
                    own.mode |= S_ISGID;
                }
            }
        }
        self.insert(name, child.clone())?;
        Ok(child)
    }

    fn get(&self, name: &[u8]) -> Result<Arc<TmpNode>, Errno> {
        let entries = self.entries()?.lock();
        entries
            .names
            .get(name)
            .map(|(_, node)| node.clone())
            .ok_or(Errno::ENOENT)
    }

    fn is_empty(&self) -> bool {
        self.entries()
            .is_ok_and(|entries| entries.lock().names.is_empty())
    }

    /// Takes a name out; the node loses a link.
    fn remove(&self, name: &[u8]) -> Result<(), Errno> {
        let removed = self.entries()?.lock().names.remove(name);
        let Some((_, node)) = removed else {
            return Err(Errno::ENOENT);
        };
        let is_dir = node.kind == S_IFDIR;
        {
            let mut meta = node.meta.lock();
            meta.nlink = meta.nlink.saturating_sub(if is_dir { 2 } else { 1 });
            meta.ctime = stamp();
        }
        if is_dir {
            node.entries()?.lock().is_dead = true;
            let mut meta = self.meta.lock();
            meta.nlink = meta.nlink.saturating_sub(1);
        }
        self.touch();
        Ok(())
    }

    /// The memfd, made now if there was none.
    fn memory(&self) -> Result<&Arc<HostFd>, Errno> {
        let Content::File(slot) = &self.content else {
            return Err(Errno::EINVAL);
        };
        if let Some(fd) = slot.get() {
            return Ok(fd);
        }
        let charge = self.fs.host.charge()?;
        let fd = HostFd::new(sys::memfd(c"rivix-tmpfs", 0)?, charge);
        Ok(slot.get_or_init(|| fd))
    }

    fn existing_memory(&self) -> Option<&Arc<HostFd>> {
        match &self.content {
            Content::File(slot) => slot.get(),
            _ => None,
        }
    }

    /// Is `self` at or below `other`?
    fn is_below(&self, other: &TmpNode) -> bool {
        let mut at = self.me.upgrade();
        while let Some(node) = at {
            if std::ptr::eq(&*node, other) {
                return true;
            }
            at = match &node.content {
                Content::Dir { parent, .. } => parent.lock().upgrade(),
                _ => None,
            };
        }
        false
    }
}

fn as_tmp(node: &NodeRef) -> Option<&TmpNode> {
    (&**node as &dyn Any).downcast_ref()
}

impl Node for TmpNode {
    fn kind(&self) -> u32 {
        self.kind
    }

    fn stat(&self) -> Result<Stat, Errno> {
        let meta = self.meta.lock().clone();
        let mut stat = Stat {
            dev: self.fs.dev,
            ino: self.ino,
            mode: meta.mode,
            nlink: meta.nlink,
            uid: meta.uid,
            gid: meta.gid,
            blksize: 4096,
            atime: meta.atime.0,
            atime_nsec: meta.atime.1,
            mtime: meta.mtime.0,
            mtime_nsec: meta.mtime.1,
            ctime: meta.ctime.0,
            ctime_nsec: meta.ctime.1,
            ..Stat::default()
        };
        match &self.content {
            Content::Dir { entries, .. } => {
                stat.size = 40 + 20 * entries.lock().names.len() as i64;
            }
            Content::Symlink(target) => stat.size = target.len() as i64,
            Content::File(_) => {
                if let Some(fd) = self.existing_memory() {
                    let host = sys::fstat(fd.as_fd())?;
                    stat.size = host.size;
                    stat.blocks = host.blocks;
                }
            }
            Content::Fifo | Content::Socket => {}
        }
        Ok(stat)
    }

    fn statfs(&self) -> Result<Statfs, Errno> {
        Ok(pseudo_statfs(TMPFS_MAGIC))
    }

    fn lookup(&self, name: &[u8], caller: &Caller) -> Result<NodeRef, Errno> {
        self.entries()?;
        check_access(&self.stat()?, 1, caller)?;
        Ok(self.get(name)?)
    }

    fn parent(&self) -> Result<Option<NodeRef>, Errno> {
        match &self.content {
            Content::Dir { parent, .. } => Ok(parent.lock().upgrade().map(|node| node as NodeRef)),
            _ => Ok(None),
        }
    }

    fn readlink(&self, _: &Caller) -> Result<Vec<u8>, Errno> {
        match &self.content {
            Content::Symlink(target) => Ok(target.clone()),
            _ => Err(Errno::EINVAL),
        }
    }

    fn open(self: Arc<Self>, flags: u32, caller: &Caller) -> Result<Box<dyn FileOps>, Errno> {
        crate::lookup::check_open_mode(&*self, flags, caller)?;
        match &self.content {
            Content::Dir { .. } => Ok(Box::new(TmpDir { node: self })),
            Content::File(_) => {
                let file = TmpFile {
                    node: self,
                    label: None,
                };
                if flags & O_TRUNC != 0 {
                    file.truncate(0)?;
                }
                Ok(Box::new(file))
            }
            Content::Fifo => self.fs.host.fifos.open((self.fs.dev, self.ino), flags),
            Content::Socket => Err(Errno::ENXIO),
            Content::Symlink(_) => Err(Errno::ELOOP),
        }
    }

    fn create(&self, name: &[u8], _: u32, mode: u32, caller: &Caller) -> Result<Created, Errno> {
        let content = Content::File(OnceLock::new());
        let node = self.add(name, S_IFREG | mode & 0o7777, caller, content)?;
        let ops = Box::new(TmpFile {
            node: node.clone(),
            label: None,
        });
        Ok(Created { node, ops })
    }

    fn create_unnamed(&self, _: u32, mode: u32, caller: &Caller) -> Result<Created, Errno> {
        self.may_change(caller)?;
        let content = Content::File(OnceLock::new());
        let node = TmpNode::new(&self.fs, S_IFREG | mode & 0o7777, caller, content);
        node.meta.lock().nlink = 0;
        let ops = Box::new(TmpFile {
            node: node.clone(),
            label: None,
        });
        Ok(Created { node, ops })
    }

    fn mkdir(&self, name: &[u8], mode: u32, caller: &Caller) -> Result<(), Errno> {
        let content = TmpNode::dir_content(self.me.clone());
        self.add(name, S_IFDIR | mode & 0o1777, caller, content)
            .map(drop)
    }

    fn mknod(&self, name: &[u8], mode: u32, _: u64, caller: &Caller) -> Result<(), Errno> {
        let content = match mode & S_IFMT {
            S_IFREG => Content::File(OnceLock::new()),
            S_IFIFO => Content::Fifo,
            S_IFSOCK => Content::Socket,
            S_IFCHR | S_IFBLK => return Err(Errno::EPERM),
            _ => return Err(Errno::EINVAL),
        };
        self.add(name, mode & (S_IFMT | 0o7777), caller, content)
            .map(drop)
    }

    fn symlink(&self, name: &[u8], target: &[u8], caller: &Caller) -> Result<(), Errno> {
        self.add(
            name,
            S_IFLNK | 0o777,
            caller,
            Content::Symlink(target.to_vec()),
        )
        .map(drop)
    }

    fn link(&self, name: &[u8], target: &NodeRef) -> Result<(), Errno> {
        let target = as_tmp(target)
            .and_then(|node| node.me.upgrade())
            .ok_or(Errno::EXDEV)?;
        if !Arc::ptr_eq(&target.fs, &self.fs) {
            return Err(Errno::EXDEV);
        }
        self.insert(name, target.clone())?;
        let mut meta = target.meta.lock();
        meta.nlink += 1;
        meta.ctime = stamp();
        Ok(())
    }

    fn unlink(&self, name: &[u8], is_rmdir: bool) -> Result<(), Errno> {
        let _turn = self.fs.changes.lock();
        let node = self.get(name)?;
        match (node.kind == S_IFDIR, is_rmdir) {
            (true, false) => return Err(Errno::EISDIR),
            (false, true) => return Err(Errno::ENOTDIR),
            (true, true) if !node.is_empty() => return Err(Errno::ENOTEMPTY),
            _ => {}
        }
        self.remove(name)
    }

    fn rename(
        &self,
        name: &[u8],
        new_parent: &NodeRef,
        new_name: &[u8],
        flags: u32,
    ) -> Result<(), Errno> {
        let to = as_tmp(new_parent).ok_or(Errno::EXDEV)?;
        if !Arc::ptr_eq(&to.fs, &self.fs) {
            return Err(Errno::EXDEV);
        }
        if new_name.len() > NAME_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let _turn = self.fs.changes.lock();
        let node = self.get(name)?;
        let there = to.get(new_name).ok();
        if node.kind == S_IFDIR && to.is_below(&node) {
            return Err(Errno::EINVAL);
        }
        if flags & RENAME_EXCHANGE != 0 {
            let there = there.ok_or(Errno::ENOENT)?;
            if there.kind == S_IFDIR && self.is_below(&there) {
                return Err(Errno::EINVAL);
            }
            self.replace(name, &there)?;
            return to.replace(new_name, &node);
        }
        if let Some(there) = &there {
            if flags & RENAME_NOREPLACE != 0 {
                return Err(Errno::EEXIST);
            }
            // Two names of one file: nothing happens (rename(2)).
            if Arc::ptr_eq(there, &node) {
                return Ok(());
            }
            match (node.kind == S_IFDIR, there.kind == S_IFDIR) {
                (true, false) => return Err(Errno::ENOTDIR),
                (false, true) => return Err(Errno::EISDIR),
                (true, true) if !there.is_empty() => return Err(Errno::ENOTEMPTY),
                _ => {}
            }
            to.remove(new_name)?;
        }
        let removed = self.entries()?.lock().names.remove(name);
        let Some((_, node)) = removed else {
            return Err(Errno::ENOENT);
        };
        if node.kind == S_IFDIR {
            let mut meta = self.meta.lock();
            meta.nlink = meta.nlink.saturating_sub(1);
        }
        self.touch();
        node.meta.lock().ctime = stamp();
        to.insert(new_name, node)
    }

    fn set_mode(&self, mode: u32) -> Result<(), Errno> {
        let mut meta = self.meta.lock();
        meta.mode = (meta.mode & S_IFMT) | (mode & 0o7777);
        meta.ctime = stamp();
        Ok(())
    }

    fn set_owner(&self, uid: u32, gid: u32) -> Result<(), Errno> {
        let mut meta = self.meta.lock();
        if uid != u32::MAX {
            meta.uid = uid;
        }
        if gid != u32::MAX {
            meta.gid = gid;
        }
        if self.kind == S_IFREG {
            meta.mode &= !(S_ISUID | S_ISGID);
        }
        meta.ctime = stamp();
        Ok(())
    }

    fn set_times(&self, times: &NewTimes) -> Result<(), Errno> {
        let now = stamp();
        let value = |change| match change {
            TimeChange::Now => now,
            TimeChange::To(sec, nsec) => (sec, nsec as u64),
        };
        let mut meta = self.meta.lock();
        if let Some(change) = times.atime {
            meta.atime = value(change);
        }
        if let Some(change) = times.mtime {
            meta.mtime = value(change);
        }
        meta.ctime = now;
        Ok(())
    }

    fn truncate(&self, length: u64) -> Result<(), Errno> {
        sys::ftruncate(self.memory()?.as_fd(), length)?;
        rivix_mem::note_truncate((self.fs.dev, self.ino), length);
        self.touch();
        Ok(())
    }

    fn get_xattr(&self, name: &[u8], _: usize) -> Result<Vec<u8>, Errno> {
        self.meta
            .lock()
            .xattrs
            .get(name)
            .cloned()
            .ok_or(Errno::ENODATA)
    }

    fn set_xattr(&self, name: &[u8], value: &[u8], flags: u32) -> Result<(), Errno> {
        let known = [&b"user."[..], b"trusted.", b"security."];
        if !known.iter().any(|prefix| name.starts_with(prefix)) {
            return Err(Errno::EOPNOTSUPP);
        }
        let mut meta = self.meta.lock();
        let exists = meta.xattrs.contains_key(name);
        match flags {
            1 if exists => return Err(Errno::EEXIST),
            2 if !exists => return Err(Errno::ENODATA),
            _ => {}
        }
        // What one file may hold; ext4's bound is similar.
        if meta.xattrs.len() >= 256 && !exists {
            return Err(Errno::ENOSPC);
        }
        meta.xattrs.insert(name.to_vec(), value.to_vec());
        Ok(())
    }

    fn list_xattr(&self) -> Result<Vec<u8>, Errno> {
        let meta = self.meta.lock();
        Ok(meta
            .xattrs
            .keys()
            .flat_map(|name| name.iter().copied().chain([0]))
            .collect())
    }

    fn remove_xattr(&self, name: &[u8]) -> Result<(), Errno> {
        self.meta
            .lock()
            .xattrs
            .remove(name)
            .map(drop)
            .ok_or(Errno::ENODATA)
    }

    fn is_unlinked(&self) -> bool {
        self.meta.lock().nlink == 0
    }
}

impl TmpNode {
    /// Puts `node` where another was; for exchanges, so link counts stay.
    fn replace(&self, name: &[u8], node: &Arc<TmpNode>) -> Result<(), Errno> {
        let old = {
            let mut entries = self.entries()?.lock();
            let slot = entries.names.get_mut(name).ok_or(Errno::ENOENT)?;
            std::mem::replace(&mut slot.1, node.clone())
        };
        let (was_dir, is_dir) = (old.kind == S_IFDIR, node.kind == S_IFDIR);
        {
            let mut meta = self.meta.lock();
            meta.nlink = (meta.nlink + u32::from(is_dir)).saturating_sub(u32::from(was_dir));
        }
        node.set_parent(self.me.clone());
        self.touch();
        Ok(())
    }
}

struct TmpDir {
    node: Arc<TmpNode>,
}

impl FileOps for TmpDir {
    fn read(&self, _: &File, _: &mut dyn Sink, _: Option<u64>) -> Result<usize, Errno> {
        Err(Errno::EISDIR)
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn seek(&self, file: &File, to: SeekFrom) -> Result<u64, Errno> {
        crate::pseudo::seek_within(file, to, 0)
    }

    fn readdir(
        &self,
        file: &File,
        emit: &mut dyn FnMut(&DirEntry<'_>) -> bool,
    ) -> Result<(), Errno> {
        let mut offset = file.offset();
        let parent = self.node.parent()?.map_or(self.node.ino, |parent| {
            parent.stat().map_or(self.node.ino, |stat| stat.ino)
        });
        for (at, name, ino) in [(0, &b"."[..], self.node.ino), (1, b"..", parent)] {
            if *offset == at {
                if !emit(&DirEntry {
                    ino,
                    next: at + 1,
                    kind: DT_DIR,
                    name,
                }) {
                    return Ok(());
                }
                *offset = at + 1;
            }
        }
        // By cookie, so that names which come and go move no others.
        let mut list: Vec<(u64, Vec<u8>, u64, u8)> = {
            let entries = self.node.entries()?.lock();
            let names = entries
                .names
                .iter()
                .filter(|(_, (cookie, _))| *cookie > *offset);
            names
                .map(|(name, (cookie, node))| {
                    (*cookie, name.clone(), node.ino, dirent_kind(node.kind))
                })
                .collect()
        };
        list.sort_unstable_by_key(|entry| entry.0);
        for (cookie, name, ino, kind) in &list {
            if !emit(&DirEntry {
                ino: *ino,
                next: *cookie,
                kind: *kind,
                name,
            }) {
                break;
            }
            *offset = *cookie;
        }
        Ok(())
    }

    fn sync(&self, _: bool) -> Result<(), Errno> {
        Ok(())
    }
}

/// An open regular file.
struct TmpFile {
    node: Arc<TmpNode>,
    label: Option<Vec<u8>>,
}

impl TmpFile {
    fn size(&self) -> Result<u64, Errno> {
        match self.node.existing_memory() {
            Some(fd) => Ok(sys::fstat(fd.as_fd())?.size as u64),
            None => Ok(0),
        }
    }

    fn write_at(&self, source: &mut dyn Source, at: u64) -> Result<usize, Errno> {
        if source.remaining() == 0 {
            return Ok(0);
        }
        let n = crate::host::write_bounced(self.node.memory()?.as_fd(), source, at)?;
        self.node.touch();
        Ok(n)
    }
}

impl FileOps for TmpFile {
    fn read(&self, file: &File, sink: &mut dyn Sink, at: Option<u64>) -> Result<usize, Errno> {
        let mut offset = file.offset();
        let from = at.unwrap_or(*offset);
        let Some(fd) = self.node.existing_memory() else {
            return Ok(0);
        };
        let n = crate::host::read_bounced(fd.as_fd(), sink, from)?;
        if at.is_none() {
            *offset += n as u64;
        }
        self.node.meta.lock().atime = stamp();
        Ok(n)
    }

    fn write(&self, file: &File, source: &mut dyn Source, at: Option<u64>) -> Result<usize, Errno> {
        let mut offset = file.offset();
        let to = match at {
            _ if file.is_append() => self.size()?,
            Some(at) => at,
            None => *offset,
        };
        let n = self.write_at(source, to)?;
        if at.is_none() {
            *offset = to + n as u64;
        }
        Ok(n)
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn seek(&self, file: &File, to: SeekFrom) -> Result<u64, Errno> {
        let whence = match to {
            SeekFrom::Data(at) => (at, libc::SEEK_DATA),
            SeekFrom::Hole(at) => (at, libc::SEEK_HOLE),
            other => return crate::pseudo::seek_within(file, other, self.size()?),
        };
        let at = sys::lseek(self.node.memory()?.as_fd(), whence.0, whence.1)?;
        *file.offset() = at;
        Ok(at)
    }

    fn map_source(&self, file: &File) -> Result<Arc<dyn MapSource>, Errno> {
        let path = match &self.label {
            Some(label) => label.clone(),
            None => file.place().path.to_vec(),
        };
        Ok(Arc::new(crate::host::HostMap::new(
            self.node.memory()?.clone(),
            path,
            (self.node.fs.dev, self.node.ino),
            file,
        )))
    }

    fn truncate(&self, length: u64) -> Result<(), Errno> {
        if length == 0 && self.node.existing_memory().is_none() {
            return Ok(());
        }
        self.node.truncate(length)
    }

    fn allocate(&self, mode: u32, offset: u64, len: u64) -> Result<(), Errno> {
        sys::fallocate(self.node.memory()?.as_fd(), mode, offset, len)?;
        self.node.touch();
        Ok(())
    }

    fn sync(&self, _: bool) -> Result<(), Errno> {
        Ok(())
    }

    fn fcntl(&self, _: &File, command: u32, arg: u64) -> Result<u64, Errno> {
        use rivix_abi::fcntl::{F_ADD_SEALS, F_GET_SEALS};
        match command {
            // The memfd's own seals are the file's; other tmpfs files have F_SEAL_SEAL.
            F_ADD_SEALS | F_GET_SEALS => {
                sys::fcntl(self.node.memory()?.as_fd(), command as i32, arg)
            }
            _ => Err(Errno::EINVAL),
        }
    }
}

/// A memfd's node: a tmpfs file that /proc names after its creator's wish.
struct MemfdNode {
    inner: Arc<TmpNode>,
    label: Vec<u8>,
}

impl Node for MemfdNode {
    fn kind(&self) -> u32 {
        S_IFREG
    }

    fn stat(&self) -> Result<Stat, Errno> {
        self.inner.stat()
    }

    fn statfs(&self) -> Result<Statfs, Errno> {
        self.inner.statfs()
    }

    fn open(self: Arc<Self>, flags: u32, caller: &Caller) -> Result<Box<dyn FileOps>, Errno> {
        self.inner.clone().open(flags, caller)
    }

    fn set_mode(&self, mode: u32) -> Result<(), Errno> {
        self.inner.set_mode(mode)
    }

    fn set_owner(&self, uid: u32, gid: u32) -> Result<(), Errno> {
        self.inner.set_owner(uid, gid)
    }

    fn set_times(&self, times: &NewTimes) -> Result<(), Errno> {
        self.inner.set_times(times)
    }

    fn truncate(&self, length: u64) -> Result<(), Errno> {
        self.inner.truncate(length)
    }

    fn label(&self) -> Option<Vec<u8>> {
        Some(self.label.clone())
    }
}
