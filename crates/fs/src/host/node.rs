//! Objects below a host mount.

use super::{Charge, HostFd, HostShared, HostStream, Stream, file, refuse_kernel_fs, sys};
use crate::lookup::Opened;
use crate::node::{Created, NewTimes, TimeChange};
use crate::{Caller, FileOps, Node, NodeRef};
use rivix_abi::Errno;
use rivix_abi::fcntl::{
    O_ACCMODE, O_CREAT, O_DIRECTORY, O_DSYNC, O_EXCL, O_NOATIME, O_SYNC, O_TRUNC, UTIME_NOW,
    UTIME_OMIT,
};
use rivix_abi::stat::{
    S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK, Stat,
};
use rivix_abi::statfs::Statfs;
use std::any::Any;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

/// Never beyond the mount, never through a symlink: those are walked by `Lookup`.
const RESOLVE: u64 =
    libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS | libc::RESOLVE_NO_SYMLINKS;

/// The root of a mount: what identifies it, and a descriptor to ask where it is.
struct HostRoot {
    fd: Option<Arc<HostFd>>,
    dev: u64,
    ino: u64,
}

/// What a descriptor that was passed in has instead of a mount.
struct Adopted {
    label: Option<Vec<u8>>,
    stream: Option<Arc<Stream>>,
}

/// A host object, held by an O_PATH descriptor or by the one a file was opened with.
pub struct HostNode {
    fd: Arc<HostFd>,
    kind: u32,
    root: Arc<HostRoot>,
    adopted: Option<Adopted>,
}

fn open_flags(flags: u32) -> i32 {
    // Appending is ours (F_SETFL may change it); direct I/O would need aligned
    // guest buffers; nothing may block, become a terminal or leak into an exec.
    let kept = flags & (O_ACCMODE | O_TRUNC | O_DIRECTORY | O_NOATIME | O_SYNC | O_DSYNC);
    kept as i32 | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_NOFOLLOW
}

const PATH_FLAGS: i32 = libc::O_PATH | libc::O_CLOEXEC | libc::O_NOFOLLOW;

impl HostNode {
    pub(crate) fn open_root(shared: &Arc<HostShared>, dir: &Path) -> Result<NodeRef, Errno> {
        use std::os::unix::ffi::OsStrExt;
        let charge = shared.charge()?;
        let path = sys::c_path(dir.as_os_str().as_bytes())?;
        let fd = sys::open_host_path(&path, libc::O_PATH | libc::O_DIRECTORY)?;
        refuse_kernel_fs(fd.as_fd())?;
        let stat = sys::fstat(fd.as_fd())?;
        let fd = HostFd::new(fd, charge);
        let root = Arc::new(HostRoot {
            fd: Some(fd.clone()),
            dev: stat.dev,
            ino: stat.ino,
        });
        Ok(Arc::new(HostNode {
            fd,
            kind: S_IFDIR,
            root,
            adopted: None,
        }))
    }

    /// A node for a descriptor that was not found by a walk.
    pub(crate) fn adopted(
        fd: Arc<HostFd>,
        stat: &Stat,
        label: Option<Vec<u8>>,
        stream: Option<Arc<Stream>>,
    ) -> HostNode {
        let root = Arc::new(HostRoot {
            fd: None,
            dev: stat.dev,
            ino: stat.ino,
        });
        HostNode {
            fd,
            kind: stat.kind(),
            root,
            adopted: Some(Adopted { label, stream }),
        }
    }

    fn shared(&self) -> &Arc<HostShared> {
        self.fd.shared()
    }

    /// F3 for a descriptor just opened below this node, and its metadata.
    fn vet(&self, fd: &OwnedFd) -> Result<Stat, Errno> {
        let stat = sys::fstat(fd.as_fd())?;
        // The root's own file system was checked when it was mounted.
        if stat.dev != self.root.dev {
            refuse_kernel_fs(fd.as_fd())?;
        }
        Ok(stat)
    }

    fn node(&self, fd: Arc<HostFd>, kind: u32) -> NodeRef {
        Arc::new(HostNode {
            fd,
            kind,
            root: self.root.clone(),
            adopted: None,
        })
    }

