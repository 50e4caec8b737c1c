//! Open file descriptions and what they can do.

use crate::{NodeRef, Place, Sink, Source};
use rivix_abi::fcntl::{
    O_ACCMODE, O_APPEND, O_CLOEXEC, O_CREAT, O_EXCL, O_NOCTTY, O_NONBLOCK, O_PATH, O_RDONLY,
    O_TRUNC, O_WRONLY, SETFL_MASK,
};
use rivix_abi::poll::{POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM};
use rivix_abi::stat::Stat;
use rivix_abi::statfs::Statfs;
use rivix_abi::{Errno, UserAddress};
use rivix_mem::{AddressSpace, MapSource};
use rivix_sync::{Mutex, MutexGuard, WaitQueue, level};
use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

/// lseek(2)'s whence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeekFrom {
    Start(i64),
    Current(i64),
    End(i64),
    Data(i64),
    Hole(i64),
}

/// One directory entry on its way to getdents64(2).
pub struct DirEntry<'a> {
    pub ino: u64,
    /// lseek cookie of the entry after this one.
    pub next: u64,
    pub kind: u8,
    pub name: &'a [u8],
}

/// What an open file can do. No method blocks: what is not ready is EAGAIN, and
/// `wait_queue` tells when to try again. EINTR: the caller's kick ended a host call.
pub trait FileOps: Any + Send + Sync {
    /// Reads at `at`, or at (and moving) the file's offset.
    fn read(&self, file: &File, sink: &mut dyn Sink, at: Option<u64>) -> Result<usize, Errno> {
        let _ = (file, sink, at);
        Err(Errno::EINVAL)
    }

    /// Writes at `at`, or at (and moving) the file's offset.
    fn write(&self, file: &File, source: &mut dyn Source, at: Option<u64>) -> Result<usize, Errno> {
        let _ = (file, source, at);
        Err(Errno::EINVAL)
    }

    /// Has an offset: pread and lseek work (else ESPIPE).
    fn is_seekable(&self) -> bool {
        false
    }

    fn seek(&self, file: &File, to: SeekFrom) -> Result<u64, Errno> {
        let _ = (file, to);
        Err(Errno::ESPIPE)
    }

    /// Gives entries from the file's offset on until `emit` says false; moves the offset.
    fn readdir(
        &self,
        file: &File,
        emit: &mut dyn FnMut(&DirEntry<'_>) -> bool,
    ) -> Result<(), Errno> {
        let _ = (file, emit);
        Err(Errno::ENOTDIR)
    }

    /// Requests common to all files are answered before this is called.
    fn ioctl(
        &self,
        file: &File,
        request: u32,
        arg: UserAddress,
        mm: &AddressSpace,
    ) -> Result<u64, Errno> {
        let _ = (file, request, arg, mm);
        Err(Errno::ENOTTY)
    }

    /// Events that are true now. Files that are always ready keep this.
    fn poll(&self, file: &File) -> u32 {
        let _ = file;
        POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM
    }

    /// Who tells of changes of `poll`; None: never changes.
    fn wait_queue(&self) -> Option<&WaitQueue> {
        None
    }

    /// May be watched by epoll (EPERM otherwise: regular files and directories).
    fn is_pollable(&self) -> bool {
        self.wait_queue().is_some()
    }

    /// A blocking write goes on until everything is written (pipes, stream sockets).
    fn writes_fully(&self) -> bool {
        false
    }

    fn map_source(&self, file: &File) -> Result<Arc<dyn MapSource>, Errno> {
        let _ = file;
        Err(Errno::ENODEV)
    }

    fn truncate(&self, length: u64) -> Result<(), Errno> {
        let _ = length;
        Err(Errno::EINVAL)
    }

    /// Do `sync`, `sync_fs` and `allocate` wait for a disk, without heed of signals?
    fn waits_for_disk(&self) -> bool {
        false
    }

    fn allocate(&self, mode: u32, offset: u64, len: u64) -> Result<(), Errno> {
        let _ = (mode, offset, len);
        Err(Errno::ENODEV)
    }

    fn sync(&self, data_only: bool) -> Result<(), Errno> {
        let _ = data_only;
        Err(Errno::EINVAL)
    }

    /// posix_fadvise(2).
    fn advise(&self, at: i64, len: i64, advice: i32) -> Result<(), Errno> {
        let _ = (at, len, advice);
        Ok(())
    }

    /// syncfs(2).
    fn sync_fs(&self) -> Result<(), Errno> {
        Ok(())
    }

    /// F_SETPIPE_SZ, F_GETPIPE_SZ, seals.
    fn fcntl(&self, file: &File, command: u32, arg: u64) -> Result<u64, Errno> {
        let _ = (file, command, arg);
        Err(Errno::EINVAL)
    }

    /// May F_SETFL turn O_DIRECT on?
    fn flags_changed(&self, file: &File, flags: u32) -> Result<(), Errno> {
        let _ = (file, flags);
        Ok(())
    }

    /// Lines of /proc/PID/fdinfo beyond the common ones.
    fn fdinfo(&self, file: &File, out: &mut String) {
        let _ = (file, out);
    }

    /// The second half of open(2), for what must wait for a peer: EAGAIN until then.
    fn finish_open(&self, file: &File) -> Result<(), Errno> {
        let _ = file;
        Ok(())
    }

    /// One descriptor number of this file was closed (not necessarily the last).
    fn flush(&self) {}
}

/// An open file description: what open(2) makes and dup(2) shares.
pub struct File {
    ops: Box<dyn FileOps>,
    flags: AtomicU32,
    offset: Mutex<level::OpenFile, u64>,
    place: Place,
    id: u64,
    /// F_SETOWN: positive a process, negative a group.
    owner: AtomicI32,
    owner_signal: AtomicI32,
    /// Locks may exist whose end this file's closing is.
    pub(crate) locked: std::sync::atomic::AtomicBool,
}

impl File {
    /// `flags` are open(2)'s; creation flags are dropped.
    pub fn new(ops: Box<dyn FileOps>, flags: u32, place: Place) -> Arc<File> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let creation = O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC;
        Arc::new(File {
            ops,
            flags: AtomicU32::new(flags & !creation),
            offset: Mutex::new(0),
            place,
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            owner: AtomicI32::new(0),
            owner_signal: AtomicI32::new(0),
            locked: false.into(),
        })
    }

