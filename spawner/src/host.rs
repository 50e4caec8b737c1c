//! What a thread asks of the host about itself. Under a model these do nothing.

use crate::{Class, Name, Role};
use nix::errno::Errno;

#[cfg(not(rivix_model))]
mod set {
    use super::*;
    use nix::sched::{CpuSet, sched_setaffinity};
    use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};
    use nix::unistd::Pid;

    pub(crate) fn set_name(name: Name) {
        if let Ok(name) = std::ffi::CString::new(name.as_str()) {
            let _ = nix::sys::prctl::set_name(&name);
        }
    }

    /// Blocks every signal: an embedder's signals belong to the embedder's
    /// threads. A unit that needs one unblocks it for its own time; what it leaves
    /// unblocked stays so until its thread sleeps, ends, or meets a panic.
    pub(crate) fn block_signals() {
        let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None);
    }

    pub(crate) fn pin(cpu: usize) -> Result<(), Errno> {
        let mut set = CpuSet::new();
        set.set(cpu)?;
        sched_setaffinity(Pid::from_raw(0), &set)
    }

    /// A host's policy and priority (sched_setscheduler(2)).
    type Policy = (libc::c_int, libc::c_int);

    pub(crate) fn set_class(class: Class) -> Result<(), Errno> {
        set_policy(match class {
            Class::Normal => (libc::SCHED_OTHER, 0),
            Class::Batch => (libc::SCHED_BATCH, 0),
            Class::Idle => (libc::SCHED_IDLE, 0),
            Class::Fifo(priority) => (libc::SCHED_FIFO, i32::from(priority)),
            Class::RoundRobin(priority) => (libc::SCHED_RR, i32::from(priority)),
        })
    }

    fn policy() -> Result<Policy, Errno> {
        // SAFETY: H1, no pointers; 0 is this thread.
        let policy = Errno::result(unsafe { libc::sched_getscheduler(0) })?;
        let mut parameters = libc::sched_param { sched_priority: 0 };
        // SAFETY: H1, an initialised structure; 0 is this thread.
        Errno::result(unsafe { libc::sched_getparam(0, &mut parameters) })?;
        Ok((policy, parameters.sched_priority))
    }

    fn set_policy((policy, sched_priority): Policy) -> Result<(), Errno> {
        let parameters = libc::sched_param { sched_priority };
        // SAFETY: H1, an initialised structure; 0 is this thread.
        Errno::result(unsafe { libc::sched_setscheduler(0, policy, &parameters) }).map(drop)
    }

    pub(crate) fn nice() -> Result<i32, Errno> {
        Errno::clear();
        // SAFETY: H1, no pointers; on Linux 0 is this thread.
        let nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
        match Errno::last() {
            errno if nice == -1 && errno as i32 != 0 => Err(errno),
            _ => Ok(nice),
        }
    }

    fn set_nice(nice: i32) -> Result<(), Errno> {
        // SAFETY: H1, no pointers.
        Errno::result(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) }).map(drop)
    }

    /// What a thread was before it took on a role.
    #[derive(Clone, Copy, Default)]
    pub(crate) struct Before {
        policy: Option<Policy>,
        nice: Option<i32>,
    }

    /// Takes on `role`; what to restore.
    pub(crate) fn assume(role: Role) -> (Before, Result<(), Errno>) {
        let mut before = Before::default();
        if let Some(nice_wanted) = role.nice {
            match nice().and_then(|old| set_nice(nice_wanted).map(|()| old)) {
                Ok(old) => before.nice = Some(old),
                Err(errno) => return (before, Err(errno)),
            }
        }
        if let Some(class) = role.class {
            match policy().and_then(|old| set_class(class).map(|()| old)) {
                Ok(old) => before.policy = Some(old),
                Err(errno) => return (before, Err(errno)),
            }
        }
        (before, Ok(()))
    }

    /// Goes back to what `assume` gave. On failure the thread is spoiled for
    /// other units (an unprivileged thread may raise its nice value, not lower it).
    pub(crate) fn restore(before: Before) -> Result<(), Errno> {
        let policy = before.policy.map_or(Ok(()), set_policy);
        before.nice.map_or(Ok(()), set_nice).and(policy)
    }

    /// The error number of a failed thread creation.
    pub(crate) fn errno_of(error: &std::io::Error) -> Errno {
        error.raw_os_error().map_or(Errno::EAGAIN, Errno::from_raw)
    }
}

#[cfg(rivix_model)]
mod set {
    use super::*;

    pub(crate) fn set_name(_: Name) {}
    pub(crate) fn block_signals() {}
    pub(crate) fn pin(_: usize) -> Result<(), Errno> {
        Ok(())
    }
    pub(crate) fn set_class(_: Class) -> Result<(), Errno> {
        Ok(())
    }
    #[derive(Clone, Copy)]
    pub(crate) struct Before;
    pub(crate) fn assume(_: Role) -> (Before, Result<(), Errno>) {
        (Before, Ok(()))
    }
    pub(crate) fn restore(_: Before) -> Result<(), Errno> {
        Ok(())
    }
    pub(crate) fn errno_of(_: &std::io::Error) -> Errno {
        Errno::EAGAIN
    }
}

pub(crate) use set::*;