    /// The object at `path` beneath, in one call. ELOOP when a symlink is on the way.
    pub(crate) fn find(&self, path: &[u8], wants_dir: bool) -> Result<NodeRef, Errno> {
        let charge = self.shared().charge()?;
        let flags = PATH_FLAGS | if wants_dir { libc::O_DIRECTORY } else { 0 };
        let path = sys::c_path(relative(path))?;
        let fd = sys::openat2(self.fd.as_fd(), &path, flags, 0, RESOLVE)?;
        let stat = self.vet(&fd)?;
        Ok(self.node(HostFd::new(fd, charge), stat.kind()))
    }

    /// Opens `path` beneath, in one call. ELOOP when a symlink is on the way.
    pub(crate) fn open_beneath(
        &self,
        path: &[u8],
        flags: u32,
        caller: &Caller,
    ) -> Result<(NodeRef, Box<dyn FileOps>), Errno> {
        let charge = self.shared().charge()?;
        let path = sys::c_path(relative(path))?;
        let fd = sys::openat2(self.fd.as_fd(), &path, open_flags(flags), 0, RESOLVE);
        match fd {
            Ok(fd) => self.opened(fd, charge, flags, caller),
            // A FIFO without a reader, or a socket: which of them tells the node.
            Err(Errno::ENXIO) => {
                drop(charge);
                let node = self.find_inner(&path)?;
                let ops = node.clone().open(flags, caller)?;
                Ok((node, ops))
            }
            Err(errno) => Err(errno),
        }
    }

    fn find_inner(&self, path: &std::ffi::CStr) -> Result<NodeRef, Errno> {
        self.find(path.to_bytes(), false)
    }

    fn opened(
        &self,
        fd: OwnedFd,
        charge: Charge,
        flags: u32,
        caller: &Caller,
    ) -> Result<(NodeRef, Box<dyn FileOps>), Errno> {
        let stat = self.vet(&fd)?;
        if flags & O_TRUNC != 0 && stat.is_regular() {
            rivix_mem::note_truncate((stat.dev, stat.ino), 0);
        }
        let fd = HostFd::new(fd, charge);
        let node = self.node(fd.clone(), stat.kind());
        let ops = match stat.kind() {
            S_IFREG | S_IFDIR => file::open_ops(fd, stat.kind()),
            _ => special(&fd, &stat, flags, caller)?,
        };
        Ok((node, ops))
    }

    /// openat of one name here.
    pub(crate) fn open_child(
        &self,
        name: &[u8],
        flags: u32,
        mode: u32,
        caller: &Caller,
    ) -> Result<Opened, Errno> {
        let c_name = sys::c_path(name)?;
        loop {
            let exclusive = flags & (O_CREAT | O_EXCL) == O_CREAT | O_EXCL;
            if !exclusive {
                let charge = self.shared().charge()?;
                let host = open_flags(flags);
                match sys::openat(self.fd.as_fd(), &c_name, host, 0) {
                    Ok(fd) => {
                        if flags & O_CREAT != 0 && self.vet(&fd)?.is_dir() {
                            return Err(Errno::EISDIR);
                        }
                        let (node, ops) = self.opened(fd, charge, flags, caller)?;
                        return Ok(Opened::File(node, ops));
                    }
                    Err(Errno::ENOENT) if flags & O_CREAT != 0 => {}
                    // O_NOFOLLOW met a symlink (with O_DIRECTORY the host says ENOTDIR).
                    Err(Errno::ELOOP | Errno::ENOTDIR) => {
                        let node = self.lookup(name, caller)?;
                        return if node.kind() == S_IFLNK {
                            Ok(Opened::Link(node))
                        } else {
                            Err(Errno::ENOTDIR)
                        };
                    }
                    Err(Errno::ENXIO) => {
                        drop(charge);
                        let node = self.lookup(name, caller)?;
                        let ops = node.clone().open(flags, caller)?;
                        return Ok(Opened::File(node, ops));
                    }
                    Err(errno) => return Err(errno),
                }
            }
            match self.create(name, flags, mode, caller) {
                Ok(Created { node, ops }) => return Ok(Opened::File(node, ops)),
                Err(Errno::EEXIST) if !exclusive => {
                    // A dangling symlink exists too: creating goes through it.
                    let node = match self.lookup(name, caller) {
                        Err(Errno::ENOENT) => continue,
                        found => found?,
                    };
                    if node.kind() == S_IFLNK {
                        return Ok(Opened::Link(node));
                    }
                }
                Err(errno) => return Err(errno),
            }
        }
    }

