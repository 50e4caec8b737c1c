//! A sandbox: its processes, clocks, limits, threads.

use crate::clock::KernelClock;
use crate::creds::Creds;
use crate::current::CurrentTask;
use crate::error::SysResult;
use crate::exit_status::ExitStatus;
use crate::futex::{self, Futexes};
use crate::group::ThreadGroup;
use crate::guest_loop::{Outcome, SyscallEntry};
use crate::pids::Pids;
use crate::reaper::Reaper;
use crate::signal::room::Rooms;
use crate::stats::{Stats, StatsReport};
use crate::users::Users;
use crate::vcpu::VirtualCpus;
use crate::worker_context::{GuestWorker, KernelSeed, KernelWorker};
use rivix_abi::signal::SigInfo;
use rivix_abi::{Errno, Signal, UserRef};
use rivix_engine::Engine;
use rivix_spawner::{Close, DynamicThreadSpawner, Lanes, NoContext, Pool, Timers};
use rivix_sync::{Mutex, WaitQueue, level};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// What the embedder decides once per sandbox.
pub struct KernelConfig {
    pub engine: Arc<dyn Engine>,
    pub syscalls: SyscallEntry,
    /// Threads that may exist at once; more answer EAGAIN.
    pub max_tasks: usize,
    /// Host threads kept parked for the next guest threads.
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

    /// A process has ended, and nobody knows yet: what was written about it may
    /// still be on its way.
    fn process_ending(&self, pid: i32) {
        let _ = pid;
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
    pub(crate) users: Arc<Users>,
    vcpus: VirtualCpus,
    clock: Arc<KernelClock>,
    timers: Arc<Timers>,
    spawner: DynamicThreadSpawner<KernelWorker>,
    guests: Pool<GuestWorker>,
    pub(crate) host_calls: Pool<NoContext>,
    lanes: Arc<Lanes>,
    pub(crate) reaper: Reaper,
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
    /// Signals that users have queued.
    pub(crate) rooms: Arc<Rooms>,
}

/// Parked workers for the kernel's own work; more of it is rare.
const MAX_IDLE_KERNEL_WORKERS: usize = 2;

/// Workers made ahead of the next clone(2).
const SPARE_GUEST_WORKERS: usize = 1;

/// The deadlines of a kernel, on a lane that opens with the first.
fn timers_on(lanes: &Arc<Lanes>, pool: &Pool<KernelWorker>) -> Arc<Timers> {
    let pool = pool.clone();
    Timers::new(lanes.clone(), move |open| {
        // Deadlines are armed under locks that a new worker may need.
        pool.spawn_nowait(|_| open()).detach();
    })
}

/// Instructions a task takes from the budget at a time.
const FUEL_SLICE: u64 = 1 << 20;

impl Kernel {
    pub fn new(config: KernelConfig) -> std::io::Result<Arc<Kernel>> {
        crate::cputime::calibrate();
        let seed = KernelSeed::default();
        let spawner = DynamicThreadSpawner::with_builder(seed.clone(), |pool| {
            pool.name("kworker").max_idle(MAX_IDLE_KERNEL_WORKERS)
        })?;
        let guests = Pool::builder(spawner.creator(), ())
            .name("guest")
            .max_idle(config.max_idle_threads)
            .spare(SPARE_GUEST_WORKERS)
            .build()
            .map_err(std::io::Error::other)?;
        let host_calls = crate::offload::pool(spawner.creator())?;
        let lanes = Arc::new(Lanes::on(spawner.pool()));
        let timers = timers_on(&lanes, spawner.pool());
        let clock = Arc::new(KernelClock::new());
        let tracer = config.hooks.tracer();
        let mut boot_id = [0; 16];
        crate::random::fill(&mut boot_id);
        let kernel = Arc::new(Kernel {
            pids: Mutex::default(),
            futexes: futex::new_table(),
            users: Arc::default(),
            vcpus: VirtualCpus::new(),
            boot_ns: rivix_engine::Clock::monotonic_ns(&*clock),
            clock,
            timers,
            spawner,
            guests,
            host_calls,
            lanes,
            reaper: Reaper::new(),
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
            rooms: Arc::default(),
        });
        seed.set(&kernel);
        crate::kernel_task::start_first(&kernel)
            .map_err(|errno| std::io::Error::from_raw_os_error(errno.raw()))?;
        Ok(kernel)
    }

