//! A thread, as anyone may see it.

use crate::clock::host_ns;
use crate::counts::{CountTotals, Counts};
use crate::cputime::CpuTotals;
use crate::creds::Creds;
use crate::group::ThreadGroup;
use crate::kernel::Kernel;
use crate::memory::Memory;
use crate::seccomp::Filter;
use crate::signal::room::Rooms;
use rivix_abi::UserAddress;
use rivix_abi::sched::{SCHED_DEADLINE, SCHED_FIFO, SCHED_RR};
use rivix_fs::{FdTable, FsContext};
use rivix_sync::futex::Waiter;
use rivix_sync::{Kick, Mutex, level};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// What others may ask of a task; its own thread keeps copies in `CurrentTask`.
pub(crate) struct TaskState {
    pub(crate) memory: Option<Arc<Memory>>,
    pub(crate) files: Option<Arc<FdTable>>,
    pub(crate) fs: Option<Arc<FsContext>>,
    pub(crate) creds: Arc<Creds>,
    pub(crate) name: [u8; 16],
    pub(crate) sched: Sched,
    pub(crate) parent_death_signal: Option<rivix_abi::Signal>,
    pub(crate) timer_slack_ns: u64,
    /// What PR_SET_TIMERSLACK 0 goes back to: the maker's at the task's birth.
    pub(crate) default_slack_ns: u64,
    pub(crate) machine_checks: MachineChecks,
    pub(crate) filters: Option<Arc<Filter>>,
}

/// Slack of a task whose makers never set one.
pub(crate) const DEFAULT_SLACK_NS: u64 = 50_000;

/// PR_MCE_KILL: a wish, as the guest's memory has no machine checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MachineChecks {
    #[default]
    Default,
    Late,
    Early,
}

/// Scheduling parameters: reported, checked and inherited; the host schedules.
#[derive(Clone, Debug, Default)]
pub struct Sched {
    pub policy: i32,
    pub priority: i32,
    pub nice: i32,
    pub reset_on_fork: bool,
    /// Allowed CPUs, one bit each; None: all.
    pub affinity: Option<Arc<[u64]>>,
    pub io_priority: i32,
    /// The slice that sched_setattr(2) asked for; None: the default.
    pub slice_ns: Option<u64>,
}

/// A thread.
pub struct Task {
    tid: AtomicI32,
    group: Arc<ThreadGroup>,
    /// Weak: the kernel's table holds the task, its own tasks for as long as it lives.
    kernel: Weak<Kernel>,
    kick: Arc<Kick>,
    pub(crate) state: Mutex<level::Task, TaskState>,
    pub(crate) clear_child_tid: AtomicU64,
    pub(crate) robust_list: AtomicU64,
    /// Its place in queues of futexes, and what owns locks in its name.
    pub(crate) futex_waiter: Arc<Waiter>,
    /// Host thread that runs it, 0 before it starts; its CPU clock at that time.
    host_tid: AtomicI32,
    cpu_base_ns: AtomicU64,
    final_cpu_ns: AtomicU64,
    /// The host thread's counts when the task began, and the task's at its end.
    pub(crate) counts_base: CountTotals,
    pub(crate) final_counts: CountTotals,
    /// The virtual CPU it ran on last; `u32::MAX`: it has had none.
    pub(crate) last_virtual_cpu: AtomicU32,
    /// CPU time that has been shared out, and the most that was ever told.
    pub(crate) accounted: CpuTotals,
    pub(crate) shown: CpuTotals,
    pub(crate) is_sleeping: AtomicBool,
    /// A thread, not a leader, has ended.
    pub(crate) is_gone: AtomicBool,
    /// Its thread runs guest code, and may touch memory.
    pub(crate) in_guest: AtomicBool,
    /// Somebody waits for its thread to leave guest code (see `rendezvous`).
    pub(crate) must_meet: AtomicBool,
    /// What is done before a call is looked up (see `seccomp`); 0: nothing.
    pub(crate) entry_work: AtomicU32,
    pub(crate) no_new_privs: AtomicBool,
    /// Its number in a teaching kernel's process.
    pub(crate) slot: AtomicU32,
    /// The parent of a vfork waits here until this task execs or ends.
    pub(crate) vfork_done: Option<Arc<VforkDone>>,
    pub(crate) start_ns: u64,
    /// Who counts its user's queued signals.
    pub(crate) rooms: Arc<Rooms>,
}