    /// The mode must not depend on the host process's umask.
    fn fix_mode(&self, fd: &OwnedFd, mode: u32) -> Result<(), Errno> {
        let got = sys::fstat(fd.as_fd())?.mode;
        if got & 0o777 != mode & 0o777 {
            sys::fchmod(fd.as_fd(), (got & 0o7000) | (mode & 0o777))?;
        }
        Ok(())
    }

    /// As `fix_mode`, for what was made by name.
    fn fix_mode_at(&self, name: &std::ffi::CStr, mode: u32) -> Result<(), Errno> {
        let stat = sys::fstatat(self.fd.as_fd(), name)?;
        if stat.mode & 0o777 != mode & 0o777 && !stat.is_symlink() {
            let mode = (stat.mode & 0o7000) | (mode & 0o777);
            sys::fchmodat(self.fd.as_fd(), name, mode)?;
        }
        Ok(())
    }
}

/// openat2 with IN_ROOT takes a relative path as beneath the descriptor; so is ours.
fn relative(path: &[u8]) -> &[u8] {
    let start = path.iter().position(|&b| b != b'/').unwrap_or(path.len());
    &path[start..]
}

/// Opens what is neither file nor directory: named pipes are ours, the host's
/// harmless devices are our devices, all other devices are refused.
fn special(
    fd: &Arc<HostFd>,
    stat: &Stat,
    flags: u32,
    caller: &Caller,
) -> Result<Box<dyn FileOps>, Errno> {
    match stat.kind() {
        S_IFIFO => fd.shared().fifos.open((stat.dev, stat.ino), flags),
        S_IFCHR => crate::devfs::open_by_number(fd.shared(), stat.rdev, caller),
        S_IFSOCK => Err(Errno::ENXIO),
        S_IFLNK => Err(Errno::ELOOP),
        S_IFBLK => Err(Errno::EACCES),
        _ => Err(Errno::ENXIO),
    }
}

impl Node for HostNode {
    fn kind(&self) -> u32 {
        self.kind
    }

    fn stat(&self) -> Result<Stat, Errno> {
        let mut stat = sys::fstat(self.fd.as_fd())?;
        let stream = self.adopted.as_ref().and_then(|a| a.stream.as_ref());
        if let Some(device) = stream.and_then(|stream| stream.device()) {
            stat.rdev = device;
        }
        Ok(stat)
    }

    fn statfs(&self) -> Result<Statfs, Errno> {
        sys::fstatfs(self.fd.as_fd())
    }

    fn birth_time(&self) -> Option<(i64, u32)> {
        let stat = sys::statx(self.fd.as_fd())?;
        (stat.stx_mask & libc::STATX_BTIME != 0)
            .then_some((stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec))
    }

    fn lookup(&self, name: &[u8], _: &Caller) -> Result<NodeRef, Errno> {
        let charge = self.shared().charge()?;
        let name = sys::c_path(name)?;
        let fd = sys::openat(self.fd.as_fd(), &name, PATH_FLAGS, 0)?;
        let stat = self.vet(&fd)?;
        Ok(self.node(HostFd::new(fd, charge), stat.kind()))
    }

    fn parent(&self) -> Result<Option<NodeRef>, Errno> {
        let stat = self.stat()?;
        if (stat.dev, stat.ino) == (self.root.dev, self.root.ino) {
            // Above the root is another mount's business.
            return Ok(None);
        }
        let charge = self.shared().charge()?;
        let fd = sys::openat(self.fd.as_fd(), c"..", PATH_FLAGS | libc::O_DIRECTORY, 0)?;
        let stat = self.vet(&fd)?;
        Ok(Some(self.node(HostFd::new(fd, charge), stat.kind())))
    }

    fn readlink(&self, _: &Caller) -> Result<Vec<u8>, Errno> {
        if self.kind != S_IFLNK {
            return Err(Errno::EINVAL);
        }
        sys::readlink_fd(self.fd.as_fd())
    }

    fn open(self: Arc<Self>, flags: u32, caller: &Caller) -> Result<Box<dyn FileOps>, Errno> {
        if let Some(stream) = self
            .adopted
            .as_ref()
            .and_then(|adopted| adopted.stream.clone())
        {
            return Ok(Box::new(HostStream::new(stream)));
        }
        match self.kind {
            S_IFREG | S_IFDIR => {}
            _ => return special(&self.fd, &self.stat()?, flags, caller),
        }
        let charge = self.shared().charge()?;
        let host = open_flags(flags);
        let fd = if self.kind == S_IFDIR {
            sys::openat(self.fd.as_fd(), c".", host, 0)?
        } else {
            // A descriptor is opened anew through the host's own link to it; the
            // final link is the point, so O_NOFOLLOW must go.
            let path = sys::proc_fd_path(self.fd.as_fd());
            sys::open_host_path(&path, host & !libc::O_NOFOLLOW)?
        };
        let stat = self.vet(&fd)?;
        Ok(file::open_ops(HostFd::new(fd, charge), stat.kind()))
    }

