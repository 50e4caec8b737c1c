//! A process: what its threads share.

use crate::counts::CountTotals;
use crate::cputime::{CpuTimes, CpuTotals};
use crate::exit_status::ExitStatus;
use crate::signal::SignalActions;
use crate::signal::state::GroupSignals;
use crate::teaching::Teaching;
use crate::timers::GroupTimers;
use rivix_abi::resource::{Resource, Rlimit};
use rivix_sync::{Mutex, RwLock, WaitQueue, level};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// A process. Who its parent and children are is the pid table's knowledge.
pub struct ThreadGroup {
    pid: i32,
    is_kernel: bool,
    actions: RwLock<level::ThreadGroup, Arc<SignalActions>>,
    pub(crate) signals: Mutex<level::Signals, GroupSignals>,
    limits: Mutex<level::Task, [Rlimit; Resource::COUNT]>,
    /// Told when a child changes state.
    pub(crate) child_changed: WaitQueue,
    /// Told when a thread ends, and when the process is dead or reaped.
    pub(crate) ended: WaitQueue,
    /// Told when a signal is queued: for signalfd.
    pub(crate) signal_queued: WaitQueue,
    pub(crate) timers: Mutex<level::Timers, GroupTimers>,
    /// CPU time of threads that have ended.
    pub(crate) dead_cpu: CpuTotals,
    /// What ended threads, and reaped children, have gone through.
    pub(crate) dead_counts: CountTotals,
    pub(crate) child_counts: CountTotals,
    /// CPU time and memory peak of reaped children.
    pub(crate) child_cpu: CpuTotals,
    pub(crate) child_maxrss_kib: AtomicI64,
    /// Peak of its own memory, known when it is dead.
    pub(crate) own_maxrss_kib: AtomicI64,
    /// Threads that are in the pid table, or whose end is not over: they may
    /// hold memory and files. Changed under the table's lock.
    pub(crate) unfinished: AtomicUsize,
    pub(crate) is_dead: AtomicBool,
    pub(crate) is_reaped: AtomicBool,
    pub(crate) personality: AtomicU32,
    /// Set before anyone knows the process, if ever.
    pub(crate) teaching: OnceLock<Teaching>,
    pub(crate) start_ns: u64,
}

impl ThreadGroup {
    pub(crate) fn new(
        pid: i32,
        actions: Arc<SignalActions>,
        limits: [Rlimit; Resource::COUNT],
        start_ns: u64,
    ) -> ThreadGroup {
        ThreadGroup {
            pid,
            is_kernel: false,
            actions: RwLock::new(actions),
            signals: Mutex::default(),
            limits: Mutex::new(limits),
            child_changed: WaitQueue::new(),
            ended: WaitQueue::new(),
            signal_queued: WaitQueue::new(),
            timers: Mutex::default(),
            dead_cpu: CpuTotals::default(),
            dead_counts: CountTotals::default(),
            child_counts: CountTotals::default(),
            child_cpu: CpuTotals::default(),
            child_maxrss_kib: AtomicI64::new(0),
            own_maxrss_kib: AtomicI64::new(0),
            unfinished: AtomicUsize::new(0),
            is_dead: AtomicBool::new(false),
            is_reaped: AtomicBool::new(false),
            personality: AtomicU32::new(0),
            teaching: OnceLock::new(),
            start_ns,
        }
    }

    /// The process half of a task of the kernel's own.
    pub(crate) fn new_kernel(
        pid: i32,
        actions: Arc<SignalActions>,
        limits: [Rlimit; Resource::COUNT],
        start_ns: u64,
    ) -> ThreadGroup {
        ThreadGroup {
            is_kernel: true,
            ..ThreadGroup::new(pid, actions, limits, start_ns)
        }
    }

