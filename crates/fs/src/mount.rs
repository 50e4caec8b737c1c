//! Mounts, and the view of files they make together.

use crate::host::{HostNode, HostShared, Unwritten};
use crate::procfs::ProcShared;
use crate::{Caller, File, FileOps, FsContext, Lookup, NodeRef, Place, ProcInfo};
use crate::{devfs, procfs, sysfs, tmpfs, tty};
use rivix_abi::Errno;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

/// One mounted file system.
pub struct Mount {
    pub id: i32,
    pub parent_id: i32,
    /// Where it is, as `Place::path` writes paths.
    pub path: Arc<[u8]>,
    pub root: NodeRef,
    pub fs_type: &'static str,
    pub source: String,
    pub is_readonly: bool,
    pub options: &'static str,
}

/// What is mounted at one path.
pub enum MountKind {
    /// A directory of the host.
    Host(PathBuf),
    /// Empty, in memory.
    Tmpfs,
    Proc,
    Dev,
    /// Names of the pseudo-terminals.
    Devpts,
    Sys,
}

pub struct MountSpec {
    pub path: Vec<u8>,
    pub kind: MountKind,
    pub is_readonly: bool,
}

/// Starts one named kernel worker; the spawner's `spawn`.
pub type SpawnFn =
    dyn Fn(&str, Box<dyn FnOnce() + Send>) -> Result<(), Errno> + Send + Sync + 'static;

/// How a namespace is built. `mounts` is in mounting order, "/" first.
pub struct NamespaceConfig {
    pub mounts: Vec<MountSpec>,
    /// Host descriptors this namespace's files may hold.
    pub host_fd_limit: usize,
    /// Runs the reactor; None: host descriptors cannot be waited for.
    pub spawn: Option<Arc<SpawnFn>>,
}

impl NamespaceConfig {
    /// The host directory `root` as "/", with our own /proc, /sys and /dev over it.
    pub fn over_host(root: PathBuf) -> NamespaceConfig {
        let mount = |path: &str, kind| MountSpec {
            path: path.as_bytes().to_vec(),
            kind,
            is_readonly: false,
        };
        NamespaceConfig {
            mounts: vec![
                mount("/", MountKind::Host(root)),
                mount("/proc", MountKind::Proc),
                mount("/sys", MountKind::Sys),
                mount("/dev", MountKind::Dev),
                mount("/dev/pts", MountKind::Devpts),
                mount("/dev/shm", MountKind::Tmpfs),
            ],
            host_fd_limit: default_fd_limit(),
            spawn: None,
        }
    }

    /// Nothing but an empty "/", /proc, /sys and /dev.
    pub fn empty() -> NamespaceConfig {
        let mut config = Self::over_host(PathBuf::new());
        config.mounts[0].kind = MountKind::Tmpfs;
        config
    }
}

/// What the host allows this process, less a reserve for our own needs.
fn default_fd_limit() -> usize {
    let soft = crate::host::sys::nofile_limit();
    usize::try_from(soft)
        .unwrap_or(usize::MAX)
        .saturating_sub(32)
        .max(8)
}

#[derive(Debug, thiserror::Error)]
pub enum MountError {
    #[error("cannot use {path} as a directory of the guest: {errno}")]
    HostDir { path: String, errno: Errno },
    #[error("the first mount must be at /")]
    NoRoot,
    #[error("mount point {0} is not an absolute path")]
    BadPath(String),
}

/// A sandbox's mounts and what its files share.
pub struct Namespace {
    mounts: Vec<Arc<Mount>>,
    shared: Arc<HostShared>,
    proc_shared: Arc<ProcShared>,
}

