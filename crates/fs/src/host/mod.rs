//! Host objects behind guest files: directories that are mounts, regular files in
//! them, and the descriptors a guest inherits (terminals, pipes).

mod console;
mod file;
mod node;
mod stream;
pub(crate) mod sys;

pub use console::Unwritten;
pub(crate) use file::{HostMap, read_bounced, write_bounced};
pub use node::HostNode;
pub use stream::{HostStream, Stream};

use crate::mount::Namespace;
use crate::pipe::FifoTable;
use crate::reactor::Watcher;
use crate::tty::Ptys;
use crate::{File, FileOps, Place};
use rivix_abi::Errno;
use rivix_abi::fcntl::{O_ACCMODE, O_APPEND, O_LARGEFILE, O_NONBLOCK};
use rivix_abi::stat::{S_IFDIR, S_IFREG};
use rivix_abi::statfs::{
    BPF_FS_MAGIC, DEBUGFS_MAGIC, PROC_SUPER_MAGIC, SECURITYFS_MAGIC, SYSFS_MAGIC, TRACEFS_MAGIC,
};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// What all files of a namespace share: the budget of host descriptors, the
/// reactor that watches some of them, the terminals, and the named FIFOs.
pub struct HostShared {
    used: AtomicUsize,
    limit: usize,
    pub(crate) watcher: Watcher,
    pub(crate) consoles: console::Consoles,
    pub(crate) fifos: FifoTable,
    /// The sockets of the sandbox.
    pub unix: std::sync::Arc<crate::unix::UnixNet>,
    pub(crate) ptys: Arc<Ptys>,
    /// Mount points, for directory listings.
    pub(crate) mount_paths: OnceLock<Vec<Arc<[u8]>>>,
}

impl HostShared {
    pub(crate) fn new(limit: usize) -> Arc<HostShared> {
        Arc::new(HostShared {
            used: AtomicUsize::new(0),
            limit,
            watcher: Watcher::default(),
            consoles: console::Consoles::default(),
            fifos: FifoTable::default(),
            unix: crate::unix::UnixNet::new(),
            ptys: Arc::default(),
            mount_paths: OnceLock::new(),
        })
    }

    /// Pays for one host descriptor before it is opened: ENFILE when the budget is spent.
    pub(crate) fn charge(self: &Arc<Self>) -> Result<Charge, Errno> {
        let taken = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                (used < self.limit).then_some(used + 1)
            });
        taken
            .map(|_| Charge(self.clone()))
            .map_err(|_| Errno::ENFILE)
    }

    /// Host descriptors held now.
    pub fn host_fds(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

/// One paid host descriptor.
pub(crate) struct Charge(Arc<HostShared>);

impl Drop for Charge {
    fn drop(&mut self) {
        self.0.used.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A charged host descriptor.
pub struct HostFd {
    fd: OwnedFd,
    charge: Charge,
}

impl HostFd {
    pub(crate) fn new(fd: OwnedFd, charge: Charge) -> Arc<HostFd> {
        Arc::new(HostFd { fd, charge })
    }

    pub(crate) fn shared(&self) -> &Arc<HostShared> {
        &self.charge.0
    }
}

impl AsFd for HostFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// F3: file systems that show or change the host's own state.
pub(crate) fn refuse_kernel_fs(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    match sys::fstatfs(fd)?.kind {
        PROC_SUPER_MAGIC | SYSFS_MAGIC | DEBUGFS_MAGIC | TRACEFS_MAGIC | SECURITYFS_MAGIC
        | BPF_FS_MAGIC => Err(Errno::EACCES),
        _ => Ok(()),
    }
}

/// A descriptor the embedder passed in, as a guest file.
pub(crate) fn adopt(ns: &Namespace, fd: OwnedFd) -> Result<Arc<File>, Errno> {
    let shared = ns.shared();
    let charge = shared.charge()?;
    refuse_kernel_fs(fd.as_fd())?;
    let stat = sys::fstat(fd.as_fd())?;
    let host_flags = sys::fcntl(fd.as_fd(), libc::F_GETFL, 0)? as u32;
    let flags = host_flags & (O_ACCMODE | O_APPEND | O_NONBLOCK | O_LARGEFILE);
    // The text of the host's own link names terminals as a shell expects.
    let name = sys::readlinkat(host_cwd(), &sys::proc_fd_path(fd.as_fd())).unwrap_or_default();
    let fd = HostFd::new(fd, charge);
    let label = (name.first() != Some(&b'/')).then(|| name.clone());
    let (stream, ops): (_, Box<dyn FileOps>) = match stat.kind() {
        S_IFREG => (None, file::inherited_ops(fd.clone())),
        S_IFDIR => (None, file::open_ops(fd.clone(), S_IFDIR)),
        _ => {
            let stream = Stream::new(fd.clone(), &stat);
            (Some(stream.clone()), Box::new(HostStream::new(stream)))
        }
    };
    // A terminal has a number and a name of ours: the host's may be another's here.
    let pts = stream.as_ref().and_then(|stream| stream.pts());
    let (name, label) = match pts {
        Some(pts) => (format!("/dev/pts/{pts}").into_bytes(), None),
        None => (name, label),
    };
    let node: crate::NodeRef = Arc::new(HostNode::adopted(fd, &stat, label, stream));
    if let Some(pts) = pts {
        shared.ptys.name_console(pts, &node);
    }
    let mount = ns.root().mount;
    Ok(File::new(
        ops,
        flags,
        Place {
            mount,
            node,
            path: name.into(),
        },
    ))
}

/// /dev/tty of a guest whose terminal is one of the host's: anew if it is the host
/// process's as well, else one of the files that it has.
pub(crate) fn open_console(
    shared: &Arc<HostShared>,
    device: u64,
) -> Result<Box<dyn FileOps>, Errno> {
    let charge = shared.charge()?;
    if let Ok(fd) = sys::open_host_path(c"/dev/tty", libc::O_RDWR | libc::O_NOCTTY) {
        let stat = sys::fstat(fd.as_fd())?;
        let stream = Stream::new(HostFd::new(fd, charge), &stat);
        if stream.device() == Some(device) {
            return Ok(Box::new(HostStream::new(stream)));
        }
    }
    let node = crate::tty::index_of(device).and_then(|index| shared.ptys.node(index));
    node.ok_or(Errno::ENXIO)?
        .open(libc::O_RDWR as u32, &crate::Caller::default())
}

fn host_cwd() -> BorrowedFd<'static> {
    // SAFETY: AT_FDCWD is not a descriptor; it only tells that the path is absolute.
    unsafe { BorrowedFd::borrow_raw(libc::AT_FDCWD) }
}
