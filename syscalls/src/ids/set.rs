//! The calls that change ids: setuid(2), setreuid(2), setresuid(2), setfsuid(2)
//! and their group twins. The rules are the same for users and groups; what
//! differs is where the ids stand and that user ids carry capabilities.

use rivix_abi::Errno;
use rivix_task::{Creds, CurrentTask, SysResult, cap};

/// "Leave this id alone."
const KEEP: u32 = u32::MAX;

/// Real, effective and saved id.
#[derive(Clone, Copy)]
struct Ids {
    real: u32,
    effective: u32,
    saved: u32,
}

impl Ids {
    fn contains(&self, id: u32) -> bool {
        [self.real, self.effective, self.saved].contains(&id)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Which {
    User,
    Group,
}

impl Which {
    fn ids(self, creds: &Creds) -> Ids {
        match self {
            Which::User => Ids {
                real: creds.uid,
                effective: creds.euid,
                saved: creds.suid,
            },
            Which::Group => Ids {
                real: creds.gid,
                effective: creds.egid,
                saved: creds.sgid,
            },
        }
    }

    fn is_privileged(self, creds: &Creds) -> bool {
        creds.has_cap(if self == Which::User {
            cap::SETUID
        } else {
            cap::SETGID
        })
    }

    /// Installs new ids; the file-system id follows the effective one.
    fn install(self, task: &mut CurrentTask, ids: Ids) {
        let old = task.creds().clone();
        let mut new = (*old).clone();
        match self {
            Which::User => {
                (new.uid, new.euid, new.suid) = (ids.real, ids.effective, ids.saved);
                new.fsuid = ids.effective;
                new = new.after_uid_change(&old);
            }
            Which::Group => {
                (new.gid, new.egid, new.sgid) = (ids.real, ids.effective, ids.saved);
                new.fsgid = ids.effective;
            }
        }
        task.set_creds(new);
    }
}

pub fn setuid(task: &mut CurrentTask, id: u32) -> SysResult<()> {
    set_one(task, Which::User, id)
}

pub fn setgid(task: &mut CurrentTask, id: u32) -> SysResult<()> {
    set_one(task, Which::Group, id)
}

fn set_one(task: &mut CurrentTask, which: Which, id: u32) -> SysResult<()> {
    if id == KEEP {
        return Err(Errno::EINVAL.into());
    }
    let old = which.ids(task.creds());
    let new = if which.is_privileged(task.creds()) {
        Ids {
            real: id,
            effective: id,
            saved: id,
        }
    } else if id == old.real || id == old.saved {
        Ids {
            effective: id,
            ..old
        }
    } else {
        return Err(Errno::EPERM.into());
    };
    which.install(task, new);
    Ok(())
}

pub fn setreuid(task: &mut CurrentTask, real: u32, effective: u32) -> SysResult<()> {
    set_two(task, Which::User, real, effective)
}

pub fn setregid(task: &mut CurrentTask, real: u32, effective: u32) -> SysResult<()> {
    set_two(task, Which::Group, real, effective)
}

fn set_two(task: &mut CurrentTask, which: Which, real: u32, effective: u32) -> SysResult<()> {
    let old = which.ids(task.creds());
    let mut new = old;
    if real != KEEP {
        new.real = real;
    }
    if effective != KEEP {
        new.effective = effective;
    }
    if !which.is_privileged(task.creds()) {
        let real_ok = real == KEEP || real == old.real || real == old.effective;
        if !real_ok || !(effective == KEEP || old.contains(effective)) {
            return Err(Errno::EPERM.into());
        }
    }
    if real != KEEP || (effective != KEEP && effective != old.real) {
        new.saved = new.effective;
    }
    which.install(task, new);
    Ok(())
}

pub fn setresuid(task: &mut CurrentTask, real: u32, effective: u32, saved: u32) -> SysResult<()> {
    set_three(task, Which::User, real, effective, saved)
}

pub fn setresgid(task: &mut CurrentTask, real: u32, effective: u32, saved: u32) -> SysResult<()> {
    set_three(task, Which::Group, real, effective, saved)
}

fn set_three(
    task: &mut CurrentTask,
    which: Which,
    real: u32,
    effective: u32,
    saved: u32,
) -> SysResult<()> {
    let old = which.ids(task.creds());
    let is_allowed = |id: u32| id == KEEP || old.contains(id);
    if !which.is_privileged(task.creds()) && ![real, effective, saved].into_iter().all(is_allowed) {
        return Err(Errno::EPERM.into());
    }
    let pick = |new: u32, old: u32| if new == KEEP { old } else { new };
    let new = Ids {
        real: pick(real, old.real),
        effective: pick(effective, old.effective),
        saved: pick(saved, old.saved),
    };
    which.install(task, new);
    Ok(())
}

/// Never fails: gives the id before, changed or not.
pub fn setfsuid(task: &mut CurrentTask, id: u32) -> SysResult<u32> {
    let creds = task.creds().clone();
    let may = Which::User.is_privileged(&creds)
        || id == creds.fsuid
        || Which::User.ids(&creds).contains(id);
    if id != KEEP && may {
        task.set_creds(Creds {
            fsuid: id,
            ..(*creds).clone()
        });
    }
    Ok(creds.fsuid)
}

/// As `setfsuid`.
pub fn setfsgid(task: &mut CurrentTask, id: u32) -> SysResult<u32> {
    let creds = task.creds().clone();
    let may = Which::Group.is_privileged(&creds)
        || id == creds.fsgid
        || Which::Group.ids(&creds).contains(id);
    if id != KEEP && may {
        task.set_creds(Creds {
            fsgid: id,
            ..(*creds).clone()
        });
    }
    Ok(creds.fsgid)
}