    pub(crate) fn vcpus(&self) -> &VirtualCpus {
        &self.vcpus
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

    /// Threads for the kernel's own work; each has a task of the kernel's while
    /// it lives. Call it without locks: a new worker enters the pid table.
    pub fn spawner(&self) -> &DynamicThreadSpawner<KernelWorker> {
        &self.spawner
    }

    /// Serial services of this kernel; each runs as a task of the kernel's.
    pub fn lanes(&self) -> &Arc<Lanes> {
        &self.lanes
    }

    /// Threads for guests.
    pub(crate) fn guest_workers(&self) -> &Pool<GuestWorker> {
        &self.guests
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

    pub fn report(&self) -> StatsReport {
        let (tasks_now, processes_now, kernel_tasks_now, ids_now) = {
            let pids = self.pids.lock();
            let kernel_tasks = pids.task_count() - pids.guest_tasks();
            let ids = pids.ids_used().saturating_sub(kernel_tasks);
            (
                pids.guest_tasks(),
                pids.guest_processes(),
                kernel_tasks,
                ids,
            )
        };
        StatsReport {
            tasks_now,
            processes_now,
            kernel_tasks_now,
            ids_now,
            pools: self.pools(),
            lanes: self.lanes.stats(),
            jobs: vec![("reaper", self.reaper.status())],
            ..self.stats.report()
        }
    }

    fn pools(&self) -> Vec<rivix_spawner::PoolStats> {
        let mut pools = vec![self.guests.stats(), self.host_calls.stats()];
        pools.extend(self.spawner.stats());
        pools
    }

    /// Joins all host threads, by `deadline`; false: some still run. Kernel work
    /// in progress must have been told to end.
    fn end_threads(&self, deadline: Instant) -> bool {
        self.timers.stop();
        // Models know no time: what does not end there is a deadlock that they find.
        #[cfg(rivix_model)]
        {
            self.guests.close(Close::Drain);
            self.host_calls.close(Close::Drain);
            let lanes = self.lanes.close(Close::Drain);
            self.spawner.close();
            let _ = deadline;
            return lanes.is_ok();
        }
        #[cfg(not(rivix_model))]
        self.end_threads_by(deadline)
    }

    #[cfg(not(rivix_model))]
    fn end_threads_by(&self, deadline: Instant) -> bool {
        let patience = || deadline.saturating_duration_since(Instant::now());
        let guests = self.guests.close_timeout(Close::Drain, patience());
        let host_calls = self.host_calls.close_timeout(Close::Drain, patience());
        let lanes = self.lanes.close_until(Close::Drain, Some(deadline));
        if let Err(stuck) = &lanes {
            tracing::warn!(?stuck, "the sandbox's end does not wait longer for lanes");
        }
        let kernel = self.spawner.close_timeout(patience());
        let all = [guests, host_calls, kernel];
        for stuck in all.iter().filter_map(|closed| closed.as_ref().err()) {
            tracing::warn!(%stuck, "the sandbox's end does not wait longer");
        }
        all.iter().all(Result::is_ok)
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
            let guests = pids.processes.values().filter(|p| !p.is_kernel());
            guests.map(|p| p.group.clone()).collect()
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
            if self.pids.lock().guest_tasks() == 0 {
                break;
            }
            if !waiter.0.park_until(deadline) {
                return false;
            }
            // A process may have been published while we looked.
            self.begin_shutdown(reason);
        }
        self.end_threads(deadline.unwrap_or_else(|| Instant::now() + Duration::from_secs(86_400)))
    }

    /// Credentials of the kernel's own acts.
    pub fn root_creds(&self) -> Creds {
        Creds::user(0, 0, Vec::new())
    }
}

/// How long dropping a kernel waits for threads that nobody has waited for.
const LAST_PATIENCE: Duration = Duration::from_secs(2);

impl Drop for Kernel {
    fn drop(&mut self) {
        self.end_threads(Instant::now() + LAST_PATIENCE);
    }
}