    fn create(&self, name: &[u8], flags: u32, mode: u32, _: &Caller) -> Result<Created, Errno> {
        let charge = self.shared().charge()?;
        let name = sys::c_path(name)?;
        let host = (open_flags(flags) & !libc::O_DIRECTORY) | libc::O_CREAT | libc::O_EXCL;
        let fd = sys::openat(self.fd.as_fd(), &name, host, mode)?;
        self.vet(&fd)?;
        self.fix_mode(&fd, mode)?;
        let fd = HostFd::new(fd, charge);
        let ops = file::open_ops(fd.clone(), S_IFREG);
        Ok(Created {
            node: self.node(fd, S_IFREG),
            ops,
        })
    }

    fn create_unnamed(&self, flags: u32, mode: u32, _: &Caller) -> Result<Created, Errno> {
        let charge = self.shared().charge()?;
        let host = open_flags(flags & O_ACCMODE) | libc::O_TMPFILE | (flags & O_EXCL) as i32;
        let fd = sys::openat(self.fd.as_fd(), c".", host & !libc::O_NOFOLLOW, mode)?;
        self.vet(&fd)?;
        self.fix_mode(&fd, mode)?;
        let fd = HostFd::new(fd, charge);
        let ops = file::open_ops(fd.clone(), S_IFREG);
        Ok(Created {
            node: self.node(fd, S_IFREG),
            ops,
        })
    }

    fn mkdir(&self, name: &[u8], mode: u32, _: &Caller) -> Result<(), Errno> {
        let name = sys::c_path(name)?;
        sys::mkdirat(self.fd.as_fd(), &name, mode & 0o1777)?;
        self.fix_mode_at(&name, mode)
    }

    fn mknod(&self, name: &[u8], mode: u32, _rdev: u64, _: &Caller) -> Result<(), Errno> {
        match mode & S_IFMT {
            S_IFIFO | S_IFREG | S_IFSOCK => {}
            // A device node would be a way around P2 for a root guest.
            _ => return Err(Errno::EPERM),
        }
        let name = sys::c_path(name)?;
        sys::mknodat(self.fd.as_fd(), &name, mode)?;
        self.fix_mode_at(&name, mode)
    }

    fn symlink(&self, name: &[u8], target: &[u8], _: &Caller) -> Result<(), Errno> {
        sys::symlinkat(&sys::c_path(target)?, self.fd.as_fd(), &sys::c_path(name)?)
    }

    fn link(&self, name: &[u8], target: &NodeRef) -> Result<(), Errno> {
        let target = as_host(target).ok_or(Errno::EXDEV)?;
        let name = sys::c_path(name)?;
        let from = target.fd.as_fd();
        // AT_EMPTY_PATH needs a capability; the link in /proc does not (linkat(2)).
        match sys::linkat(from, c"", self.fd.as_fd(), &name, libc::AT_EMPTY_PATH) {
            Err(Errno::ENOENT | Errno::EPERM) if target.kind != S_IFLNK => {
                let path = sys::proc_fd_path(from);
                sys::linkat(
                    super::host_cwd(),
                    &path,
                    self.fd.as_fd(),
                    &name,
                    libc::AT_SYMLINK_FOLLOW,
                )
            }
            done => done,
        }
    }

    fn unlink(&self, name: &[u8], is_rmdir: bool) -> Result<(), Errno> {
        let flags = if is_rmdir { libc::AT_REMOVEDIR } else { 0 };
        sys::unlinkat(self.fd.as_fd(), &sys::c_path(name)?, flags)
    }

    fn rename(
        &self,
        name: &[u8],
        new_parent: &NodeRef,
        new_name: &[u8],
        flags: u32,
    ) -> Result<(), Errno> {
        let to = as_host(new_parent).ok_or(Errno::EXDEV)?;
        let (name, new_name) = (sys::c_path(name)?, sys::c_path(new_name)?);
        sys::renameat2(self.fd.as_fd(), &name, to.fd.as_fd(), &new_name, flags)
    }