/// Tells a vfork parent that its child no longer uses the shared memory.
#[derive(Default)]
pub(crate) struct VforkDone {
    done: AtomicBool,
    pub(crate) changed: rivix_sync::WaitQueue,
}

impl VforkDone {
    pub(crate) fn release(&self) {
        self.done.store(true, Ordering::SeqCst);
        self.changed.notify(0);
    }

    pub(crate) fn is_done(&self) -> bool {
        self.done.load(Ordering::SeqCst)
    }
}

impl Task {
    pub(crate) fn new(
        tid: i32,
        group: Arc<ThreadGroup>,
        kernel: &Arc<Kernel>,
        state: TaskState,
        vfork_done: Option<Arc<VforkDone>>,
    ) -> Arc<Task> {
        let start_ns = rivix_engine::Clock::monotonic_ns(kernel.clock());
        let kick = Arc::new(Kick::new());
        let futex_waiter = crate::futex::new_waiter(&kick, tid, state.sched.urgency());
        Arc::new(Task {
            tid: AtomicI32::new(tid),
            group,
            kernel: Arc::downgrade(kernel),
            kick,
            state: Mutex::new(state),
            clear_child_tid: AtomicU64::new(0),
            robust_list: AtomicU64::new(0),
            futex_waiter,
            host_tid: AtomicI32::new(0),
            cpu_base_ns: AtomicU64::new(0),
            final_cpu_ns: AtomicU64::new(0),
            counts_base: CountTotals::default(),
            final_counts: CountTotals::default(),
            last_virtual_cpu: AtomicU32::new(u32::MAX),
            accounted: CpuTotals::default(),
            shown: CpuTotals::default(),
            is_sleeping: AtomicBool::new(false),
            is_gone: AtomicBool::new(false),
            in_guest: AtomicBool::new(false),
            must_meet: AtomicBool::new(false),
            entry_work: AtomicU32::new(0),
            no_new_privs: AtomicBool::new(false),
            slot: AtomicU32::new(0),
            vfork_done,
            start_ns,
            rooms: kernel.rooms.clone(),
        })
    }

    /// Changes only when a thread that is not the leader calls execve(2).
    pub fn tid(&self) -> i32 {
        self.tid.load(Ordering::Acquire)
    }

    pub(crate) fn set_tid(&self, tid: i32) {
        self.tid.store(tid, Ordering::Release);
        self.futex_waiter.owner().set_tid(tid.cast_unsigned());
    }

    pub fn pid(&self) -> i32 {
        self.group.pid()
    }

    /// Has this thread ended, or is its number another one now (execve(2) gives
    /// the caller its leader's)? A leader is gone with its process only.
    pub fn is_gone_as(&self, tid: i32) -> bool {
        self.is_gone.load(Ordering::Acquire) || self.tid() != tid
    }

    pub fn group(&self) -> &Arc<ThreadGroup> {
        &self.group
    }

    /// None: it is being dropped.
    pub fn kernel(&self) -> Option<Arc<Kernel>> {
        self.kernel.upgrade()
    }

    pub fn kick(&self) -> &Arc<Kick> {
        &self.kick
    }

    pub fn creds(&self) -> Arc<Creds> {
        self.state.lock().creds.clone()
    }

    /// The thread's name, up to 15 bytes.
    pub fn name(&self) -> Vec<u8> {
        let name = self.state.lock().name;
        name.iter().copied().take_while(|&b| b != 0).collect()
    }

    pub fn set_name(&self, name: &[u8]) {
        let mut kept = [0; 16];
        let len = name
            .iter()
            .position(|&b| b == 0)
            .unwrap_or(name.len())
            .min(15);
        kept[..len].copy_from_slice(&name[..len]);
        self.state.lock().name = kept;
    }

    pub fn sched(&self) -> Sched {
        self.state.lock().sched.clone()
    }

