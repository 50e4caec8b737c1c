//! Tasks of the kernel's own: init, and what Linux calls kernel threads.
//!
//! They have an id, a name and credentials, and no memory, files, group or
//! session. Init is the parent of guests that have no other; it exists in the
//! table alone, as does `kthreadd`, whose children all others are.
//! Guests see them in /proc and by the calls that take ids, and cannot do
//! anything to them: signals are ignored, nobody waits for them, they count
//! for no limit, and the end of the sandbox does not wait for them.

use crate::counts::HostStat;
use crate::creds::Creds;
use crate::group::ThreadGroup;
use crate::kernel::Kernel;
use crate::pids::{INIT, KTHREADD, Process};
use crate::signal::SignalActions;
use crate::signal::state::ThreadSignals;
use crate::task::{DEFAULT_SLACK_NS, MachineChecks, Sched, Task, TaskState};
use rivix_abi::resource::{Resource, Rlimit};
use rivix_abi::signal::{KSigAction, SIG_IGN};
use rivix_abi::{Errno, Signal};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

/// A kernel task in the table, until it is dropped.
pub struct KernelTask {
    task: Arc<Task>,
    kernel: Weak<Kernel>,
}

impl KernelTask {
    /// A new child of kthreadd with a number of its own, named by the first 15
    /// bytes of `comm`.
    ///
    /// # Errors
    /// EAGAIN: there is no number left.
    pub fn new(kernel: &Arc<Kernel>, comm: &[u8]) -> Result<KernelTask, Errno> {
        Ok(KernelTask {
            task: enter(kernel, comm, KTHREADD)?,
            kernel: Arc::downgrade(kernel),
        })
    }

    pub fn task(&self) -> &Arc<Task> {
        &self.task
    }
}

impl Drop for KernelTask {
    fn drop(&mut self) {
        let group = self.task.group();
        // A kernel that is being dropped takes its table with it.
        if let Some(kernel) = self.kernel.upgrade() {
            let gone = {
                let mut pids = kernel.pids.lock();
                let thread = group.signals.lock().threads.remove(&self.task.tid());
                (thread, pids.reap(self.task.pid()))
            };
            drop(gone);
        }
        group.is_dead.store(true, Ordering::Release);
        group.is_reaped.store(true, Ordering::Release);
        group.ended().notify(0);
    }
}

/// Enters init and kthreadd into a new kernel's table, which is empty.
pub(crate) fn start_first(kernel: &Arc<Kernel>) -> Result<(), Errno> {
    for (comm, number) in [(&b"init"[..], INIT), (b"kthreadd", KTHREADD)] {
        let task = enter(kernel, comm, 0)?;
        debug_assert_eq!(task.tid(), number);
    }
    Ok(())
}

fn enter(kernel: &Arc<Kernel>, comm: &[u8], parent: i32) -> Result<Arc<Task>, Errno> {
    let id = kernel.pids.lock().reserve_kernel()?;
    let pid = id.number();
    let now = rivix_engine::Clock::monotonic_ns(kernel.clock());
    let actions = SignalActions::default();
    for signal in Signal::of_mask(u64::MAX) {
        let action = KSigAction {
            handler: SIG_IGN,
            ..KSigAction::default()
        };
        actions.set(signal, action);
    }
    let limits = limits(kernel);
    let group = Arc::new(ThreadGroup::new_kernel(pid, Arc::new(actions), limits, now));
    let state = TaskState {
        memory: None,
        files: None,
        fs: None,
        creds: Arc::new(Creds::user(0, 0, Vec::new())),
        name: [0; 16],
        sched: Sched::default(),
        parent_death_signal: None,
        timer_slack_ns: DEFAULT_SLACK_NS,
        default_slack_ns: DEFAULT_SLACK_NS,
        machine_checks: MachineChecks::default(),
        filters: None,
    };
    let task = Task::new(pid, group.clone(), kernel, state, None);
    task.set_name(comm);
    task.is_sleeping.store(true, Ordering::Relaxed);
    let mut process = Process::new(id.clone(), group.clone(), None);
    process.parent = parent;
    process.parent_tid = parent;
    if parent != 0 {
        process.exit_signal = Signal::SIGCHLD.number();
    }
    let displaced = {
        let mut pids = kernel.pids.lock();
        let thread = ThreadSignals::new(task.clone(), 0);
        group.signals.lock().threads.insert(pid, thread);
        pids.insert_process(process);
        pids.insert_task(id, task.clone(), None)
    };
    debug_assert!(displaced.is_none(), "the number is new");
    kernel.stats().kernel_tasks.fetch_add(1, Ordering::Relaxed);
    Ok(task)
}

/// Those of Linux's own kernel threads, which have init's.
fn limits(kernel: &Kernel) -> [Rlimit; Resource::COUNT] {
    let mut limits = [Rlimit::UNLIMITED; Resource::COUNT];
    let both = |value| Rlimit {
        cur: value,
        max: value,
    };
    limits[Resource::Stack as usize].cur = 8 << 20;
    limits[Resource::Core as usize].cur = 0;
    limits[Resource::Nproc as usize] = both(kernel.max_tasks() as u64);
    limits[Resource::Nofile as usize] = Rlimit {
        cur: 1024,
        max: 4096,
    };
    limits[Resource::Memlock as usize] = both(8 << 20);
    limits[Resource::Sigpending as usize] = both(kernel.max_tasks() as u64);
    limits[Resource::Msgqueue as usize] = both(819_200);
    limits[Resource::Nice as usize] = both(0);
    limits[Resource::Rtprio as usize] = both(0);
    limits
}

impl Task {
    /// Is it one of the kernel's own?
    pub fn is_kernel(&self) -> bool {
        self.group().is_kernel()
    }

    /// A kernel task's state as /proc shows it: running or asleep as its host
    /// thread is, idle when it has nothing to do.
    pub(crate) fn kernel_state(&self) -> char {
        match self.host_thread() {
            None => 'S',
            Some(_) if self.is_sleeping() => 'I',
            Some(tid) => match HostStat::of(tid).map(|stat| stat.state) {
                Some(b'R') => 'R',
                _ => 'S',
            },
        }
    }
}

#[cfg(all(test, not(rivix_model)))]
mod tests;