impl Namespace {
    pub fn new(config: NamespaceConfig) -> Result<Arc<Namespace>, MountError> {
        let shared = HostShared::new(config.host_fd_limit);
        if let Some(spawn) = config.spawn {
            shared.watcher.set_spawn(spawn);
        }
        let proc_shared = Arc::new(ProcShared::default());
        let mut mounts: Vec<Arc<Mount>> = Vec::new();
        for spec in config.mounts {
            let id = mounts.len() as i32 + 1;
            let path = normalize(&spec.path)
                .ok_or_else(|| MountError::BadPath(spec.path.escape_ascii().to_string()))?;
            if mounts.is_empty() && path != b"/" {
                return Err(MountError::NoRoot);
            }
            let parent_id = covering(&mounts, &path).map_or(id, |m| m.id);
            let (root, fs_type, source, options): (NodeRef, _, _, _) = match &spec.kind {
                MountKind::Host(dir) => {
                    let root =
                        HostNode::open_root(&shared, dir).map_err(|errno| MountError::HostDir {
                            path: dir.display().to_string(),
                            errno,
                        })?;
                    (root, "rivixfs", "host".to_string(), "nosuid,nodev,relatime")
                }
                MountKind::Tmpfs => (
                    tmpfs::new_root(&shared, id as u32),
                    "tmpfs",
                    "tmpfs".into(),
                    "nosuid,nodev",
                ),
                MountKind::Proc => (
                    procfs::new_root(&proc_shared),
                    "proc",
                    "proc".into(),
                    "nosuid,nodev,noexec,relatime",
                ),
                MountKind::Dev => (
                    devfs::new_root(&shared),
                    "devtmpfs",
                    "devtmpfs".into(),
                    "nosuid,relatime",
                ),
                MountKind::Devpts => (
                    tty::new_root(&shared.ptys),
                    "devpts",
                    "devpts".into(),
                    "nosuid,noexec,relatime,gid=5,mode=620,ptmxmode=000",
                ),
                MountKind::Sys => (
                    sysfs::new_root(),
                    "sysfs",
                    "sysfs".into(),
                    "nosuid,nodev,noexec,relatime",
                ),
            };
            mounts.push(Arc::new(Mount {
                id,
                parent_id,
                path: path.into(),
                root,
                fs_type,
                source,
                is_readonly: spec.is_readonly,
                options,
            }));
        }
        if mounts.is_empty() {
            return Err(MountError::NoRoot);
        }
        proc_shared.set_mounts(&mounts);
        let _ = shared
            .mount_paths
            .set(mounts.iter().map(|m| m.path.clone()).collect());
        Ok(Arc::new(Namespace {
            mounts,
            shared,
            proc_shared,
        }))
    }

    /// Ends the reactor's thread. Host descriptors wake nobody from then on.
    pub fn stop_watching(&self) {
        self.shared.watcher.stop();
    }

    /// Gives the reactor its threads, when they were not known to `new`.
    pub fn set_spawn(&self, spawn: Arc<SpawnFn>) {
        self.shared.watcher.set_spawn(spawn);
    }

    /// Has host descriptors watched by `reactor`, which others may use too, unless
    /// there is a reactor already. [`Namespace::stop_watching`] stops it.
    #[cfg(not(rivix_model))]
    pub fn set_reactor(&self, reactor: Arc<rivix_spawner::Reactor>) {
        self.shared.watcher.set(reactor);
    }

    /// Has output to terminals buffered, each terminal's on a lane of its own, unless
    /// there are lanes already. Without, writers wait for the terminals themselves.
    pub fn set_lanes(&self, lanes: Weak<rivix_spawner::Lanes>) {
        self.shared.consoles.set_lanes(lanes);
    }

    /// What guests have written to terminals and the host has not taken yet.
    pub fn unwritten(&self) -> Unwritten {
        self.shared.consoles.unwritten()
    }

    /// Drops what terminals have not taken, and interrupts the lanes that write to
    /// them, so that these can close. Later writes fail with EIO.
    pub fn stop_terminals(&self) {
        self.shared.consoles.stop();
    }

    /// Drops the files that are in flight between local sockets. Call it when every
    /// process has ended: those in cycles would outlive the sandbox.
    pub fn end_sockets(&self) {
        self.shared.unix.end();
    }

    /// Tells terminals whom to tell. Once, before the first guest runs.
    pub fn set_terminal_host(&self, host: Weak<dyn tty::TerminalHost>) {
        self.shared.ptys.set_host(host);
    }

