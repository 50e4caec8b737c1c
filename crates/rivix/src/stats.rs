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
    pub processes_created: u64,
    pub threads_created: u64,
    pub processes_now: usize,
    /// The most threads that existed at once, when calls are counted.
    pub threads_peak: usize,
    /// Host mappings charged to the sandbox.
    pub host_mappings: u64,
    pub threads_now: usize,
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
    /// Host descriptors held by guest files.
    pub host_fds: usize,
    /// Full-size address-space windows of the whole host process.
    pub windows: usize,
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
            execs: report.execs,
            signals_delivered: report.signals_delivered,
            faults: report.faults,
            instructions: report.instructions,
            shared_file_futexes: report.shared_file_futexes,
            panics: report.panics,
            host_threads: report.spawner.live,
            host_threads_idle: report.spawner.idle,
            host_threads_created: report.spawner.created,
            host_fds: namespace.shared().host_fds(),
            windows: rivix_mem::full_windows(),
            host_mappings: kernel.memory_config().budget.mappings(),
            syscalls_by_number: counts.calls,
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
        list.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        list.truncate(at_most);
        list
    }
}

/// The name of a system call of riscv64 Linux.
///
/// ```
/// assert_eq!(rivix::stats::syscall_name(64), Some("write"));
/// ```
pub fn syscall_name(number: u64) -> Option<&'static str> {
    rivix_syscalls::strace::name(number)
}
