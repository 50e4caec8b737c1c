//! Ancillary data: files and credentials (cmsg(3), unix(7)).

use super::sender;
use crate::process::pidfd;
use rivix_abi::resource::Resource;
use rivix_abi::sockopt::{SO_INQ, SO_PASSCRED, SO_PASSPIDFD, SO_TIMESTAMP, SOL_SOCKET};
use rivix_abi::sockopt::{SO_TIMESTAMPNS, SO_TIMESTAMPNS_NEW};
use rivix_abi::{Errno, UserAddress, UserRef};
use rivix_fs::File;
use rivix_fs::unix::{Cred, Extra, Kind, Received, UnixSocket};
use rivix_task::{CurrentTask, cap};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

const SCM_RIGHTS: i32 = 1;
const SCM_CREDENTIALS: i32 = 2;
const SCM_PIDFD: i32 = 4;
/// Files one message may carry (unix(7), SCM_MAX_FD).
const FILES_MAX: usize = 253;
/// sizeof(struct cmsghdr).
const HEADER: usize = 16;
/// net.core.optmem_max, which no buffer reaches.
const CONTROL_MAX: u64 = 131_072;
const MSG_CTRUNC: u32 = 8;

fn number(bytes: &[u8], at: usize) -> i32 {
    let four = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
    i32::from_le_bytes(four.unwrap_or_default())
}

/// What a message's control buffer asks to send along.
pub(super) fn read_control(task: &CurrentTask, at: u64, len: u64) -> Result<Extra, Errno> {
    let mut extra = Extra::new(sender(task));
    let creds = task.creds();
    let may_exceed = creds.has_cap(cap::SYS_RESOURCE) || creds.has_cap(cap::SYS_ADMIN);
    extra.limit = (!may_exceed).then(|| task.rlimit(Resource::Nofile).cur);
    if len == 0 {
        return Ok(extra);
    }
    if len >= CONTROL_MAX {
        return Err(Errno::ENOBUFS);
    }
    let mut bytes = vec![0; len as usize];
    task.read_bytes(UserAddress(at), &mut bytes)?;
    let mut rest = &bytes[..];
    while rest.len() >= HEADER {
        let size = rest[..8].try_into().map_or(0, u64::from_le_bytes);
        let size = usize::try_from(size).map_err(|_| Errno::EINVAL)?;
        if size < HEADER || size > rest.len() {
            return Err(Errno::EINVAL);
        }
        let data = &rest[HEADER..size];
        if number(rest, 8) == SOL_SOCKET {
            match number(rest, 12) {
                SCM_RIGHTS => {
                    let count = data.len() / 4;
                    if extra.rights.len() + count > FILES_MAX {
                        return Err(Errno::EINVAL);
                    }
                    for index in 0..count {
                        let file = task.files().get(number(data, index * 4))?;
                        extra.rights.push(file);
                    }
                }
                SCM_CREDENTIALS if data.len() == 12 => {
                    extra.claimed = Some(claimed(task, data)?);
                }
                _ => return Err(Errno::EINVAL),
            }
        }
        rest = rest.get(size.next_multiple_of(8)..).unwrap_or_default();
    }
    Ok(extra)
}

/// EPERM: credentials the caller does not have; ESRCH: no such process; EINVAL: no id.
fn claimed(task: &CurrentTask, data: &[u8]) -> Result<Cred, Errno> {
    let claim = Cred {
        pid: number(data, 0),
        uid: number(data, 4) as u32,
        gid: number(data, 8) as u32,
    };
    if claim.uid == u32::MAX || claim.gid == u32::MAX {
        return Err(Errno::EINVAL);
    }
    let own = task.creds();
    let pid = claim.pid == task.pid() || own.has_cap(cap::SYS_ADMIN);
    let uid = [own.uid, own.euid, own.suid].contains(&claim.uid) || own.has_cap(cap::SETUID);
    let gid = [own.gid, own.egid, own.sgid].contains(&claim.gid) || own.has_cap(cap::SETGID);
    if !(pid && uid && gid) {
        return Err(Errno::EPERM);
    }
    if claim.pid != task.pid() && task.kernel().find_task(claim.pid).is_none() {
        return Err(Errno::ESRCH);
    }
    Ok(claim)
}

/// A message's control buffer as it is filled.
pub(super) struct Control {
    pub at: u64,
    pub left: u64,
    pub flags: u32,
}

impl Control {
    /// One piece of `data`, cut to the room there is. Where memory ends it is left
    /// out, as Linux leaves it out: what it goes with has been received.
    fn put(&mut self, task: &CurrentTask, kind: i32, data: &[u8]) {
        if self.at == 0 || self.left < HEADER as u64 {
            self.flags |= MSG_CTRUNC;
            return;
        }
        let full = (HEADER + data.len()) as u64;
        if self.left < full {
            self.flags |= MSG_CTRUNC;
        }
        let len = full.min(self.left);
        let room = len as usize - HEADER;
        let text = data.get(..room).unwrap_or_default();
        if self.write(task, kind, len, text).is_ok() {
            self.advance(len);
        }
    }

