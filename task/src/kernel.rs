//! A sandbox: its processes, clocks, limits, threads.

use crate::clock::KernelClock;
use crate::creds::Creds;
use crate::current::CurrentTask;
use crate::error::SysResult;
use crate::exit_status::ExitStatus;
use crate::futex::Futexes;
use crate::group::ThreadGroup;
use crate::guest_loop::{Outcome, SyscallEntry};
use crate::pids::Pids;
use crate::stats::{Stats, StatsReport};
use rivix_abi::signal::SigInfo;
use rivix_abi::{Errno, Signal, UserRef};
use rivix_engine::Engine;
use rivix_spawner::first::Spawner;
use rivix_sync::{Mutex, Timers, WaitQueue, level};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// What the embedder decides once per sandbox.
pub struct KernelConfig {
    pub engine: Arc<dyn Engine>,
    pub syscalls: SyscallEntry,
    /// Threads that may exist at once; more answer EAGAIN.
    pub max_tasks: usize,
    /// Host threads kept parked for reuse.
    pub max_idle_threads: usize,
    pub instruction_budget: Option<u64>,
    pub hostname: Vec<u8>,
    /// What every address space of the sandbox is made from.
    pub memory: rivix_mem::MemConfig,
    pub hooks: Arc<dyn KernelHooks>,
}

/// What the kernel tells its embedder. Called on guest threads; must not block long.
pub trait KernelHooks: Send + Sync {
    /// execve(2) met a program that is not riscv64; asked for once per kernel.
    fn foreign_program(&self, path: &[u8], why: &str) {
        let _ = (path, why);
    }

    /// A signal's default action ends a process.
    fn fatal_signal(&self, pid: i32, signal: Signal, info: &SigInfo, pc: u64) {
        let _ = (pid, signal, info, pc);
    }

    /// Will the embedder continue a process that it started, when job control
    /// stops it? Else such a process ignores job control, as orphans do.
    fn continues_stopped(&self) -> bool {
        false
    }

    /// A process that the embedder started was stopped by job control.
    fn process_stopped(&self, pid: i32) {
        let _ = pid;
    }

    /// strace. None: off.
    fn tracer(&self) -> Option<Arc<dyn SyscallTracer>> {
        None
    }
}

/// Hears of every system call.
pub trait SyscallTracer: Send + Sync {
    fn enter(&self, task: &CurrentTask, number: u64, args: &[u64; 6]);
    fn exit(&self, task: &CurrentTask, number: u64, args: &[u64; 6], result: &SysResult<Outcome>);
    /// A signal is about to be delivered to its handler or default action.
    fn signal(&self, task: &CurrentTask, info: &SigInfo) {
        let _ = (task, info);
    }
    /// The thread ends.
    fn thread_exit(&self, task: &CurrentTask, status: ExitStatus) {
        let _ = (task, status);
    }
}

/// Hooks that do nothing.
pub struct NoHooks;
impl KernelHooks for NoHooks {}

/// Why a sandbox was ended from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownReason {
    /// The embedder asked, or dropped the sandbox.
    Requested,
    Deadline,
    InstructionBudget,
}

/// Where the end of a process that the library started is announced.
#[derive(Default)]
pub struct ExitWatch {
    state: Mutex<level::Stats, Option<ExitReport>>,
    changed: WaitQueue,
}

/// How a process ended and what it used.
#[derive(Clone, Copy, Debug)]
pub struct ExitReport {
    pub status: ExitStatus,
    pub cpu_ns: u64,
    pub maxrss_kib: i64,
}

impl ExitWatch {
    /// Waiters are the embedder's: they are told by [`ExitWatch::announce`].
    pub(crate) fn set(&self, report: ExitReport) {
        *self.state.lock() = Some(report);
    }

    /// Tells the waiters. Without a lock: a waker may run any code.
    pub(crate) fn announce(&self) {
        self.changed.notify(0);
    }

    pub fn get(&self) -> Option<ExitReport> {
        *self.state.lock()
    }

    /// Has `who` told of the end until the entry is dropped. Register, then look.
    #[must_use = "dropping the entry ends the registration"]
    pub fn register(&self, who: Arc<dyn rivix_sync::Notify>) -> rivix_sync::WaitEntry {
        self.changed.register(who, u32::MAX)
    }

