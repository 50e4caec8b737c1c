//! Counters of a sandbox.

use crate::hooks::Counts;
use rivix_fs::Namespace;
use rivix_task::Kernel;
use std::collections::BTreeMap;

/// What a sandbox has done and holds. Reading stops nothing: values may be a
/// moment old.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// System calls of threads that have ended.
    pub syscalls: u64,
    /// Calls by number, when they are counted.
    pub syscalls_by_number: BTreeMap<u64, u64>,
    /// Calls answered ENOSYS because nothing handles them, by number.
    pub unknown_syscalls: BTreeMap<u64, u64>,
    /// Calls of programs with a teaching kernel's [`Abi`](crate::Abi), by name, when they are
    /// counted.
    pub teaching_calls: BTreeMap<String, u64>,
    /// Their calls that are answered -1 because there are none, by number.
    pub unknown_teaching_calls: BTreeMap<u64, u64>,
    pub processes_created: u64,
    pub threads_created: u64,
    pub processes_now: usize,
    /// The most threads that existed at once, when calls are counted.
    pub threads_peak: usize,
    /// Host mappings charged to the sandbox.
    pub host_mappings: u64,
    pub threads_now: usize,
    /// Numbers of processes and threads in use, those kept by a process group or
    /// a session among them; not the kernel's own.
    pub ids_now: usize,
    pub execs: u64,
    pub signals_delivered: u64,
    /// Faults of guest instructions.
    pub faults: u64,
    /// Counted only with an instruction budget.
    pub instructions: u64,
    /// Futexes waited for on shared mappings of host files: other host
    /// processes are not woken.
    pub shared_file_futexes: u64,
    /// Defects of Rivix that ended a guest process.
    pub panics: u64,
    /// Host threads that exist, and those of them that wait for work.
    pub host_threads: usize,
    pub host_threads_idle: usize,
    pub host_threads_created: u64,
    /// The pools of host threads: the guests' first, then the kernel's own.
    pub pools: Vec<PoolStats>,
    /// Serial services, each with a thread of its own while it is open.
    pub lanes: Vec<LaneStats>,
    /// Reusable jobs: name, runs begun, and whether it runs or waits to.
    pub jobs: Vec<(String, u64, bool)>,
    /// Tasks of the kernel's own, `kthreadd` among them.
    pub kernel_tasks_now: usize,
    /// Panics in units of the kernel's own work.
    pub unit_panics: u64,
    /// Host descriptors held by guest files.
    pub host_fds: usize,
    /// Full-size address-space windows of the whole host process.
    pub windows: usize,
}

/// The counters of one pool of host threads.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PoolStats {
    pub name: String,
    /// The host's scheduling class, as sched(7) names it in lower case.
    pub class: String,
    /// Threads that exist: idle, running, beginning or ending.
    pub workers: usize,
    pub idle: usize,
    pub running: usize,
    /// Units of work that wait for a thread.
    pub queued: usize,
    /// Threads made, and refused by the host, so far.
    pub created: u64,
    pub refused: u64,
    /// Units taken so far, and those of them that panicked.
    pub units: u64,
    pub panics: u64,
}

/// The counters of one lane.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct LaneStats {
    pub name: String,
    /// Units that ran, and the batches they came in.
    pub units: u64,
    pub batches: u64,
    /// Units that were dropped because the lane was full, and that panicked.
    pub dropped: u64,
    pub panics: u64,
    pub is_open: bool,
}

impl From<&rivix_spawner::LaneStats> for LaneStats {
    fn from(lane: &rivix_spawner::LaneStats) -> LaneStats {
        LaneStats {
            name: format!("{}/{}", lane.key.name, lane.key.index),
            units: lane.run,
            batches: lane.batches,
            dropped: lane.dropped,
            panics: lane.panicked,
            is_open: lane.is_open,
        }
    }
}

impl From<&rivix_spawner::PoolStats> for PoolStats {
    fn from(pool: &rivix_spawner::PoolStats) -> PoolStats {
        use rivix_spawner::Class;
        PoolStats {
            name: pool.name.to_string(),
            class: match pool.class {
                Class::Normal => "normal".into(),
                Class::Batch => "batch".into(),
                Class::Idle => "idle".into(),
                Class::Fifo(priority) => format!("fifo {priority}"),
                Class::RoundRobin(priority) => format!("rr {priority}"),
            },
            workers: pool.live,
            idle: pool.idle,
            running: pool.running,
            queued: pool.queued,
            created: pool.created,
            refused: pool.refused,
            units: pool.units,
            panics: pool.panics,
        }
    }
}

impl Stats {
    pub(crate) fn read(kernel: &Kernel, namespace: &Namespace, counts: Option<Counts>) -> Stats {
        let report = kernel.report();
        let counts = counts.unwrap_or_default();
        Stats {
            syscalls: report.syscalls,
            unknown_syscalls: report.unknown,
            processes_created: report.processes_created,
            threads_created: report.tasks_created,
            processes_now: report.processes_now,
            threads_now: report.tasks_now,
            ids_now: report.ids_now,
            execs: report.execs,
            signals_delivered: report.signals_delivered,
            faults: report.faults,
            instructions: report.instructions,
            shared_file_futexes: report.shared_file_futexes,
            panics: report.panics,
            host_threads: report.pools.iter().map(|pool| pool.live).sum(),
            host_threads_idle: report.pools.iter().map(|pool| pool.idle).sum(),
            host_threads_created: report.pools.iter().map(|pool| pool.created).sum(),
            pools: report.pools.iter().map(PoolStats::from).collect(),
            lanes: report.lanes.iter().map(LaneStats::from).collect(),
            jobs: report
                .jobs
                .iter()
                .map(|(name, job)| {
                    let is_idle = job.phase == rivix_spawner::JobPhase::Idle;
                    ((*name).to_owned(), job.runs, !is_idle)
                })
                .collect(),
            kernel_tasks_now: report.kernel_tasks_now,
            unit_panics: report.unit_panics,
            host_fds: namespace.shared().host_fds(),
            windows: rivix_mem::full_windows(),
            host_mappings: kernel.memory_config().budget.mappings(),
            syscalls_by_number: counts.calls,
            teaching_calls: by_name(&counts.teaching_calls),
            unknown_teaching_calls: report.unknown_teaching,
            threads_peak: counts.threads_peak,
        }
    }
}

impl Stats {
    /// The calls made most often, most first.
    pub fn busiest_syscalls(&self, at_most: usize) -> Vec<(String, u64)> {
        let mut list: Vec<_> = self
            .syscalls_by_number
            .iter()
            .map(|(number, count)| {
                let name = syscall_name(*number).map_or_else(|| number.to_string(), str::to_owned);
                (name, *count)
            })
            .collect();
        let teaching = self.teaching_calls.iter();
        list.extend(teaching.map(|(name, count)| (name.clone(), *count)));
        list.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        list.truncate(at_most);
        list
    }
}

/// Calls of one name are one, whichever personality's they are.
fn by_name(counts: &BTreeMap<(rivix_task::Abi, u64), u64>) -> BTreeMap<String, u64> {
    let mut named = BTreeMap::new();
    for ((abi, number), count) in counts {
        let name = rivix_syscalls::strace::name_in(*abi, *number);
        let name = name.map_or_else(|| number.to_string(), str::to_owned);
        *named.entry(name).or_insert(0) += count;
    }
    named
}

/// The name of a system call of riscv64 Linux.
///
/// ```
/// assert_eq!(rivix::stats::syscall_name(64), Some("write"));
/// ```
pub fn syscall_name(number: u64) -> Option<&'static str> {
    rivix_syscalls::strace::name(number)
}
