//! Process descriptors: pidfd_open(2), pidfd_send_signal(2), pidfd_getfd(2).

use crate::arg::Fd;
use rivix_abi::fcntl::{O_NONBLOCK, O_RDWR};
use rivix_abi::poll::{POLLHUP, POLLIN, POLLRDNORM};
use rivix_abi::resource::Resource;
use rivix_abi::signal::{SigInfo, si_code};
use rivix_abi::{Errno, Signal, UserRef};
use rivix_fs::anon::AnonNode;
use rivix_fs::{File, FileOps, Reservation, Sink, Source};
use rivix_sync::WaitQueue;
use rivix_task::{CurrentTask, SendTo, SysResult, Task, ThreadGroup};
use std::sync::Arc;

/// PIDFD_THREAD: of one thread. A status flag of the descriptor, too.
const THREAD: u32 = 0x80;
/// PIDFD_NONBLOCK.
const NONBLOCK: u32 = O_NONBLOCK;

/// pidfd_send_signal's flags: whom, whatever the descriptor names.
const SIGNAL_THREAD: u32 = 1;
const SIGNAL_THREAD_GROUP: u32 = 2;
const SIGNAL_PROCESS_GROUP: u32 = 4;
/// In place of a descriptor: the calling thread, the calling process.
const SELF_THREAD: i32 = -10_000;
const SELF_THREAD_GROUP: i32 = -10_001;

/// What a process descriptor names; it keeps naming it after its end. A leader
/// and its process have one number, and are one thing here.
#[derive(Clone)]
pub(crate) enum Named {
    Process(Arc<ThreadGroup>),
    /// A thread by the number that it had.
    Thread(Arc<Task>, i32),
}

impl Named {
    fn of(task: &Arc<Task>) -> Named {
        let tid = task.tid();
        if tid == task.pid() {
            Named::Process(task.group().clone())
        } else {
            Named::Thread(task.clone(), tid)
        }
    }

    fn group(&self) -> &Arc<ThreadGroup> {
        match self {
            Named::Process(group) => group,
            Named::Thread(task, _) => task.group(),
        }
    }

    /// Has the number been given back, so that nothing can be done to it?
    fn is_reaped(&self) -> bool {
        match self {
            Named::Process(group) => group.is_reaped(),
            Named::Thread(task, tid) => task.is_gone_as(*tid),
        }
    }

    /// The thread with the number: the leader of a process.
    fn task(&self) -> Option<Arc<Task>> {
        match self {
            Named::Process(group) => group.leader(),
            Named::Thread(task, _) => Some(task.clone()),
        }
    }
}

pub(crate) struct PidFd {
    named: Named,
}

impl FileOps for PidFd {
    fn read(&self, _: &File, _: &mut dyn Sink, _: Option<u64>) -> Result<usize, Errno> {
        Err(Errno::EINVAL)
    }

    fn write(&self, _: &File, _: &mut dyn Source, _: Option<u64>) -> Result<usize, Errno> {
        Err(Errno::EINVAL)
    }

    /// A dead leader is no event while other threads of its process live.
    fn poll(&self, _: &File) -> u32 {
        let is_dead = match &self.named {
            Named::Process(group) => group.is_dead(),
            Named::Thread(..) => false,
        };
        match (self.named.is_reaped(), is_dead) {
            (true, _) => POLLIN | POLLRDNORM | POLLHUP,
            (false, true) => POLLIN | POLLRDNORM,
            (false, false) => 0,
        }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(self.named.group().ended())
    }

    fn fdinfo(&self, _: &File, out: &mut String) {
        let pid = match &self.named {
            named if named.is_reaped() => -1,
            Named::Process(group) => group.pid(),
            Named::Thread(_, tid) => *tid,
        };
        out.push_str(&format!("Pid:\t{pid}\nNSpid:\t{pid}\n"));
    }
}

/// A close-on-exec descriptor for `target` that nobody sees yet.
fn reserve_for(task: &CurrentTask, target: Named, flags: u32) -> Result<Reservation, Errno> {
    let ops = Box::new(PidFd { named: target });
    let status = O_RDWR | flags & NONBLOCK;
    let node = AnonNode::inode("[pidfd]");
    let file = task.fs().namespace().anonymous(ops, status, node);
    file.raise_flags(flags & THREAD);
    let limit = task.rlimit(Resource::Nofile).cur;
    task.files().reserve(file, true, limit)
}

/// A descriptor for the process `pid`, that nobody sees yet: ESRCH.
pub(crate) fn reserve_process(task: &CurrentTask, pid: i32) -> Result<Reservation, Errno> {
    let found = task.kernel().find_task(pid).ok_or(Errno::ESRCH)?;
    reserve_for(task, Named::of(&found), 0)
}

/// The descriptor that CLONE_PIDFD asks for.
pub(super) fn reserve(
    task: &CurrentTask,
    child: &Arc<Task>,
    is_thread: bool,
) -> Result<Reservation, Errno> {
    let flags = if is_thread { THREAD } else { 0 };
    reserve_for(task, Named::of(child), flags)
}

/// What a descriptor names, and its file.
fn named(task: &CurrentTask, fd: i32) -> Result<(Named, Arc<File>), Errno> {
    let file = task.files().get(fd)?;
    let named = file
        .downcast::<PidFd>()
        .map(|p| p.named.clone())
        .ok_or(Errno::EBADF)?;
    Ok((named, file))
}

