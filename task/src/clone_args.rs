//! What clone(2) and clone3(2) are asked for, and what they refuse at sight.

use crate::memory::Memory;
use rivix_abi::sched::{CSIGNAL, CloneArgs3, CloneFlags};
use rivix_abi::{Errno, Signal, UserAddress};
use rivix_isa::Registers;
use std::sync::Arc;

/// The arguments of a clone, whichever call they came by.
#[derive(Clone)]
pub struct CloneArgs {
    pub flags: CloneFlags,
    /// 0: none. clone(2) takes any byte; one that is no signal is never sent.
    pub exit_signal: u8,
    /// The child's stack pointer; 0: the parent's.
    pub stack: u64,
    pub pidfd: UserAddress,
    pub parent_tid: UserAddress,
    pub tls: u64,
    pub child_tid: UserAddress,
    /// The number that the child is to have.
    pub set_tid: Option<i32>,
    /// Descriptor of the cgroup that the child is to begin in.
    pub cgroup: i32,
    /// How a teaching kernel's thread begins; None: as a copy of the caller.
    pub(crate) start: Option<Start>,
}

/// Where a child begins that is no copy of its maker.
#[derive(Clone)]
pub(crate) struct Start {
    pub(crate) regs: Registers,
    /// Its number in its process.
    pub(crate) slot: u32,
    /// A process with a program of its own, and the program's name.
    pub(crate) program: Option<(Arc<Memory>, Vec<u8>)>,
}

/// What only a privileged process may have new (namespaces(7)).
pub const NAMESPACES: CloneFlags = CloneFlags::NEWNS
    .union(CloneFlags::NEWCGROUP)
    .union(CloneFlags::NEWUTS)
    .union(CloneFlags::NEWIPC)
    .union(CloneFlags::NEWUSER)
    .union(CloneFlags::NEWPID)
    .union(CloneFlags::NEWNET)
    .union(CloneFlags::NEWTIME);

impl CloneArgs {
    /// A child that begins where `start` says.
    pub(crate) fn starting(flags: CloneFlags, exit_signal: u8, start: Start) -> CloneArgs {
        CloneArgs {
            flags,
            exit_signal,
            stack: 0,
            pidfd: UserAddress::NULL,
            parent_tid: UserAddress::NULL,
            tls: 0,
            child_tid: UserAddress::NULL,
            set_tid: None,
            cgroup: -1,
            start: Some(start),
        }
    }

    /// clone(2): the low byte is the exit signal, bits above 31 mean nothing.
    ///
    /// # Errors
    /// EINVAL: flags that do not go together.
    pub fn new(
        raw: u64,
        stack: u64,
        parent_tid: UserAddress,
        tls: u64,
        child_tid: UserAddress,
    ) -> Result<CloneArgs, Errno> {
        CloneArgs {
            flags: CloneFlags::from_bits_truncate(raw & 0xffff_ffff & !CSIGNAL),
            exit_signal: (raw & CSIGNAL) as u8,
            stack,
            pidfd: parent_tid,
            parent_tid,
            tls,
            child_tid,
            set_tid: None,
            cgroup: -1,
            start: None,
        }
        .checked()
    }

    /// clone3(2), but for the array of numbers, which the caller has read.
    /// `task_size` bounds the stack.
    ///
    /// # Errors
    /// EINVAL: an unknown flag, flags that do not go together, an exit signal
    /// that is none or where there can be none, half a stack.
    pub fn extended(
        raw: &CloneArgs3,
        set_tid: Option<i32>,
        task_size: u64,
    ) -> Result<CloneArgs, Errno> {
        let signal = u8::try_from(raw.exit_signal).map_err(|_| Errno::EINVAL)?;
        if signal > Signal::MAX {
            return Err(Errno::EINVAL);
        }
        let flags = CloneFlags::from_bits(raw.flags).ok_or(Errno::EINVAL)?;
        let has = |f| flags.contains(f);
        let cgroup = i32::try_from(raw.cgroup);
        let wrong = has(CloneFlags::DETACHED)
            || has(CloneFlags::SIGHAND | CloneFlags::CLEAR_SIGHAND)
            || flags.intersects(CloneFlags::THREAD | CloneFlags::PARENT) && signal != 0
            || has(CloneFlags::INTO_CGROUP) && cgroup.is_err();
        if wrong {
            return Err(Errno::EINVAL);
        }
        let stack = match (raw.stack, raw.stack_size) {
            (0, 0) => 0,
            (0, _) | (_, 0) => return Err(Errno::EINVAL),
            (lowest, size) => lowest
                .checked_add(size)
                .filter(|top| *top <= task_size)
                .ok_or(Errno::EINVAL)?,
        };
        CloneArgs {
            flags,
            exit_signal: signal,
            stack,
            pidfd: UserAddress(raw.pidfd),
            parent_tid: UserAddress(raw.parent_tid),
            tls: raw.tls,
            child_tid: UserAddress(raw.child_tid),
            set_tid,
            cgroup: cgroup.unwrap_or(-1),
            start: None,
        }
        .checked()
    }

    /// What both calls refuse.
    fn checked(self) -> Result<CloneArgs, Errno> {
        let has = |f| self.flags.contains(f);
        let wrong = has(CloneFlags::SIGHAND) && !has(CloneFlags::VM)
            || has(CloneFlags::THREAD) && !has(CloneFlags::SIGHAND)
            || has(CloneFlags::FS)
                && self
                    .flags
                    .intersects(CloneFlags::NEWNS | CloneFlags::NEWUSER)
            || has(CloneFlags::THREAD)
                && self
                    .flags
                    .intersects(CloneFlags::NEWUSER | CloneFlags::NEWPID)
            || has(CloneFlags::PIDFD | CloneFlags::DETACHED)
            || has(CloneFlags::PIDFD | CloneFlags::PARENT_SETTID) && self.pidfd == self.parent_tid;
        if wrong { Err(Errno::EINVAL) } else { Ok(self) }
    }
}