    /// Waits on the calling (host) thread; None when `deadline` came first.
    pub fn wait_until(&self, deadline: Option<Instant>) -> Option<ExitReport> {
        let waiter = Arc::new(HostWaiter::default());
        let _entry = self.changed.register(waiter.clone(), u32::MAX);
        loop {
            if let Some(report) = self.get() {
                return Some(report);
            }
            if !waiter.0.park_until(deadline) {
                return self.get();
            }
        }
    }
}

/// A host thread that waits on a guest's wait queue.
#[derive(Default)]
pub(crate) struct HostWaiter(pub(crate) rivix_sync::Parker);

impl rivix_sync::Notify for HostWaiter {
    fn notify(&self, _: u32) {
        self.0.unpark();
    }
}

/// One sandbox. Everything of it is freed by [`Kernel::shutdown`].
pub struct Kernel {
    pub(crate) pids: Mutex<level::Pids, Pids>,
    pub(crate) futexes: Futexes,
    clock: Arc<KernelClock>,
    timers: Arc<Timers>,
    spawner: Arc<Spawner>,
    engine: Arc<dyn Engine>,
    syscalls: SyscallEntry,
    memory: rivix_mem::MemConfig,
    max_tasks: usize,
    fuel: Option<AtomicU64>,
    hooks: Arc<dyn KernelHooks>,
    tracer: Option<Arc<dyn SyscallTracer>>,
    has_hinted: AtomicBool,
    stats: Stats,
    names: Mutex<level::Stats, (Vec<u8>, Vec<u8>)>,
    /// Told whenever a task is gone.
    pub(crate) task_gone: WaitQueue,
    shutdown: OnceLock<ShutdownReason>,
    boot_ns: u64,
    pub(crate) boot_id: [u8; 16],
}

/// Instructions a task takes from the budget at a time.
const FUEL_SLICE: u64 = 1 << 20;

impl Kernel {
    pub fn new(config: KernelConfig) -> std::io::Result<Arc<Kernel>> {
        let spawner = Arc::new(Spawner::new(config.max_idle_threads)?);
        let runner = spawner.clone();
        let timers = Timers::new(move |timers| {
            if runner.spawn("rivix-timers", move || timers.run()).is_err() {
                tracing::error!("the host refuses a thread for timers: they will not fire");
            }
        });
        let clock = Arc::new(KernelClock::new());
        let tracer = config.hooks.tracer();
        let mut boot_id = [0; 16];
        crate::random::fill(&mut boot_id);
        Ok(Arc::new(Kernel {
            pids: Mutex::default(),
            futexes: Futexes::new(),
            boot_ns: rivix_engine::Clock::monotonic_ns(&*clock),
            clock,
            timers,
            spawner,
            engine: config.engine,
            syscalls: config.syscalls,
            memory: config.memory,
            max_tasks: config.max_tasks,
            fuel: config.instruction_budget.map(AtomicU64::new),
            hooks: config.hooks,
            tracer,
            has_hinted: AtomicBool::new(false),
            stats: Stats::default(),
            names: Mutex::new((config.hostname, b"(none)".to_vec())),
            task_gone: WaitQueue::new(),
            shutdown: OnceLock::new(),
            boot_id,
        }))
    }

    pub fn clock(&self) -> &KernelClock {
        &self.clock
    }

    pub(crate) fn engine_clock(&self) -> Arc<dyn rivix_engine::Clock> {
        self.clock.clone()
    }

    /// Deadlines that call back: timerfd, POSIX timers.
    pub fn timers(&self) -> &Arc<Timers> {
        &self.timers
    }

    pub fn spawner(&self) -> &Spawner {
        &self.spawner
    }

    pub fn engine(&self) -> &dyn Engine {
        &*self.engine
    }

    pub fn memory_config(&self) -> &rivix_mem::MemConfig {
        &self.memory
    }

    pub fn tracer(&self) -> Option<&Arc<dyn SyscallTracer>> {
        self.tracer.as_ref()
    }

    pub fn hooks(&self) -> &dyn KernelHooks {
        &*self.hooks
    }

    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    pub fn max_tasks(&self) -> usize {
        self.max_tasks
    }