    fn write(&self, task: &CurrentTask, kind: i32, len: u64, data: &[u8]) -> Result<(), Errno> {
        let [level, kind] = [SOL_SOCKET, kind].map(i32::to_le_bytes);
        let header = [&len.to_le_bytes()[..], &level, &kind, data].concat();
        task.write_bytes(UserAddress(self.at), &header)
    }

    fn advance(&mut self, len: u64) {
        let space = len.next_multiple_of(8).min(self.left);
        self.at = self.at.saturating_add(space);
        self.left -= space;
    }

    /// All that goes with what was received, as far as the receiver wants it.
    pub(super) fn put_all(
        &mut self,
        task: &CurrentTask,
        socket: &UnixSocket,
        got: &mut Received,
        is_cloexec: bool,
    ) {
        self.put_stamp(task, socket, got);
        let cred = got.cred.map(|cred| cred.unwrap_or(Cred::UNKNOWN));
        if let Some(cred) = cred
            && socket.option(SO_PASSCRED) != 0
        {
            let ids = [cred.pid as u32, cred.uid, cred.gid];
            self.put(task, SCM_CREDENTIALS, &ids.map(u32::to_le_bytes).concat());
        }
        self.put_rights(task, std::mem::take(&mut got.rights), is_cloexec);
        if let Some(cred) = cred
            && socket.option(SO_PASSPIDFD) != 0
        {
            self.put_pidfd(task, cred.pid);
        }
        if socket.option(SO_INQ) != 0 {
            let left = socket.available().unwrap_or(0);
            let left = i32::try_from(left).unwrap_or(i32::MAX);
            self.put(task, SO_INQ as i32, &left.to_le_bytes());
        }
    }

    /// SO_TIMESTAMP and its relatives: when it was sent, or, if nobody wanted to know
    /// then, now. The option's number is the message's, too.
    fn put_stamp(&mut self, task: &CurrentTask, socket: &UnixSocket, got: &Received) {
        let option = socket.option(SO_TIMESTAMP);
        if option == 0 || socket.kind() == Kind::Stream || got.cred.is_none() {
            return;
        }
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).ok();
        let stamp = got.stamp.or_else(now).unwrap_or_default();
        let is_nano = [SO_TIMESTAMPNS, SO_TIMESTAMPNS_NEW].contains(&(option as u32));
        let part = match is_nano {
            true => stamp.subsec_nanos(),
            false => stamp.subsec_micros(),
        };
        let words = [stamp.as_secs(), u64::from(part)];
        self.put(task, option, &words.map(u64::to_le_bytes).concat());
    }

    /// SCM_PIDFD: a descriptor of the sender; where there is none, the error's number.
    fn put_pidfd(&mut self, task: &CurrentTask, pid: i32) {
        if self.at == 0 || self.left < HEADER as u64 + 4 {
            self.flags |= MSG_CTRUNC;
            return;
        }
        if pid == 0 {
            return;
        }
        let number = pidfd::reserve_process(task, pid);
        let told = match &number {
            Ok(number) => number.fd(),
            Err(errno) => -errno.raw(),
        };
        let before = self.left;
        self.put(task, SCM_PIDFD, &told.to_le_bytes());
        if self.left < before
            && let Ok(number) = number
        {
            number.publish();
        }
    }

    /// SCM_RIGHTS: as many files as fit the buffer and RLIMIT_NOFILE; the others
    /// are closed, and MSG_CTRUNC tells.
    fn put_rights(&mut self, task: &CurrentTask, files: Vec<Arc<File>>, is_cloexec: bool) {
        if files.is_empty() {
            return;
        }
        let room = match self.at {
            0 => 0,
            _ => self.left.saturating_sub(HEADER as u64) / 4,
        };
        let limit = task.rlimit(Resource::Nofile).cur;
        let total = files.len();
        let mut done = 0u64;
        for file in files.into_iter().take(room.min(FILES_MAX as u64) as usize) {
            let Ok(number) = task.files().reserve(file, is_cloexec, limit) else {
                break;
            };
            let Some(at) = self.at.checked_add(HEADER as u64 + 4 * done) else {
                break;
            };
            if task
                .write(UserRef::new(UserAddress(at)), &number.fd())
                .is_err()
            {
                break;
            }
            number.publish();
            done += 1;
        }
        if done > 0 {
            let len = HEADER as u64 + 4 * done;
            if self.write(task, SCM_RIGHTS, len, &[]).is_ok() {
                self.advance(len);
            }
        }
        if done < total as u64 {
            self.flags |= MSG_CTRUNC;
        }
    }
}
