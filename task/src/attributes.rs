//! What prctl(2), personality(2), sched_setaffinity(2) and their like set.

use crate::creds::{Creds, cap};
use crate::current::CurrentTask;
use crate::error::SysResult;
use crate::group::ThreadGroup;
use crate::kernel::Kernel;
use crate::task::{MachineChecks, Task};
use rivix_abi::{Errno, Signal};
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Task {
    pub fn timer_slack_ns(&self) -> u64 {
        self.state.lock().timer_slack_ns
    }

    /// 0: back to what it was born with.
    pub fn set_timer_slack_ns(&self, slack: u64) {
        let mut state = self.state.lock();
        state.timer_slack_ns = match slack {
            0 => state.default_slack_ns,
            slack => slack,
        };
    }

    /// May a task with these credentials, of another process, look into this one
    /// (ptrace(2), "Ptrace access mode checking")?
    pub fn lets_look(&self, creds: &Creds) -> bool {
        let is_open = self.memory().is_none_or(|m| m.traits.dumpable() == 1);
        creds.may_trace(&self.creds()) && (is_open || creds.has_cap(cap::SYS_PTRACE))
    }

    pub fn machine_checks(&self) -> MachineChecks {
        self.state.lock().machine_checks
    }

    pub fn set_machine_checks(&self, checks: MachineChecks) {
        self.state.lock().machine_checks = checks;
    }

    /// The signal this task gets when the thread that made its process dies.
    pub fn parent_death_signal(&self) -> Option<Signal> {
        self.state.lock().parent_death_signal
    }

    pub fn set_parent_death_signal(&self, signal: Option<Signal>) {
        self.state.lock().parent_death_signal = signal;
    }

    /// Restricts the task to `cpus`, one bit each, on the host too.
    ///
    /// # Errors
    /// EINVAL: the kernel's workers run where their pool wants them (Linux's
    /// PF_NO_SETAFFINITY).
    pub fn set_affinity(&self, cpus: Arc<[u64]>) -> Result<(), Errno> {
        if self.is_kernel() && self.tid() > crate::pids::KTHREADD {
            return Err(Errno::EINVAL);
        }
        self.state.lock().sched.affinity = Some(cpus);
        self.apply_affinity();
        Ok(())
    }

    /// Makes the host thread run where the task may; nothing when it has no wish.
    pub(crate) fn apply_affinity(&self) {
        // Held, so that the thread stays the task's meanwhile.
        let state = self.state.lock();
        if let (Some(cpus), Some(tid)) = (&state.sched.affinity, self.host_thread()) {
            crate::affinity::set(tid, cpus);
        }
    }
}

impl CurrentTask {
    /// sched_setaffinity(2): `target` runs on these CPUs only when this returns.
    pub fn set_affinity_of(&self, target: &Task, cpus: Arc<[u64]>) -> SysResult<()> {
        target.set_affinity(cpus.clone())?;
        self.leave_forbidden_cpu(target, &cpus)
    }
}

impl ThreadGroup {
    pub fn personality(&self) -> u32 {
        self.personality.load(Ordering::Relaxed)
    }

    /// Sets the personality and gives the old one.
    pub fn set_personality(&self, value: u32) -> u32 {
        self.personality.swap(value, Ordering::Relaxed)
    }
}

impl Kernel {
    /// The live tasks that `is_meant` picks; it is asked without locks.
    pub fn tasks_where(&self, is_meant: impl Fn(&Task) -> bool) -> Vec<Arc<Task>> {
        let groups: Vec<Arc<ThreadGroup>> = {
            let pids = self.pids.lock();
            pids.processes
                .values()
                .map(|process| process.group.clone())
                .collect()
        };
        let tasks = groups.iter().flat_map(|group| group.threads());
        tasks.filter(|task| is_meant(task)).collect()
    }
}