    fn set_mode(&self, mode: u32) -> Result<(), Errno> {
        match sys::fchmod(self.fd.as_fd(), mode) {
            // O_PATH: by the host's own link to it.
            Err(Errno::EBADF) => {
                sys::fchmodat(super::host_cwd(), &sys::proc_fd_path(self.fd.as_fd()), mode)
            }
            done => done,
        }
    }

    fn set_owner(&self, uid: u32, gid: u32) -> Result<(), Errno> {
        sys::fchownat(self.fd.as_fd(), c"", uid, gid, libc::AT_EMPTY_PATH)
    }

    fn set_times(&self, times: &NewTimes) -> Result<(), Errno> {
        let raw = |change: Option<TimeChange>| match change {
            None => libc::timespec {
                tv_sec: 0,
                tv_nsec: UTIME_OMIT,
            },
            Some(TimeChange::Now) => libc::timespec {
                tv_sec: 0,
                tv_nsec: UTIME_NOW,
            },
            Some(TimeChange::To(tv_sec, tv_nsec)) => libc::timespec { tv_sec, tv_nsec },
        };
        let pair = [raw(times.atime), raw(times.mtime)];
        sys::utimensat(self.fd.as_fd(), c"", &pair, libc::AT_EMPTY_PATH)
    }

    fn truncate(&self, length: u64) -> Result<(), Errno> {
        if self.kind != S_IFREG {
            return Err(if self.kind == S_IFDIR {
                Errno::EISDIR
            } else {
                Errno::EINVAL
            });
        }
        let path = sys::proc_fd_path(self.fd.as_fd());
        let _charge = self.shared().charge()?;
        let fd = sys::open_host_path(&path, libc::O_WRONLY | libc::O_NONBLOCK)?;
        sys::ftruncate(fd.as_fd(), length)?;
        file::note_length(fd.as_fd(), length);
        Ok(())
    }

    fn access(&self, mode: u32, caller: &Caller) -> Result<(), Errno> {
        match sys::faccessat(self.fd.as_fd(), c"", mode) {
            // Hosts before 5.8 lack the call.
            Err(Errno::ENOSYS) => crate::node::check_access(&self.stat()?, mode, caller),
            done => done,
        }
    }

    fn get_xattr(&self, name: &[u8], size: usize) -> Result<Vec<u8>, Errno> {
        let mut buf = vec![0; size.min(65536)];
        let path = sys::proc_fd_path(self.fd.as_fd());
        let n = sys::getxattr(&path, &sys::c_path(name)?, &mut buf)?;
        buf.resize(n, 0);
        Ok(buf)
    }

    fn set_xattr(&self, name: &[u8], value: &[u8], flags: u32) -> Result<(), Errno> {
        sys::setxattr(
            &sys::proc_fd_path(self.fd.as_fd()),
            &sys::c_path(name)?,
            value,
            flags,
        )
    }

    fn list_xattr(&self) -> Result<Vec<u8>, Errno> {
        sys::listxattr(&sys::proc_fd_path(self.fd.as_fd()))
    }

    fn remove_xattr(&self, name: &[u8]) -> Result<(), Errno> {
        sys::removexattr(&sys::proc_fd_path(self.fd.as_fd()), &sys::c_path(name)?)
    }

    fn label(&self) -> Option<Vec<u8>> {
        self.adopted.as_ref()?.label.clone()
    }

    fn current_path(&self) -> Option<Vec<u8>> {
        // The host's own link follows renames. Text that does not begin with the
        // mount's own place says nothing to the guest.
        let name = |fd: &HostFd| sys::readlinkat(super::host_cwd(), &sys::proc_fd_path(fd.as_fd()));
        let path = name(&self.fd).ok()?;
        let Some(root) = &self.root.fd else {
            return Some(path);
        };
        let root = name(root).ok()?;
        if root == b"/" {
            return Some(path);
        }
        match path.strip_prefix(&root[..])? {
            b"" => Some(b"/".to_vec()),
            rest if rest[0] == b'/' => Some(rest.to_vec()),
            _ => None,
        }
    }

    fn is_unlinked(&self) -> bool {
        self.stat().is_ok_and(|stat| stat.nlink == 0)
    }
}

fn as_host(node: &NodeRef) -> Option<&HostNode> {
    (&**node as &dyn Any).downcast_ref()
}
