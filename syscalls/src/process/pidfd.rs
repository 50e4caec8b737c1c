//! Process descriptors: pidfd_open(2), pidfd_send_signal(2), pidfd_getfd(2).

use crate::arg::Fd;
use rivix_abi::fcntl::{O_NONBLOCK, O_RDWR};
use rivix_abi::poll::{POLLHUP, POLLIN, POLLRDNORM};
use rivix_abi::signal::{SigInfo, si_code};
use rivix_abi::{Errno, Signal, UserRef};
use rivix_fs::anon::AnonNode;
use rivix_fs::{File, FileOps, Sink, Source};
use rivix_sync::WaitQueue;
use rivix_task::{CurrentTask, SendTo, SysResult, ThreadGroup};
use std::sync::Arc;

/// What a process descriptor names; it keeps naming it after its end.
pub(crate) struct PidFd {
    group: Arc<ThreadGroup>,
}

impl FileOps for PidFd {
    fn read(&self, _: &File, _: &mut dyn Sink, _: Option<u64>) -> Result<usize, Errno> {
        Err(Errno::EINVAL)
    }

    fn write(&self, _: &File, _: &mut dyn Source, _: Option<u64>) -> Result<usize, Errno> {
        Err(Errno::EINVAL)
    }

    fn poll(&self, _: &File) -> u32 {
        match (self.group.is_dead(), self.group.is_reaped()) {
            (false, _) => 0,
            (true, false) => POLLIN | POLLRDNORM,
            (true, true) => POLLIN | POLLRDNORM | POLLHUP,
        }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(self.group.ended())
    }

    fn fdinfo(&self, _: &File, out: &mut String) {
        let pid = if self.group.is_reaped() {
            -1
        } else {
            self.group.pid()
        };
        out.push_str(&format!("Pid:\t{pid}\nNSpid:\t{pid}\n"));
    }
}

/// A new close-on-exec descriptor for `group`.
pub(super) fn install(
    task: &CurrentTask,
    group: Arc<ThreadGroup>,
    flags: u32,
) -> Result<(i32, Arc<ThreadGroup>), Errno> {
    let ops = Box::new(PidFd {
        group: group.clone(),
    });
    let status = O_RDWR | flags & O_NONBLOCK;
    let fd = task.install_anonymous(ops, status, AnonNode::inode("[pidfd]"), true)?;
    Ok((fd, group))
}

/// The process that a descriptor names, and the descriptor's file.
pub(super) fn named(task: &CurrentTask, fd: i32) -> Result<(Arc<ThreadGroup>, Arc<File>), Errno> {
    let file = task.files().get(fd)?;
    let group = file
        .downcast::<PidFd>()
        .map(|p| p.group.clone())
        .ok_or(Errno::EBADF)?;
    Ok((group, file))
}

pub fn pidfd_open(task: &mut CurrentTask, pid: i32, flags: u32) -> SysResult<Fd> {
    // PIDFD_THREAD is not offered, as before Linux 6.9.
    if flags & !O_NONBLOCK != 0 || pid <= 0 {
        return Err(Errno::EINVAL.into());
    }
    let Some(group) = task.kernel().find_process(pid) else {
        let is_thread = task.kernel().find_task(pid).is_some();
        return Err(if is_thread {
            Errno::EINVAL
        } else {
            Errno::ESRCH
        }
        .into());
    };
    Ok(Fd(install(task, group, flags)?.0))
}

pub fn pidfd_send_signal(
    task: &mut CurrentTask,
    fd: i32,
    signal: i32,
    info: UserRef<SigInfo>,
    flags: u32,
) -> SysResult<()> {
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let (group, _) = named(task, fd)?;
    let info = match info.non_null() {
        None => None,
        Some(at) => {
            let info = task.read(at)?;
            if info.signo != signal {
                return Err(Errno::EINVAL.into());
            }
            let is_forged = info.code >= 0 || info.code == si_code::TKILL;
            if is_forged && group.pid() != task.pid() {
                return Err(Errno::EPERM.into());
            }
            Some(info)
        }
    };
    let signal = match signal {
        0 => None,
        n => Some(Signal::new(n.into()).ok_or(Errno::EINVAL)?),
    };
    // The number may name another process by now.
    if group.is_reaped() {
        return Err(Errno::ESRCH.into());
    }
    Ok(task
        .kernel()
        .kill(Some(task), SendTo::Process(group.pid()), signal, info)?)
}

/// Taking a descriptor out of another process needs the right to trace it,
/// which the same user has (ptrace(2), PTRACE_MODE_ATTACH_REALCREDS).
pub fn pidfd_getfd(task: &mut CurrentTask, fd: i32, target: i32, flags: u32) -> SysResult<Fd> {
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let (group, _) = named(task, fd)?;
    let member = group.threads().into_iter().next().ok_or(Errno::ESRCH)?;
    let (own, other) = (task.creds(), member.creds());
    if own.uid != 0
        && [other.uid, other.euid, other.suid]
            .iter()
            .any(|id| *id != own.uid)
    {
        return Err(Errno::EPERM.into());
    }
    let file = member.fd_table().ok_or(Errno::ESRCH)?.get(target)?;
    let limit = task.rlimit(rivix_abi::resource::Resource::Nofile).cur;
    Ok(Fd(task.files().insert_lowest(file, true, 0, limit)?))
}