    /// What fork(2) copies besides limits and dispositions.
    pub(crate) fn inherit(&self, parent: &ThreadGroup) {
        self.personality.store(
            parent.personality.load(Ordering::Relaxed),
            Ordering::Relaxed,
        );
    }

    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Is it a task of the kernel's own?
    pub fn is_kernel(&self) -> bool {
        self.is_kernel
    }

    pub fn actions(&self) -> Arc<SignalActions> {
        self.actions.read().clone()
    }

    /// Does another process share the dispositions (CLONE_SIGHAND)?
    pub(crate) fn shares_actions(&self) -> bool {
        Arc::strong_count(&self.actions.read()) > 1
    }

    pub(crate) fn set_actions(&self, actions: Arc<SignalActions>) {
        *self.actions.write() = actions;
    }

    pub fn limits(&self) -> [Rlimit; Resource::COUNT] {
        *self.limits.lock()
    }

    pub fn rlimit(&self, resource: Resource) -> Rlimit {
        self.limits.lock()[resource as usize]
    }

    pub fn set_rlimit(&self, resource: Resource, limit: Rlimit) {
        self.limits.lock()[resource as usize] = limit;
    }

    /// Is the whole process ending (exit_group, fatal signal)?
    pub fn is_exiting(&self) -> bool {
        self.signals.lock().exit.is_some()
    }

    pub fn thread_count(&self) -> usize {
        self.signals.lock().threads.len()
    }

    pub fn threads(&self) -> Vec<Arc<crate::Task>> {
        self.signals
            .lock()
            .threads
            .values()
            .map(|t| t.task.clone())
            .collect()
    }

    /// Dead: every thread has ended. pidfd's POLLIN.
    pub fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::Acquire)
    }

    pub fn is_reaped(&self) -> bool {
        self.is_reaped.load(Ordering::Acquire)
    }

    /// Notified when a thread ends, and when the process dies or is reaped.
    pub fn ended(&self) -> &WaitQueue {
        &self.ended
    }

    /// Notified when a signal is queued to the process or one of its threads.
    pub fn signal_queued(&self) -> &WaitQueue {
        &self.signal_queued
    }

    /// The leading thread, unless it has ended.
    pub fn leader(&self) -> Option<Arc<crate::Task>> {
        let signals = self.signals.lock();
        signals.threads.get(&self.pid).map(|t| t.task.clone())
    }

    /// CPU time of all threads, ended ones included.
    pub fn cpu_ns(&self) -> u64 {
        let (dead, threads) = self.dead_and_live();
        let live: u64 = threads.iter().map(|t| t.cpu_ns()).sum();
        dead.total_ns().saturating_add(live)
    }

    /// As `cpu_ns`, by where it was spent.
    pub fn cpu_times(&self) -> CpuTimes {
        let (dead, threads) = self.dead_and_live();
        threads
            .iter()
            .map(|t| t.cpu_times())
            .fold(dead, |sum, one| sum + one)
    }

    /// Under the lock that an ending thread holds when it goes from one to the other.
    fn dead_and_live(&self) -> (CpuTimes, Vec<Arc<crate::Task>>) {
        let signals = self.signals.lock();
        let live = signals.threads.values().map(|t| t.task.clone()).collect();
        (self.dead_cpu.get(), live)
    }

    /// Ends the process as if by `status`; false when it was ending already.
    pub fn begin_exit(&self, status: ExitStatus) -> bool {
        let mut signals = self.signals.lock();
        let first = signals.exit.is_none();
        signals.begin_exit(status);
        first
    }
}

impl ThreadGroup {
    /// CPU time and largest memory (KiB) of reaped children.
    pub fn child_usage(&self) -> (CpuTimes, i64) {
        let cpu = self.child_cpu.get();
        (cpu, self.child_maxrss_kib.load(Ordering::Relaxed))
    }

    /// CPU time of its ended threads and of the children it has reaped: once it is
    /// dead, what its parent is to be told.
    pub(crate) fn used_for_good(&self) -> CpuTimes {
        self.dead_cpu.get() + self.child_cpu.get()
    }
}
