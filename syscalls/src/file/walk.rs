//! From a handler's arguments to a path walk.

use crate::Fd;
use rivix_abi::fcntl::{AT_EMPTY_PATH, AT_FDCWD, PATH_MAX};
use rivix_abi::resource::Resource;
use rivix_abi::{Errno, UserAddress};
use rivix_fs::{Caller, File, Lookup, Place};
use rivix_task::CurrentTask;
use std::sync::Arc;

/// Who this task is to the file system.
pub(crate) fn caller(task: &CurrentTask) -> Caller {
    let creds = task.creds();
    Caller {
        pid: task.pid(),
        tid: task.tid(),
        uid: creds.fsuid,
        gid: creds.fsgid,
        nofile: limit_nofile(task),
        fsize: task.rlimit(Resource::Fsize).cur,
    }
}

/// The soft RLIMIT_NOFILE.
pub(crate) fn limit_nofile(task: &CurrentTask) -> u64 {
    task.rlimit(Resource::Nofile).cur
}

/// The dirfd argument as a file; None for AT_FDCWD.
pub(crate) fn at(task: &CurrentTask, dirfd: Fd, path: &[u8]) -> Result<Option<Arc<File>>, Errno> {
    // An absolute path makes dirfd meaningless, even a bad one (openat(2)).
    if dirfd.0 == AT_FDCWD || path.first() == Some(&b'/') {
        return Ok(None);
    }
    task.files().get(dirfd.0).map(Some)
}

/// A walk for `path` from `base`.
pub(crate) fn walk<'a>(task: &'a CurrentTask, base: &'a Option<Arc<File>>) -> Lookup<'a> {
    Lookup::new(task.fs().namespace(), task.fs(), caller(task)).from(base.as_deref())
}

/// The place that (dirfd, path, flags) name, with AT_EMPTY_PATH understood.
pub(crate) fn place_at(
    task: &CurrentTask,
    dirfd: Fd,
    path: UserAddress,
    follow: bool,
    flags: u32,
) -> Result<Place, Errno> {
    let may_be_empty = flags & AT_EMPTY_PATH != 0;
    let path = if path.is_null() && may_be_empty {
        Vec::new()
    } else {
        task.mm().read_cstr(path, PATH_MAX)?
    };
    if path.is_empty() && may_be_empty {
        return Ok(match at(task, dirfd, &path)? {
            Some(file) => file.place().clone(),
            None => task.fs().cwd(),
        });
    }
    let base = at(task, dirfd, &path)?;
    walk(task, &base).resolve(&path, follow)
}