    pub fn update_sched(&self, change: impl FnOnce(&mut Sched)) {
        let sched = &mut self.state.lock().sched;
        change(sched);
        self.futex_waiter.owner().set_priority(sched.urgency());
    }

    /// Does it sleep in a system call?
    pub fn is_sleeping(&self) -> bool {
        self.is_sleeping.load(Ordering::Relaxed)
    }

    /// None once the task has ended.
    pub fn memory(&self) -> Option<Arc<Memory>> {
        self.state.lock().memory.clone()
    }

    pub fn fd_table(&self) -> Option<Arc<FdTable>> {
        self.state.lock().files.clone()
    }

    pub fn fs_context(&self) -> Option<Arc<FsContext>> {
        self.state.lock().fs.clone()
    }

    /// Called on the host thread that will run the task.
    pub(crate) fn begin_cpu_clock(&self) {
        let host_tid = nix::unistd::gettid().as_raw();
        let base = thread_clock(host_tid);
        self.cpu_base_ns.store(base, Ordering::Relaxed);
        self.counts_base.set(Counts::of_this_thread());
        self.host_tid.store(host_tid, Ordering::Release);
        self.apply_affinity();
    }

    /// The host thread leaves the task, free to run on any CPU; its CPU time stays.
    pub(crate) fn end_cpu_clock(&self) -> u64 {
        let used = self.cpu_ns();
        self.final_cpu_ns.store(used, Ordering::Relaxed);
        self.final_counts.set(self.counts());
        // Under the lock: nobody restricts a thread that has left the task.
        let mut state = self.state.lock();
        if let (Some(_), Some(tid)) = (state.sched.affinity.take(), self.host_thread()) {
            crate::affinity::set(tid, crate::affinity::available());
        }
        self.host_tid.store(0, Ordering::Release);
        used
    }

    /// The host thread that runs it now.
    pub(crate) fn host_thread(&self) -> Option<i32> {
        match self.host_tid.load(Ordering::Acquire) {
            0 => None,
            tid => Some(tid),
        }
    }

    /// CPU time used so far.
    pub fn cpu_ns(&self) -> u64 {
        match self.host_tid.load(Ordering::Acquire) {
            0 => self.final_cpu_ns.load(Ordering::Relaxed),
            tid => thread_clock(tid).saturating_sub(self.cpu_base_ns.load(Ordering::Relaxed)),
        }
    }
}

/// The CPU clock of a thread of this host process (clock_getcpuclockid(3)'s encoding).
fn thread_clock(host_tid: i32) -> u64 {
    host_ns((!host_tid << 3) | 6).map_or(0, |ns| ns.max(0) as u64)
}

impl Sched {
    /// Where it stands among those who wait for one thing: lower is earlier. All
    /// but real-time tasks are alike (sched(7)).
    pub(crate) fn urgency(&self) -> u32 {
        match self.policy {
            SCHED_DEADLINE => 0,
            SCHED_FIFO | SCHED_RR => 100_u32.saturating_sub(self.priority.max(0).cast_unsigned()),
            _ => 101,
        }
    }

    /// SCHED_RESET_ON_FORK (sched(7)).
    pub(crate) fn reset_for_fork(&mut self) {
        if self.reset_on_fork {
            if self.priority != 0 {
                self.policy = 0;
                self.priority = 0;
                self.nice = 0;
            }
            self.nice = self.nice.max(0);
            self.reset_on_fork = false;
        }
    }
}

impl Task {
    /// set_tid_address(2).
    pub fn set_clear_child_tid(&self, at: UserAddress) {
        self.clear_child_tid.store(at.0, Ordering::Relaxed);
    }

    pub fn clear_child_tid(&self) -> UserAddress {
        UserAddress(self.clear_child_tid.load(Ordering::Relaxed))
    }

    /// set_robust_list(2).
    pub fn set_robust_list(&self, head: UserAddress) {
        self.robust_list.store(head.0, Ordering::Relaxed);
    }

    pub fn robust_list(&self) -> UserAddress {
        UserAddress(self.robust_list.load(Ordering::Relaxed))
    }
}