    pub fn boot_ns(&self) -> u64 {
        self.boot_ns
    }

    pub fn hostname(&self) -> Vec<u8> {
        self.names.lock().0.clone()
    }

    pub fn set_hostname(&self, name: &[u8]) {
        self.names.lock().0 = name.to_vec();
    }

    pub fn domainname(&self) -> Vec<u8> {
        self.names.lock().1.clone()
    }

    pub fn set_domainname(&self, name: &[u8]) {
        self.names.lock().1 = name.to_vec();
    }

    pub(crate) fn syscall_entry(&self) -> SyscallEntry {
        self.syscalls
    }

    pub(crate) fn has_instruction_budget(&self) -> bool {
        self.fuel.is_some()
    }

    pub(crate) fn count_instructions(&self, count: u64) {
        self.stats.instructions.fetch_add(count, Ordering::Relaxed);
    }

    /// The next slice of the instruction budget; 0: used up.
    pub(crate) fn take_fuel(&self) -> u64 {
        let Some(fuel) = &self.fuel else {
            return FUEL_SLICE;
        };
        let left = fuel
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                Some(left.saturating_sub(FUEL_SLICE))
            })
            .unwrap_or(0);
        left.min(FUEL_SLICE)
    }

    /// CLONE_CHILD_SETTID: stored by the child before user code.
    pub(crate) fn child_tid_store(&self, task: &CurrentTask) -> Result<(), Errno> {
        match task.child_tid_at.take() {
            Some(at) => task.write(UserRef::new(at), &task.tid()),
            None => Ok(()),
        }
    }

    /// Hints once that a program is of another machine.
    pub fn hint_foreign_program(&self, path: &[u8], why: &str) {
        if !self.has_hinted.swap(true, Ordering::Relaxed) {
            self.hooks.foreign_program(path, why);
        }
    }

    pub(crate) fn report_fatal(&self, task: &CurrentTask, signal: Signal, info: &SigInfo) {
        self.hooks
            .fatal_signal(task.pid(), signal, info, task.regs.pc);
    }

    /// Would Linux have written a core file? It says so in the status even
    /// where core_pattern sends the dump elsewhere.
    pub(crate) fn dumps_core(&self, task: &CurrentTask) -> bool {
        task.rlimit(rivix_abi::resource::Resource::Core).cur != 0
    }

    pub fn report(&self) -> StatsReport {
        let (tasks_now, processes_now) = {
            let pids = self.pids.lock();
            (pids.tasks.len(), pids.processes.len())
        };
        StatsReport {
            tasks_now,
            processes_now,
            spawner: self.spawner.stats(),
            ..self.stats.report()
        }
    }

    /// Why the sandbox was ended, if it was.
    pub fn shutdown_reason(&self) -> Option<ShutdownReason> {
        self.shutdown.get().copied()
    }

    /// Kills every process and refuses new ones; does not wait.
    pub fn begin_shutdown(&self, reason: ShutdownReason) {
        let _ = self.shutdown.set(reason);
        let groups: Vec<Arc<ThreadGroup>> = {
            let mut pids = self.pids.lock();
            pids.is_closed = true;
            pids.processes.values().map(|p| p.group.clone()).collect()
        };
        for group in groups {
            group.begin_exit(ExitStatus::KILLED);
        }
    }

    /// Ends the sandbox: kills every process, waits for all threads, frees
    /// everything. False when threads did not end within `patience`; they are
    /// kicked and will end, but nobody waits.
    pub fn shutdown(&self, reason: ShutdownReason, patience: Duration) -> bool {
        let deadline = Instant::now().checked_add(patience);
        let waiter = Arc::new(HostWaiter::default());
        let _entry = self.task_gone.register(waiter.clone(), u32::MAX);
        self.begin_shutdown(reason);
        loop {
            if self.pids.lock().tasks.is_empty() {
                break;
            }
            if !waiter.0.park_until(deadline) {
                return false;
            }
            // A process may have been published while we looked.
            self.begin_shutdown(reason);
        }
        self.timers.stop();
        self.spawner.close();
        true
    }

    /// Credentials of the kernel's own acts.
    pub fn root_creds(&self) -> Creds {
        Creds::user(0, 0, Vec::new())
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        self.timers.stop();
        self.spawner.close();
    }
}