    /// Opens a pair's slave without its name (TIOCGPTPEER). EIO: it is locked;
    /// ENODEV: this namespace has no file system of slaves.
    pub fn open_peer(
        &self,
        pair: &Arc<tty::Pair>,
        flags: u32,
        caller: &Caller,
    ) -> Result<Arc<File>, Errno> {
        let mut mounts = self.mounts.iter().rev();
        let mount = mounts.find(|mount| mount.fs_type == "devpts");
        let mount = mount.ok_or(Errno::ENODEV)?.clone();
        let name = pair.index().to_string();
        let place = Place {
            path: crate::lookup::join(&mount.path, name.as_bytes()).into(),
            node: tty::slave_node(pair.clone()),
            mount,
        };
        crate::node::open_place(&place, flags, caller)
    }

    /// Tells procfs whom to ask. Once, before the first guest runs.
    pub fn set_proc_info(&self, info: Weak<dyn ProcInfo>) {
        self.proc_shared.set_info(info);
    }

    pub fn root(&self) -> Place {
        let mount = self.mounts[0].clone();
        Place {
            node: mount.root.clone(),
            path: mount.path.clone(),
            mount,
        }
    }

    /// A context whose root is "/" and whose cwd is `cwd` (a guest path).
    pub fn context(self: &Arc<Self>, cwd: &[u8], umask: u32) -> Result<Arc<FsContext>, Errno> {
        let context = FsContext::new(self.clone(), self.root(), self.root(), umask);
        let place = Lookup::new(self, &context, Caller::default()).resolve(cwd, true)?;
        context.set_cwd(place)?;
        Ok(context)
    }

    pub fn mounts(&self) -> &[Arc<Mount>] {
        &self.mounts
    }

    /// The mount whose root is at `path`.
    pub fn mount_at(&self, path: &[u8]) -> Option<&Arc<Mount>> {
        // The newest mount hides older ones.
        self.mounts.iter().rev().find(|m| &*m.path == path)
    }

    /// Does a walk from `from` to `to` (beneath it) meet a mount point?
    pub(crate) fn crosses(&self, from: &[u8], to: &[u8]) -> bool {
        self.mounts.iter().any(|m| {
            m.path.len() > from.len() && is_beneath(&m.path, from) && is_beneath(to, &m.path)
        })
    }

    /// Is a mount point at or beneath `path`? Such a directory cannot be moved or removed.
    pub fn holds_mounts(&self, path: &[u8]) -> bool {
        self.mounts.iter().any(|m| is_beneath(&m.path, path))
    }

    /// Wraps a descriptor the embedder or the user passed in (stdio) as a file.
    pub fn adopt(&self, fd: OwnedFd) -> Result<Arc<File>, Errno> {
        crate::host::adopt(self, fd)
    }

    /// A file without a place in any mount: pipes, eventfds, sockets.
    /// A new memory file of the host, as memfd_create(2) makes it.
    pub fn memfd(&self, name: &std::ffi::CStr, flags: u32) -> Result<Arc<File>, Errno> {
        self.adopt(crate::host::sys::memfd(name, flags)?)
    }

    pub fn anonymous(&self, ops: Box<dyn FileOps>, flags: u32, node: NodeRef) -> Arc<File> {
        let place = Place {
            mount: self.mounts[0].clone(),
            node,
            path: b"/"[..].into(),
        };
        File::new(ops, flags, place)
    }

    pub fn shared(&self) -> &Arc<HostShared> {
        &self.shared
    }
}

/// Is `path` equal to or below `above`? Both canonical.
pub(crate) fn is_beneath(path: &[u8], above: &[u8]) -> bool {
    above == b"/"
        || path
            .strip_prefix(above)
            .is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

fn covering<'a>(mounts: &'a [Arc<Mount>], path: &[u8]) -> Option<&'a Arc<Mount>> {
    mounts
        .iter()
        .rev()
        .filter(|m| is_beneath(path, &m.path))
        .max_by_key(|m| m.path.len())
}

/// An absolute path without "." and empty components; None when it is relative or has "..".
fn normalize(path: &[u8]) -> Option<Vec<u8>> {
    if path.first() != Some(&b'/') {
        return None;
    }
    let mut out = Vec::new();
    for name in path.split(|&b| b == b'/') {
        match name {
            b"" | b"." => {}
            b".." => return None,
            name => {
                out.push(b'/');
                out.extend_from_slice(name);
            }
        }
    }
    if out.is_empty() {
        out.push(b'/');
    }
    Some(out)
}