    pub fn ops(&self) -> &dyn FileOps {
        &*self.ops
    }

    /// The operations as one concrete kind.
    pub fn downcast<T: FileOps>(&self) -> Option<&T> {
        (&*self.ops as &dyn Any).downcast_ref()
    }

    /// Unique among all files of the host process.
    pub fn id(&self) -> u64 {
        self.id
    }

    pub fn place(&self) -> &Place {
        &self.place
    }

    pub fn node(&self) -> &NodeRef {
        &self.place.node
    }

    /// Access mode and status flags as F_GETFL gives them.
    pub fn flags(&self) -> u32 {
        self.flags.load(Ordering::Relaxed)
    }

    /// Sets status flags that open(2) would take for creation flags, and
    /// F_SETFL leaves alone: PIDFD_THREAD is O_EXCL's bit.
    pub fn raise_flags(&self, flags: u32) {
        self.flags.fetch_or(flags, Ordering::Relaxed);
    }

    /// F_SETFL.
    pub fn set_flags(&self, flags: u32) -> Result<(), Errno> {
        let new = (self.flags() & !SETFL_MASK) | (flags & SETFL_MASK);
        self.ops.flags_changed(self, new)?;
        self.flags.store(new, Ordering::Relaxed);
        Ok(())
    }

    pub fn is_nonblocking(&self) -> bool {
        self.flags() & O_NONBLOCK != 0
    }

    pub fn is_append(&self) -> bool {
        self.flags() & O_APPEND != 0
    }

    pub fn is_path(&self) -> bool {
        self.flags() & O_PATH != 0
    }

    pub fn can_read(&self) -> bool {
        !self.is_path() && self.flags() & O_ACCMODE != O_WRONLY
    }

    pub fn can_write(&self) -> bool {
        !self.is_path() && self.flags() & O_ACCMODE != O_RDONLY
    }

    /// The offset, locked: readers and writers of one description take turns.
    pub fn offset(&self) -> MutexGuard<'_, level::OpenFile, u64> {
        self.offset.lock()
    }

    pub fn owner(&self) -> i32 {
        self.owner.load(Ordering::Relaxed)
    }

    pub fn set_owner(&self, owner: i32) {
        self.owner.store(owner, Ordering::Relaxed);
    }

    pub fn owner_signal(&self) -> i32 {
        self.owner_signal.load(Ordering::Relaxed)
    }

    pub fn set_owner_signal(&self, signal: i32) {
        self.owner_signal.store(signal, Ordering::Relaxed);
    }

    /// read(2) and relatives: EBADF unless open for reading.
    pub fn read(&self, sink: &mut dyn Sink, at: Option<u64>) -> Result<usize, Errno> {
        if !self.can_read() {
            return Err(Errno::EBADF);
        }
        if at.is_some() && !self.ops.is_seekable() {
            return Err(Errno::ESPIPE);
        }
        self.ops.read(self, sink, at)
    }

    /// write(2) and relatives: EBADF unless open for writing.
    pub fn write(&self, source: &mut dyn Source, at: Option<u64>) -> Result<usize, Errno> {
        if !self.can_write() {
            return Err(Errno::EBADF);
        }
        if at.is_some() && !self.ops.is_seekable() {
            return Err(Errno::ESPIPE);
        }
        self.ops.write(self, source, at)
    }

    /// Reads into a kernel buffer at `at`, as the loader does; short only at the end.
    pub fn read_at(&self, buf: &mut [u8], at: u64) -> Result<usize, Errno> {
        let mut sink = crate::VecSink::new(buf.len());
        let n = self.ops.read(self, &mut sink, Some(at))?;
        buf[..n].copy_from_slice(&sink.bytes[..n]);
        Ok(n)
    }

    pub fn stat(&self) -> Result<Stat, Errno> {
        self.place.node.stat()
    }

    pub fn statfs(&self) -> Result<Statfs, Errno> {
        self.place.node.statfs()
    }

    pub fn seek(&self, to: SeekFrom) -> Result<u64, Errno> {
        if self.is_path() {
            return Err(Errno::EBADF);
        }
        self.ops.seek(self, to)
    }

    pub fn poll(&self) -> u32 {
        self.ops.poll(self)
    }

    pub fn wait_queue(&self) -> Option<&WaitQueue> {
        self.ops.wait_queue()
    }

    pub fn map_source(&self) -> Result<Arc<dyn MapSource>, Errno> {
        if !self.can_read() {
            return Err(Errno::EACCES);
        }
        self.ops.map_source(self)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        crate::locks::dropped(self);
    }
}

/// An O_PATH file: a place without operations.
pub struct PathOps;

impl FileOps for PathOps {
    fn read(&self, _: &File, _: &mut dyn Sink, _: Option<u64>) -> Result<usize, Errno> {
        Err(Errno::EBADF)
    }

    fn write(&self, _: &File, _: &mut dyn Source, _: Option<u64>) -> Result<usize, Errno> {
        Err(Errno::EBADF)
    }

    fn seek(&self, _: &File, _: SeekFrom) -> Result<u64, Errno> {
        Err(Errno::EBADF)
    }
}
