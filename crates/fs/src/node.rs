//! File-system objects and where they were found.

use crate::mount::Mount;
use crate::{Caller, File, FileOps};
use rivix_abi::Errno;
use rivix_abi::stat::{S_IFDIR, S_IFLNK, Stat};
use rivix_abi::statfs::Statfs;
use std::any::Any;
use std::sync::Arc;

pub type NodeRef = Arc<dyn Node>;

/// What a symlink leads to.
pub enum Follow {
    /// A path, walked from the link's directory.
    Path(Vec<u8>),
    /// A magic link: the place itself, whatever its name is now.
    Place(Place),
}

/// New times for utimensat(2); None leaves one alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewTimes {
    /// Seconds and nanoseconds.
    pub atime: Option<TimeChange>,
    pub mtime: Option<TimeChange>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeChange {
    Now,
    To(i64, i64),
}

/// What `create` made or found.
pub struct Created {
    pub node: NodeRef,
    pub ops: Box<dyn FileOps>,
}

/// A file-system object: what Linux calls an inode, reached by a name.
pub trait Node: Any + Send + Sync {
    /// The S_IFMT bits, without asking anyone.
    fn kind(&self) -> u32;

    fn stat(&self) -> Result<Stat, Errno>;

    fn statfs(&self) -> Result<Statfs, Errno>;

    /// statx's btime, where it is known.
    fn birth_time(&self) -> Option<(i64, u32)> {
        None
    }

    /// The process whose /proc directory it is: such a directory names a process
    /// as a pidfd does (pidfd_send_signal(2)).
    fn process(&self) -> Option<i32> {
        None
    }

    /// The child called `name` (never "", "." or ".."), not following it.
    fn lookup(&self, name: &[u8], caller: &Caller) -> Result<NodeRef, Errno> {
        let _ = (name, caller);
        Err(Errno::ENOTDIR)
    }

    /// The parent directory of a directory; None: ask by path.
    fn parent(&self) -> Result<Option<NodeRef>, Errno> {
        Ok(None)
    }

    /// What the symlink leads to.
    fn follow(&self, caller: &Caller) -> Result<Follow, Errno> {
        self.readlink(caller).map(Follow::Path)
    }

    fn readlink(&self, caller: &Caller) -> Result<Vec<u8>, Errno> {
        let _ = caller;
        Err(Errno::EINVAL)
    }

    /// Opens this node itself; never a symlink. `flags` may have O_TRUNC.
    fn open(self: Arc<Self>, flags: u32, caller: &Caller) -> Result<Box<dyn FileOps>, Errno>;

    /// Creates a regular file that must not exist (EEXIST). `mode` has the umask applied.
    fn create(
        &self,
        name: &[u8],
        flags: u32,
        mode: u32,
        caller: &Caller,
    ) -> Result<Created, Errno> {
        let _ = (name, flags, mode, caller);
        Err(Errno::EROFS)
    }

    /// O_TMPFILE.
    fn create_unnamed(&self, flags: u32, mode: u32, caller: &Caller) -> Result<Created, Errno> {
        let _ = (flags, mode, caller);
        Err(Errno::EOPNOTSUPP)
    }

    fn mkdir(&self, name: &[u8], mode: u32, caller: &Caller) -> Result<(), Errno> {
        let _ = (name, mode, caller);
        Err(Errno::EROFS)
    }

    /// `mode` has the type bits.
    fn mknod(&self, name: &[u8], mode: u32, rdev: u64, caller: &Caller) -> Result<(), Errno> {
        let _ = (name, mode, rdev, caller);
        Err(Errno::EROFS)
    }

    fn symlink(&self, name: &[u8], target: &[u8], caller: &Caller) -> Result<(), Errno> {
        let _ = (name, target, caller);
        Err(Errno::EROFS)
    }

    /// Gives `target` (same file system) another name here.
    fn link(&self, name: &[u8], target: &NodeRef) -> Result<(), Errno> {
        let _ = (name, target);
        Err(Errno::EROFS)
    }

    fn unlink(&self, name: &[u8], is_rmdir: bool) -> Result<(), Errno> {
        let _ = (name, is_rmdir);
        Err(Errno::EROFS)
    }

    fn rename(
        &self,
        name: &[u8],
        new_parent: &NodeRef,
        new_name: &[u8],
        flags: u32,
    ) -> Result<(), Errno> {
        let _ = (name, new_parent, new_name, flags);
        Err(Errno::EROFS)
    }

