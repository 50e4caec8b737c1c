//! What stands between an ecall and its handler: seccomp(2) and syscall user
//! dispatch (prctl(2)).
//!
//! Filters form a chain that threads share; adding one makes a new head. A task
//! says in one word which of the mechanisms it uses, 0 for nearly all.

mod bpf;

pub use bpf::{CallData, Instruction, MAX_LEN, Program};

use crate::current::CurrentTask;
use crate::exit_status::ExitStatus;
use crate::task::Task;
use rivix_abi::signal::SigInfo;
use rivix_abi::{Errno, Signal, UserAddress, UserRef};
use rivix_isa::reg;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// AUDIT_ARCH_RISCV64.
const ARCH: u32 = 0xc000_00f3;
/// MAX_INSNS_PER_PATH: all filters of a task together, and what each adds.
const MAX_WEIGHT: usize = 32768;
const FILTER_WEIGHT: usize = 4;

/// PR_GET_SECCOMP's answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Disabled = 0,
    Strict = 1,
    Filter = 2,
}

/// SECCOMP_RET_*: what a filter says of a call.
pub mod action {
    pub const KILL_PROCESS: u32 = 0x8000_0000;
    pub const KILL_THREAD: u32 = 0;
    pub const TRAP: u32 = 0x0003_0000;
    pub const ERRNO: u32 = 0x0005_0000;
    pub const USER_NOTIF: u32 = 0x7fc0_0000;
    pub const TRACE: u32 = 0x7ff0_0000;
    pub const LOG: u32 = 0x7ffc_0000;
    pub const ALLOW: u32 = 0x7fff_0000;
    pub const FULL: u32 = 0xffff_0000;
}

/// What a task does on its way into a call; bits of [`Task::entry_work`].
const STRICT: u32 = 1;
const FILTER: u32 = 2;
const DISPATCH: u32 = 4;

/// A filter and those that were there before it.
#[derive(Debug)]
pub struct Filter {
    program: Program,
    older: Option<Arc<Filter>>,
    /// How many there are, this one included.
    count: u32,
    /// Of all of them, and what each adds.
    weight: usize,
}

impl Filter {
    /// The gravest answer; of equal ones the youngest filter's.
    fn judge(&self, data: &CallData) -> u32 {
        let rank = |answer: u32| (answer & action::FULL) as i32;
        let mut gravest = action::ALLOW;
        let mut next = Some(self);
        while let Some(filter) = next {
            let answer = filter.program.run(data);
            if rank(answer) < rank(gravest) {
                gravest = answer;
            }
            next = filter.older.as_deref();
        }
        gravest
    }

    fn has_ancestor(&self, other: &Arc<Filter>) -> bool {
        let mut next = Some(self);
        while let Some(filter) = next {
            if std::ptr::eq(filter, Arc::as_ptr(other)) {
                return true;
            }
            next = filter.older.as_deref();
        }
        false
    }
}

/// Chains are long: dropped link by link, not by recursion.
impl Drop for Filter {
    fn drop(&mut self) {
        let mut next = self.older.take();
        while let Some(link) = next {
            match Arc::try_unwrap(link) {
                Ok(mut filter) => next = filter.older.take(),
                Err(_) => break,
            }
        }
    }
}

/// PR_SET_SYSCALL_USER_DISPATCH: calls from outside `start..start + len` are looked at.
#[derive(Clone, Copy, Debug)]
pub struct Dispatch {
    pub start: u64,
    pub len: u64,
    /// A byte that says whether they are allowed; NULL: they are not.
    pub selector: UserAddress,
}

/// Why a filter was not installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstallError {
    Errno(Errno),
    /// SECCOMP_FILTER_FLAG_TSYNC: this thread has other filters.
    Thread(i32),
}

impl From<Errno> for InstallError {
    fn from(errno: Errno) -> InstallError {
        InstallError::Errno(errno)
    }
}

impl Task {
    pub fn seccomp_mode(&self) -> Mode {
        let work = self.entry_work.load(Ordering::Relaxed);
        if work & STRICT != 0 {
            Mode::Strict
        } else if work & FILTER != 0 {
            Mode::Filter
        } else {
            Mode::Disabled
        }
    }

    /// How many filters there are.
    pub fn seccomp_filters(&self) -> u32 {
        let state = self.state.lock();
        state.filters.as_ref().map_or(0, |filter| filter.count)
    }

    pub fn has_no_new_privs(&self) -> bool {
        self.no_new_privs.load(Ordering::Relaxed)
    }

    /// There is no way back.
    pub fn set_no_new_privs(&self) {
        self.no_new_privs.store(true, Ordering::Relaxed);
    }

    /// What a child has of its parent; user dispatch is not inherited.
    pub(crate) fn inherit_entry_work(&self, parent: &Task) {
        let filters = parent.state.lock().filters.clone();
        self.state.lock().filters = filters;
        let work = parent.entry_work.load(Ordering::Relaxed) & !DISPATCH;
        self.entry_work.store(work, Ordering::Relaxed);
        let privs = parent.no_new_privs.load(Ordering::Relaxed);
        self.no_new_privs.store(privs, Ordering::Relaxed);
    }

    fn set_filter(&self, filter: Arc<Filter>) {
        let old = self.state.lock().filters.replace(filter);
        drop(old);
        self.entry_work.fetch_or(FILTER, Ordering::Relaxed);
    }
}

impl CurrentTask {
    /// SECCOMP_SET_MODE_STRICT. EINVAL: it has filters.
    pub fn set_seccomp_strict(&mut self) -> Result<(), Errno> {
        if self.seccomp_mode() == Mode::Filter {
            return Err(Errno::EINVAL);
        }
        self.entry_work.fetch_or(STRICT, Ordering::Relaxed);
        Ok(())
    }

