//! Ancillary data: files and credentials (cmsg(3), unix(7)).

use super::cred;
use rivix_abi::resource::Resource;
use rivix_abi::{Errno, UserAddress, UserRef};
use rivix_fs::File;
use rivix_fs::unix::{Cred, Extra};
use rivix_task::{CurrentTask, cap};
use std::sync::Arc;

const SOL_SOCKET: i32 = 1;
const SCM_RIGHTS: i32 = 1;
const SCM_CREDENTIALS: i32 = 2;
/// Files one message may carry (unix(7), SCM_MAX_FD).
const FILES_MAX: usize = 253;
/// sizeof(struct cmsghdr).
const HEADER: usize = 16;
/// net.core.optmem_max.
const CONTROL_MAX: u64 = 131_072;
const MSG_CTRUNC: u32 = 8;

fn number(bytes: &[u8], at: usize) -> i32 {
    let four = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
    i32::from_le_bytes(four.unwrap_or_default())
}

/// What a message's control buffer asks to send along.
pub(super) fn read_control(task: &CurrentTask, at: u64, len: u64) -> Result<Extra, Errno> {
    let mut extra = Extra::new(cred(task));
    let creds = task.creds();
    let may_exceed = creds.has_cap(cap::SYS_RESOURCE) || creds.has_cap(cap::SYS_ADMIN);
    extra.limit = (!may_exceed).then(|| task.rlimit(Resource::Nofile).cur);
    if len == 0 {
        return Ok(extra);
    }
    if len > CONTROL_MAX {
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
                    extra.cred = claimed(task, data)?;
                }
                _ => return Err(Errno::EINVAL),
            }
        }
        rest = rest.get(size.next_multiple_of(8)..).unwrap_or_default();
    }
    Ok(extra)
}

/// EPERM: credentials the caller does not have.
fn claimed(task: &CurrentTask, data: &[u8]) -> Result<Cred, Errno> {
    let claim = Cred {
        pid: number(data, 0),
        uid: number(data, 4) as u32,
        gid: number(data, 8) as u32,
    };
    let own = task.creds();
    let pid = claim.pid == task.pid() || own.has_cap(cap::SYS_ADMIN);
    let uid = [own.uid, own.euid, own.suid].contains(&claim.uid) || own.has_cap(cap::SETUID);
    let gid = [own.gid, own.egid, own.sgid].contains(&claim.gid) || own.has_cap(cap::SETGID);
    if pid && uid && gid {
        Ok(claim)
    } else {
        Err(Errno::EPERM)
    }
}

/// A message's control buffer as it is filled.
pub(super) struct Control {
    pub at: u64,
    pub left: u64,
    pub flags: u32,
}

impl Control {
    fn header(&self, task: &CurrentTask, kind: i32, len: u64) -> Result<(), Errno> {
        let mut header = [0; HEADER];
        header[..8].copy_from_slice(&len.to_le_bytes());
        header[8..12].copy_from_slice(&SOL_SOCKET.to_le_bytes());
        header[12..].copy_from_slice(&kind.to_le_bytes());
        task.write_bytes(UserAddress(self.at), &header)
    }

    fn advance(&mut self, len: u64) {
        let space = len.next_multiple_of(8).min(self.left);
        self.at = self.at.saturating_add(space);
        self.left -= space;
    }

    /// SCM_CREDENTIALS, cut to the room there is.
    pub(super) fn put_cred(&mut self, task: &CurrentTask, cred: Cred) -> Result<(), Errno> {
        let full = HEADER as u64 + 12;
        if self.at == 0 || self.left < HEADER as u64 {
            self.flags |= MSG_CTRUNC;
            return Ok(());
        }
        if self.left < full {
            self.flags |= MSG_CTRUNC;
        }
        let len = full.min(self.left);
        let mut data = [0; 12];
        data[..4].copy_from_slice(&cred.pid.to_le_bytes());
        data[4..8].copy_from_slice(&cred.uid.to_le_bytes());
        data[8..].copy_from_slice(&cred.gid.to_le_bytes());
        self.header(task, SCM_CREDENTIALS, len)?;
        let room = len as usize - HEADER;
        task.write_bytes(UserAddress(self.at + HEADER as u64), &data[..room])?;
        self.advance(len);
        Ok(())
    }

    /// SCM_RIGHTS: as many files as fit the buffer and RLIMIT_NOFILE; the others
    /// are closed, and MSG_CTRUNC tells.
    pub(super) fn put_rights(
        &mut self,
        task: &CurrentTask,
        files: Vec<Arc<File>>,
        is_cloexec: bool,
    ) {
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
            if self.header(task, SCM_RIGHTS, len).is_ok() {
                self.advance(len);
            }
        }
        if done < total as u64 {
            self.flags |= MSG_CTRUNC;
        }
    }
}