/// The process that a descriptor names, and its file; None: a thread, which
/// nobody waits for.
pub(super) fn named_process(
    task: &CurrentTask,
    fd: i32,
) -> Result<(Option<Arc<ThreadGroup>>, Arc<File>), Errno> {
    let (named, file) = named(task, fd)?;
    let group = match named {
        Named::Process(group) => Some(group),
        Named::Thread(..) => None,
    };
    Ok((group, file))
}

pub fn pidfd_open(task: &mut CurrentTask, pid: i32, flags: u32) -> SysResult<Fd> {
    if flags & !(NONBLOCK | THREAD) != 0 || pid <= 0 {
        return Err(Errno::EINVAL.into());
    }
    let found = task.kernel().find_task(pid).ok_or(Errno::ESRCH)?;
    let target = Named::of(&found);
    if flags & THREAD == 0 && matches!(target, Named::Thread(..)) {
        // The number is no process's.
        return Err(Errno::ENOENT.into());
    }
    Ok(Fd(reserve_for(task, target, flags)?.publish()))
}

/// Whom a signal through a descriptor is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Thread,
    Process,
    Group,
}

pub fn pidfd_send_signal(
    task: &mut CurrentTask,
    fd: i32,
    signal: i32,
    info: UserRef<SigInfo>,
    flags: u32,
) -> SysResult<()> {
    let asked = match flags {
        0 => None,
        SIGNAL_THREAD => Some(Scope::Thread),
        SIGNAL_THREAD_GROUP => Some(Scope::Process),
        SIGNAL_PROCESS_GROUP => Some(Scope::Group),
        _ => return Err(Errno::EINVAL.into()),
    };
    let (target, scope) = match fd {
        SELF_THREAD => (Named::of(task.task()), Scope::Thread),
        SELF_THREAD_GROUP => (Named::Process(task.group().clone()), Scope::Process),
        fd => {
            let (target, file) = named_to_signal(task, fd)?;
            let is_thread = file.flags() & THREAD != 0;
            let scope = if is_thread {
                Scope::Thread
            } else {
                Scope::Process
            };
            (target, scope)
        }
    };
    let scope = asked.unwrap_or(scope);
    let info = match info.non_null() {
        None => None,
        Some(at) => Some(read_info(task, at, signal, &target, scope)?),
    };
    Ok(send(task, &target, scope, signal, info)?)
}

/// As [`named`]; a process's directory in /proc will do, too.
fn named_to_signal(task: &CurrentTask, fd: i32) -> Result<(Named, Arc<File>), Errno> {
    let file = task.files().get(fd)?;
    let Some(pid) = file.node().process() else {
        return named(task, fd);
    };
    let found = task.kernel().find_task(pid).ok_or(Errno::ESRCH)?;
    Ok((Named::Process(found.group().clone()), file))
}

/// Who forges what a kernel alone says does it to itself only.
fn read_info(
    task: &CurrentTask,
    at: UserRef<SigInfo>,
    signal: i32,
    target: &Named,
    scope: Scope,
) -> Result<SigInfo, Errno> {
    let info = task.read(at)?;
    if info.signo != signal {
        return Err(Errno::EINVAL);
    }
    let is_own = match target {
        Named::Process(group) => group.pid() == task.tid() && !group.is_reaped(),
        Named::Thread(other, _) => Arc::ptr_eq(other, task.task()),
    };
    let is_forged = info.code >= 0 || info.code == si_code::TKILL;
    if is_forged && (!is_own || scope == Scope::Group) {
        return Err(Errno::EPERM);
    }
    Ok(info)
}

fn send(
    task: &CurrentTask,
    target: &Named,
    scope: Scope,
    signal: i32,
    info: Option<SigInfo>,
) -> Result<(), Errno> {
    let checked = || match signal {
        0 => Ok(None),
        n => Signal::new(n.into()).map(Some).ok_or(Errno::EINVAL),
    };
    let kernel = task.kernel();
    if scope == Scope::Group {
        // The group is the one with this number, whose leader may be gone.
        let Named::Process(group) = target else {
            return Err(Errno::ESRCH);
        };
        return kernel.kill(Some(task), SendTo::Group(group.pid()), checked()?, info);
    }
    // The number may name another process by now.
    if target.is_reaped() {
        return Err(Errno::ESRCH);
    }
    let signal = checked()?;
    match (scope, target.task()) {
        (Scope::Thread, Some(thread)) => kernel.signal_thread(task, &thread, signal, info),
        // A dead leader may be asked for, and takes nothing.
        (Scope::Thread, None) => kernel.signal_process(task, target.group(), None, info),
        _ => kernel.signal_process(task, target.group(), signal, info),
    }
}

/// Taking a descriptor out of another process needs the right to trace it
/// (ptrace(2), PTRACE_MODE_ATTACH_REALCREDS).
pub fn pidfd_getfd(task: &mut CurrentTask, fd: i32, target: i32, flags: u32) -> SysResult<Fd> {
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let (named, _) = named(task, fd)?;
    if named.is_reaped() {
        return Err(Errno::ESRCH.into());
    }
    let member = named.task().ok_or(Errno::ESRCH)?;
    if member.pid() != task.pid() && !member.lets_look(task.creds()) {
        return Err(Errno::EPERM.into());
    }
    let file = member.fd_table().ok_or(Errno::ESRCH)?.get(target)?;
    let limit = task.rlimit(Resource::Nofile).cur;
    Ok(Fd(task.files().insert_lowest(file, true, 0, limit)?))
}