    /// SECCOMP_SET_MODE_FILTER; with `sync_threads` for all threads of the process.
    ///
    /// # Errors
    /// ENOMEM: its filters would be too long.
    pub fn add_seccomp_filter(
        &mut self,
        program: Program,
        sync_threads: bool,
    ) -> Result<(), InstallError> {
        if self.seccomp_mode() == Mode::Strict {
            return Err(Errno::EINVAL.into());
        }
        // Threads do not come while they are synchronised: a clone enters here.
        let group = self.group().clone();
        let signals = group.signals.lock();
        let older = self.state.lock().filters.clone();
        let weight = older.as_ref().map_or(0, |filter| filter.weight) + program.weight();
        if weight > MAX_WEIGHT {
            return Err(Errno::ENOMEM.into());
        }
        let others: Vec<Arc<Task>> = signals
            .threads
            .values()
            .map(|thread| thread.task.clone())
            .filter(|task| sync_threads && !Arc::ptr_eq(task, self.task()))
            .collect();
        for task in &others {
            let theirs = task.state.lock().filters.clone();
            let is_known = match (task.seccomp_mode(), &theirs, &older) {
                (Mode::Disabled, ..) => true,
                (Mode::Filter, Some(theirs), Some(own)) => own.has_ancestor(theirs),
                _ => false,
            };
            if !is_known {
                return Err(InstallError::Thread(task.tid()));
            }
        }
        let filter = Arc::new(Filter {
            count: older.as_ref().map_or(0, |filter| filter.count) + 1,
            weight: weight + FILTER_WEIGHT,
            program,
            older,
        });
        self.set_filter(filter.clone());
        for task in &others {
            if self.has_no_new_privs() {
                task.set_no_new_privs();
            }
            task.set_filter(filter.clone());
        }
        drop(signals);
        Ok(())
    }

    pub fn set_user_dispatch(&mut self, dispatch: Option<Dispatch>) {
        match dispatch {
            Some(_) => self.entry_work.fetch_or(DISPATCH, Ordering::Relaxed),
            None => self.entry_work.fetch_and(!DISPATCH, Ordering::Relaxed),
        };
        self.dispatch = dispatch;
    }

    /// Before a call is looked up. False: it is not made, and a0 is what it shall be.
    #[inline]
    pub(crate) fn may_enter_call(&mut self) -> bool {
        match self.entry_work.load(Ordering::Relaxed) {
            0 => true,
            work => self.judge_call(work),
        }
    }

    #[cold]
    fn judge_call(&mut self, work: u32) -> bool {
        if work & DISPATCH != 0 && !self.is_dispatched() {
            return false;
        }
        if work & STRICT != 0 {
            // read, write, exit, rt_sigreturn.
            if !matches!(self.syscall_number() as u32, 63 | 64 | 93 | 139) {
                self.exiting = Some(killed_by(Signal::SIGKILL));
                return false;
            }
            return true;
        }
        let filters = self.state.lock().filters.clone();
        let Some(filters) = filters else {
            return true;
        };
        let data = CallData {
            nr: self.syscall_number() as u32,
            arch: ARCH,
            instruction_pointer: self.regs.pc,
            args: self.syscall_args(),
        };
        self.obey(filters.judge(&data))
    }

    fn obey(&mut self, answer: u32) -> bool {
        let value = answer & !action::FULL;
        match answer & action::FULL {
            action::ALLOW | action::LOG => return true,
            action::ERRNO => {
                self.regs.x[reg::A0] = u64::from(value.min(4095)).wrapping_neg();
            }
            action::TRAP => self.force_signal(self.sys_info(SYS_SECCOMP, value)),
            // Nobody traces, nobody listens.
            action::TRACE | action::USER_NOTIF => self.regs.x[reg::A0] = Errno::ENOSYS.to_a0(),
            action::KILL_THREAD if self.group().thread_count() > 1 => {
                self.exiting = Some(killed_by(Signal::SIGSYS));
            }
            // Whatever else a filter says kills as well.
            _ => self.end_by_sigsys(),
        }
        false
    }

    /// Syscall user dispatch: true when the call may be made.
    fn is_dispatched(&mut self) -> bool {
        let Some(dispatch) = self.dispatch else {
            return true;
        };
        if self.regs.pc.wrapping_sub(dispatch.start) < dispatch.len {
            return true;
        }
        if !dispatch.selector.is_null() {
            match self.read(UserRef::<u8>::new(dispatch.selector)) {
                Ok(0) => return true,
                Ok(1) => {}
                Ok(_) => {
                    self.end_by_sigsys();
                    return false;
                }
                Err(_) => {
                    self.group().begin_exit(killed_by(Signal::SIGSEGV));
                    return false;
                }
            }
        }
        self.force_signal(self.sys_info(SYS_USER_DISPATCH, 0));
        false
    }

    fn end_by_sigsys(&mut self) {
        let info = self.sys_info(SYS_SECCOMP, 0);
        self.kernel().report_fatal(self, Signal::SIGSYS, &info);
        self.dump_core(Signal::SIGSYS, &info);
    }

    fn sys_info(&self, code: i32, errno: u32) -> SigInfo {
        let mut info = SigInfo::new(Signal::SIGSYS, code);
        info.errno = errno as i32;
        info.fields[0] = self.regs.pc;
        info.fields[1] = self.syscall_number() & 0xffff_ffff | u64::from(ARCH) << 32;
        info
    }
}

const SYS_SECCOMP: i32 = 1;
const SYS_USER_DISPATCH: i32 = 2;

fn killed_by(signal: Signal) -> ExitStatus {
    ExitStatus::Signal {
        signal,
        core: false,
    }
}
