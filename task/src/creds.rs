//! Who a task is (credentials(7), capabilities(7)).

use std::sync::Arc;

/// A task's identity. Immutable: changes make a new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Creds {
    pub uid: u32,
    pub euid: u32,
    pub suid: u32,
    pub fsuid: u32,
    pub gid: u32,
    pub egid: u32,
    pub sgid: u32,
    pub fsgid: u32,
    pub groups: Arc<[u32]>,
    pub permitted: u64,
    pub effective: u64,
    pub inheritable: u64,
    pub bounding: u64,
    pub keep_caps: bool,
}

/// Capability numbers we ask about.
pub mod cap {
    pub const KILL: u32 = 5;
    pub const SETGID: u32 = 6;
    pub const SETUID: u32 = 7;
    pub const SETPCAP: u32 = 8;
    pub const NET_ADMIN: u32 = 12;
    pub const NET_RAW: u32 = 13;
    pub const IPC_LOCK: u32 = 14;
    pub const SYS_PTRACE: u32 = 19;
    pub const SYS_ADMIN: u32 = 21;
    pub const SYS_NICE: u32 = 23;
    pub const SYS_RESOURCE: u32 = 24;
    pub const CHECKPOINT_RESTORE: u32 = 40;
    pub const LAST: u32 = 40;
    pub const ALL: u64 = (1 << (LAST + 1)) - 1;
}

impl Creds {
    /// An ordinary user, or root with every capability.
    pub fn user(uid: u32, gid: u32, groups: Vec<u32>) -> Creds {
        let caps = if uid == 0 { cap::ALL } else { 0 };
        Creds {
            uid,
            euid: uid,
            suid: uid,
            fsuid: uid,
            gid,
            egid: gid,
            sgid: gid,
            fsgid: gid,
            groups: groups.into(),
            permitted: caps,
            effective: caps,
            inheritable: 0,
            bounding: cap::ALL,
            keep_caps: false,
        }
    }

    /// The identity of the host process.
    pub fn of_host() -> Creds {
        let groups = nix::unistd::getgroups().unwrap_or_default();
        Creds::user(
            nix::unistd::getuid().as_raw(),
            nix::unistd::getgid().as_raw(),
            groups.into_iter().map(nix::unistd::Gid::as_raw).collect(),
        )
    }

    pub fn has_cap(&self, number: u32) -> bool {
        self.effective & 1 << number != 0
    }

    /// capabilities(7), "Effect of user ID changes on capabilities".
    pub fn after_uid_change(mut self, old: &Creds) -> Creds {
        let had_root = old.uid == 0 || old.euid == 0 || old.suid == 0;
        let has_root = self.uid == 0 || self.euid == 0 || self.suid == 0;
        if had_root && !has_root && !self.keep_caps {
            self.permitted = 0;
            self.effective = 0;
        }
        if old.euid == 0 && self.euid != 0 {
            self.effective = 0;
        }
        if old.euid != 0 && self.euid == 0 {
            self.effective = self.permitted;
        }
        self
    }

    /// Are these the same effective ids, and no right more, than `old`?
    pub(crate) fn is_at_most(&self, old: &Creds) -> bool {
        let ids = |c: &Creds| (c.euid, c.egid, c.fsuid, c.fsgid);
        ids(self) == ids(old) && self.permitted & !old.permitted == 0
    }

    /// ptrace(2), PTRACE_MODE_ATTACH_REALCREDS: may a task with these
    /// credentials look into one with `target`'s?
    pub fn may_trace(&self, target: &Creds) -> bool {
        let same = [target.uid, target.euid, target.suid] == [self.uid; 3]
            && [target.gid, target.egid, target.sgid] == [self.gid; 3];
        self.has_cap(cap::SYS_PTRACE) || same && target.permitted & !self.permitted == 0
    }

    /// kill(2): may a task with these credentials signal one with `target`'s?
    pub fn may_signal(&self, target: &Creds) -> bool {
        self.has_cap(cap::KILL)
            || [self.euid, self.uid]
                .iter()
                .any(|id| *id == target.uid || *id == target.suid)
    }
}
