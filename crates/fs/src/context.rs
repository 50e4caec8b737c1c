//! What a process brings to a path walk.

use crate::{Namespace, Place};
use rivix_abi::Errno;
use rivix_sync::{Mutex, level};
use std::sync::Arc;

/// Who walks: /proc/self and permission checks depend on it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Caller {
    /// Process id (thread group id).
    pub pid: i32,
    /// Thread id.
    pub tid: i32,
    /// Effective ids; access(2) passes the real ones.
    pub uid: u32,
    pub gid: u32,
    /// RLIMIT_NOFILE and RLIMIT_FSIZE of the caller, soft.
    pub nofile: u64,
    pub fsize: u64,
}

struct State {
    root: Place,
    cwd: Place,
    umask: u32,
}

/// Current directory, root and umask; shared by tasks cloned with CLONE_FS.
pub struct FsContext {
    ns: Arc<Namespace>,
    state: Mutex<level::FsContext, State>,
}

impl FsContext {
    pub fn new(ns: Arc<Namespace>, root: Place, cwd: Place, umask: u32) -> Arc<FsContext> {
        let state = State {
            root,
            cwd,
            umask: umask & 0o777,
        };
        Arc::new(FsContext {
            ns,
            state: Mutex::new(state),
        })
    }

    /// The mounts this process sees.
    pub fn namespace(&self) -> &Arc<Namespace> {
        &self.ns
    }

    /// A copy for a child that does not share it.
    pub fn fork(&self) -> Arc<FsContext> {
        let state = self.state.lock();
        Self::new(
            self.ns.clone(),
            state.root.clone(),
            state.cwd.clone(),
            state.umask,
        )
    }

    pub fn root(&self) -> Place {
        self.state.lock().root.clone()
    }

    pub fn cwd(&self) -> Place {
        self.state.lock().cwd.clone()
    }

    /// getcwd(2): the current directory as seen from the root. ENOENT: it was removed.
    pub fn cwd_path(&self) -> Result<Vec<u8>, Errno> {
        let (root, cwd) = {
            let state = self.state.lock();
            (state.root.clone(), state.cwd.clone())
        };
        if cwd.node.is_unlinked() {
            return Err(Errno::ENOENT);
        }
        Ok(
            crate::lookup::relative_to(&cwd.display_path(), &root.display_path())
                .unwrap_or_else(|| [b"(unreachable)", &cwd.path[..]].concat()),
        )
    }

    pub fn umask(&self) -> u32 {
        self.state.lock().umask
    }

    /// Sets the umask and returns the old one.
    pub fn set_umask(&self, umask: u32) -> u32 {
        std::mem::replace(&mut self.state.lock().umask, umask & 0o777)
    }

    /// chdir(2) and fchdir(2), once the place is known.
    pub fn set_cwd(&self, place: Place) -> Result<(), Errno> {
        if !place.is_dir() {
            return Err(Errno::ENOTDIR);
        }
        self.state.lock().cwd = place;
        Ok(())
    }

    /// chroot(2), once the place is known and the caller allowed.
    pub fn set_root(&self, place: Place) -> Result<(), Errno> {
        if !place.is_dir() {
            return Err(Errno::ENOTDIR);
        }
        self.state.lock().root = place;
        Ok(())
    }
}
