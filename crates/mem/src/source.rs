//! What can be mapped besides plain memory, and what happens when it shrinks.

use crate::AddressSpace;
use rivix_abi::Errno;
use rivix_sync::{StaticMutex, level};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::{Arc, Weak};

/// A file that can be mapped. One object per open file description, if possible:
/// neighbouring mappings of one object are shown as one.
pub trait MapSource: Send + Sync {
    /// The host file behind it.
    fn host_fd(&self) -> BorrowedFd<'_>;
    /// As /proc/self/maps shows it.
    fn path(&self) -> Vec<u8>;
    /// The guest's view of device and inode.
    fn dev_ino(&self) -> (u64, u64);
    /// Open for reading.
    fn may_read(&self) -> bool;
    /// Open for writing.
    fn may_write(&self) -> bool;
    /// Not on a mount with `noexec`.
    fn may_exec(&self) -> bool;
}

/// The device that memfds of the host lie on: an internal file system, 0:1.
pub(crate) const MEMFD_DEV: u64 = 1;

/// The memory behind one MAP_SHARED|MAP_ANONYMOUS mapping.
pub(crate) struct SharedMemory {
    fd: OwnedFd,
    inode: u64,
}

impl SharedMemory {
    pub(crate) fn create(len: u64) -> Result<Arc<dyn MapSource>, Errno> {
        let len = libc::off_t::try_from(len).map_err(|_| Errno::ENOMEM)?;
        // SAFETY: a NUL-terminated constant name; the new descriptor is owned at once.
        let fd = unsafe {
            let fd = libc::memfd_create(c"rivix-shared".as_ptr(), libc::MFD_CLOEXEC);
            if fd < 0 {
                // No descriptor left is a shortage of memory to the guest.
                return Err(Errno::ENOMEM);
            }
            OwnedFd::from_raw_fd(fd)
        };
        // SAFETY: plain calls on a descriptor we own; `stat` is written by the host.
        let inode = unsafe {
            if libc::ftruncate(fd.as_raw_fd(), len) != 0 {
                return Err(Errno::ENOMEM);
            }
            let mut stat: libc::stat = std::mem::zeroed();
            if libc::fstat(fd.as_raw_fd(), &raw mut stat) != 0 {
                return Err(Errno::last_host());
            }
            stat.st_ino
        };
        Ok(Arc::new(SharedMemory { fd, inode }))
    }
}

impl MapSource for SharedMemory {
    fn host_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    fn path(&self) -> Vec<u8> {
        b"/dev/zero (deleted)".to_vec()
    }

    fn dev_ino(&self) -> (u64, u64) {
        (MEMFD_DEV, self.inode)
    }

    fn may_read(&self) -> bool {
        true
    }

    fn may_write(&self) -> bool {
        true
    }

    fn may_exec(&self) -> bool {
        true
    }
}

static SPACES: StaticMutex<level::Spaces, Vec<Weak<AddressSpace>>> = StaticMutex::new(Vec::new());

pub(crate) fn register(space: &Arc<AddressSpace>) {
    let mut spaces = SPACES.lock();
    if spaces.len() == spaces.capacity() {
        spaces.retain(|s| s.strong_count() > 0);
    }
    spaces.push(Arc::downgrade(space));
}

/// To be called after the file `dev_ino` became `len` bytes long: translations
/// of code past the new end are dropped. (The host itself makes accesses there
/// raise SIGBUS.)
pub fn note_truncate(dev_ino: (u64, u64), len: u64) {
    let spaces: Vec<Arc<AddressSpace>> = SPACES.lock().iter().filter_map(Weak::upgrade).collect();
    for space in spaces {
        space.file_truncated(dev_ino, len);
    }
}