    fn set_mode(&self, mode: u32) -> Result<(), Errno> {
        let _ = mode;
        Err(Errno::EPERM)
    }

    /// u32::MAX leaves an id alone.
    fn set_owner(&self, uid: u32, gid: u32) -> Result<(), Errno> {
        let _ = (uid, gid);
        Err(Errno::EPERM)
    }

    fn set_times(&self, times: &NewTimes) -> Result<(), Errno> {
        let _ = times;
        Err(Errno::EPERM)
    }

    fn truncate(&self, length: u64) -> Result<(), Errno> {
        let _ = length;
        Err(Errno::EINVAL)
    }

    /// access(2) with `mode` of R_OK 4, W_OK 2, X_OK 1; 0 asks for existence.
    fn access(&self, mode: u32, caller: &Caller) -> Result<(), Errno> {
        let stat = self.stat()?;
        check_access(&stat, mode, caller)
    }

    fn get_xattr(&self, name: &[u8], size: usize) -> Result<Vec<u8>, Errno> {
        let _ = (name, size);
        Err(Errno::EOPNOTSUPP)
    }

    fn set_xattr(&self, name: &[u8], value: &[u8], flags: u32) -> Result<(), Errno> {
        let _ = (name, value, flags);
        Err(Errno::EOPNOTSUPP)
    }

    fn list_xattr(&self) -> Result<Vec<u8>, Errno> {
        Ok(Vec::new())
    }

    fn remove_xattr(&self, name: &[u8]) -> Result<(), Errno> {
        let _ = name;
        Err(Errno::EOPNOTSUPP)
    }

    /// How /proc/PID/fd names a node that has no path, as `pipe:[7]`.
    fn label(&self) -> Option<Vec<u8>> {
        None
    }

    /// Where the node is now below its mount's root, when someone keeps track of
    /// that better than the path it was found by. " (deleted)" may follow.
    fn current_path(&self) -> Option<Vec<u8>> {
        None
    }

    /// The file was removed while it is still open.
    fn is_unlinked(&self) -> bool {
        false
    }
}

/// Permission by mode bits (path_resolution(7)); uid 0 passes as CAP_DAC_OVERRIDE does.
pub fn check_access(stat: &Stat, mode: u32, caller: &Caller) -> Result<(), Errno> {
    if caller.uid == 0 {
        let may = mode & 1 == 0 || stat.is_dir() || stat.mode & 0o111 != 0;
        return if may { Ok(()) } else { Err(Errno::EACCES) };
    }
    let shift = if stat.uid == caller.uid {
        6
    } else if stat.gid == caller.gid {
        3
    } else {
        0
    };
    if (stat.mode >> shift) & mode & 7 == mode & 7 {
        Ok(())
    } else {
        Err(Errno::EACCES)
    }
}

/// A node, the mount it is in, and the path it was found by.
#[derive(Clone)]
pub struct Place {
    pub mount: Arc<Mount>,
    pub node: NodeRef,
    /// Absolute, without symlinks, `.` or `..`; "/" for the top.
    pub path: Arc<[u8]>,
}

impl Place {
    pub fn is_dir(&self) -> bool {
        self.node.kind() == S_IFDIR
    }

    pub fn is_symlink(&self) -> bool {
        self.node.kind() == S_IFLNK
    }

    /// Same object of the same mount.
    pub fn is_same(&self, other: &Place) -> bool {
        if Arc::ptr_eq(&self.node, &other.node) {
            return true;
        }
        if self.mount.id != other.mount.id {
            return false;
        }
        match (self.node.stat(), other.node.stat()) {
            (Ok(a), Ok(b)) => (a.dev, a.ino) == (b.dev, b.ino),
            _ => false,
        }
    }

    /// What /proc/PID/fd/N and getcwd(2) print.
    pub fn display_path(&self) -> Vec<u8> {
        if let Some(label) = self.node.label() {
            return label;
        }
        if let Some(below) = self.node.current_path() {
            return match &self.mount.path[..] {
                b"/" => below,
                mount if below == b"/" => mount.to_vec(),
                mount => [mount, &below[..]].concat(),
            };
        }
        let mut path = self.path.to_vec();
        if self.node.is_unlinked() {
            path.extend_from_slice(b" (deleted)");
        }
        path
    }
}

/// Opens a place as a file.
pub fn open_place(place: &Place, flags: u32, caller: &Caller) -> Result<Arc<File>, Errno> {
    let ops = place.node.clone().open(flags, caller)?;
    Ok(File::new(ops, flags, place.clone()))
}
