//! Counters, for `--stats`.

use rivix_sync::{Mutex, level};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// A sandbox's counters. Reading them stops nothing: sums may be a moment old.
#[derive(Default)]
pub struct Stats {
    pub(crate) syscalls: AtomicU64,
    pub(crate) tasks: AtomicU64,
    pub(crate) processes: AtomicU64,
    pub(crate) execs: AtomicU64,
    pub(crate) signals: AtomicU64,
    pub(crate) faults: AtomicU64,
    /// Of teaching kernels' processes, each of which it ended.
    pub(crate) told_faults: AtomicU64,
    pub(crate) instructions: AtomicU64,
    pub(crate) shared_file_futexes: AtomicU64,
    /// Panics of ours that killed a guest process.
    pub(crate) panics: AtomicU64,
    /// Panics in the kernel's own units of work.
    unit_panics: AtomicU64,
    /// Tasks of the kernel's own, ever made.
    pub(crate) kernel_tasks: AtomicU64,
    unknown: Mutex<level::Stats, BTreeMap<u64, u64>>,
    unknown_teaching: Mutex<level::Stats, BTreeMap<u64, u64>>,
}

/// A reading of [`Stats`].
#[derive(Clone, Debug, Default)]
pub struct StatsReport {
    /// Calls by tasks that have ended, and by the reader.
    pub syscalls: u64,
    pub tasks_created: u64,
    pub processes_created: u64,
    pub execs: u64,
    pub signals_delivered: u64,
    pub faults: u64,
    pub instructions: u64,
    /// Waits for words in host files, which other host processes cannot end.
    pub shared_file_futexes: u64,
    pub panics: u64,
    /// Panics in the kernel's own units of work, whose results were wanted.
    pub unit_panics: u64,
    /// Tasks of the kernel's own, ever made.
    pub kernel_tasks_created: u64,
    /// Calls answered ENOSYS for want of a handler, by number.
    pub unknown: BTreeMap<u64, u64>,
    /// Calls of teaching kernels' processes that there are not, by number.
    pub unknown_teaching: BTreeMap<u64, u64>,
    pub tasks_now: usize,
    /// Numbers in use by guests: of tasks, processes, groups and sessions.
    pub ids_now: usize,
    /// Tasks of the kernel's own, not among `tasks_now`.
    pub kernel_tasks_now: usize,
    pub processes_now: usize,
    /// The guests' pool of threads, that of host calls which block, then the kernel's own.
    pub pools: Vec<rivix_spawner::PoolStats>,
    /// Serial services that have been opened.
    pub lanes: Vec<rivix_spawner::LaneStats>,
    /// Reusable jobs, by name.
    pub jobs: Vec<(&'static str, rivix_spawner::JobStatus)>,
}

impl Stats {
    /// Counts a call nobody handles; true the first time for its number.
    pub fn count_unknown(&self, number: u64) -> bool {
        count(&mut self.unknown.lock(), number)
    }

    /// As [`Stats::count_unknown`], for the processes of teaching kernels.
    pub fn count_unknown_teaching(&self, number: u64) -> bool {
        count(&mut self.unknown_teaching.lock(), number)
    }

    pub(crate) fn count_unit_panics(&self, count: u64) {
        self.unit_panics.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn report(&self) -> StatsReport {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        // One after the other: both locks have one level.
        let unknown = self.unknown.lock().clone();
        let unknown_teaching = self.unknown_teaching.lock().clone();
        StatsReport {
            syscalls: get(&self.syscalls),
            tasks_created: get(&self.tasks),
            processes_created: get(&self.processes),
            execs: get(&self.execs),
            signals_delivered: get(&self.signals),
            faults: get(&self.faults),
            instructions: get(&self.instructions),
            shared_file_futexes: get(&self.shared_file_futexes),
            panics: get(&self.panics),
            unit_panics: get(&self.unit_panics),
            kernel_tasks_created: get(&self.kernel_tasks),
            unknown,
            unknown_teaching,
            ..StatsReport::default()
        }
    }
}

/// One more of `number`; true: the first.
fn count(counts: &mut BTreeMap<u64, u64>, number: u64) -> bool {
    // A guest may try every number there is.
    if counts.len() >= 4096 && !counts.contains_key(&number) {
        return false;
    }
    let count = counts.entry(number).or_insert(0);
    *count += 1;
    *count == 1
}
