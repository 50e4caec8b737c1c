//! What procfs asks the kernel about its processes.

use crate::{Caller, FdTable, FsContext, Place};
use rivix_abi::Errno;
use rivix_mem::AddressSpace;
use std::sync::Arc;

/// The kernel, as procfs sees it. `pid` may name any thread, as on Linux.
pub trait ProcInfo: Send + Sync {
    /// Every process that exists, zombies too, ascending.
    fn pids(&self) -> Vec<i32>;
    /// Memory, files and directory are those of the very thread that `pid` names, and
    /// missing when it has ended.
    fn process(&self, pid: i32) -> Option<ProcSnapshot>;
    /// May the caller look into the process (ptrace(2), PTRACE_MODE_READ_FSCREDS)?
    fn may_look(&self, caller: &Caller, pid: i32) -> bool {
        let _ = (caller, pid);
        true
    }
    /// Thread ids of the process, ascending; empty when there is none.
    fn threads(&self, pid: i32) -> Vec<i32>;
    fn thread(&self, tid: i32) -> Option<ThreadSnapshot>;
    fn system(&self) -> SystemSnapshot;
    /// A write to /proc/PID/comm by the calling thread's process. EINVAL: it is
    /// another process's; ESRCH: it has ended.
    fn set_comm(&self, tid: i32, comm: &[u8]) -> Result<(), Errno>;
    /// A write to /proc/PID/coredump_filter. ESRCH: it has ended.
    fn set_core_filter(&self, pid: i32, bits: u32) -> Result<(), Errno> {
        let _ = (pid, bits);
        Err(Errno::ESRCH)
    }
    /// A write to /proc/PID/oom_score_adj.
    fn set_oom_score_adj(&self, pid: i32, value: i32) {
        let _ = (pid, value);
    }
    /// A write to /proc/sys/kernel/hostname, when that is allowed.
    fn set_hostname(&self, name: &[u8]) {
        let _ = name;
    }
}

/// A process at one moment. Times are in clock ticks of 1/100 s.
#[derive(Clone, Default)]
pub struct ProcSnapshot {
    pub pid: i32,
    /// A task of the kernel's own: it has no memory, files, group or session.
    pub is_kernel: bool,
    /// PF_*, as stat shows them.
    pub flags: u32,
    pub ppid: i32,
    pub pgid: i32,
    pub sid: i32,
    pub comm: Vec<u8>,
    /// R, S, D, T, t or Z.
    pub state: char,
    /// Device number of the controlling terminal, 0 for none.
    pub tty_nr: i32,
    /// Foreground group of that terminal, -1 for none.
    pub tpgid: i32,
    /// Real, effective, saved, file system.
    pub uids: [u32; 4],
    pub gids: [u32; 4],
    pub groups: Vec<u32>,
    pub threads: usize,
    /// Since boot.
    pub start_ticks: u64,
    pub utime: u64,
    pub stime: u64,
    pub cutime: u64,
    pub cstime: u64,
    pub nice: i32,
    pub umask: u32,
    pub exit_signal: i32,
    pub exit_code: i32,
    pub minor_faults: u64,
    pub major_faults: u64,
    pub child_minor_faults: u64,
    pub child_major_faults: u64,
    pub exe: Option<Place>,
    pub mm: Option<Arc<AddressSpace>>,
    pub files: Option<Arc<FdTable>>,
    pub fs: Option<Arc<FsContext>>,
    /// [start, end) in guest memory of the argument and environment strings.
    pub args: (u64, u64),
    pub env: (u64, u64),
    /// The auxiliary vector as it was put on the stack.
    pub auxv: Vec<u8>,
    pub start_stack: u64,
    /// Code and data ranges and the break's start (stat fields 26, 27, 45, 46, 47).
    pub code: (u64, u64),
    pub data: (u64, u64),
    pub start_brk: u64,
    /// Signal sets of the process: pending, ignored, caught.
    pub shared_pending: u64,
    pub ignored: u64,
    pub caught: u64,
    /// Soft and hard, by resource number, u64::MAX for none.
    pub limits: [(u64, u64); 16],
    pub oom_score_adj: i32,
    /// Inheritable, permitted, effective, bounding, ambient.
    pub caps: [u64; 5],
    pub no_new_privs: bool,
    pub seccomp: u32,
    pub seccomp_filters: u32,
    /// PR_GET_DUMPABLE is 1: its owner may look into it.
    pub dumpable: bool,
    /// /proc/PID/coredump_filter.
    pub core_filter: u32,
    pub queued_signals: u64,
}

/// A thread at one moment.
#[derive(Clone, Default)]
pub struct ThreadSnapshot {
    pub tid: i32,
    pub pid: i32,
    pub comm: Vec<u8>,
    pub state: char,
    pub pending: u64,
    pub blocked: u64,
    pub utime: u64,
    pub stime: u64,
    pub start_ticks: u64,
    pub minor_faults: u64,
    pub major_faults: u64,
    /// It ran there last.
    pub processor: u32,
    pub voluntary_switches: u64,
    pub involuntary_switches: u64,
    /// Bit per cpu the thread may use.
    pub cpus_allowed: Vec<u64>,
}

/// The machine the guest believes in.
#[derive(Clone, Default)]
pub struct SystemSnapshot {
    pub cpus: u32,
    /// As /proc/cpuinfo prints it, "rv64imafdc_...".
    pub isa: String,
    pub hostname: Vec<u8>,
    pub domainname: Vec<u8>,
    /// uname's release and version.
    pub osrelease: String,
    pub version: String,
    pub uptime_ns: u64,
    pub idle_ns: u64,
    /// Seconds since the epoch.
    pub boot_time: i64,
    pub total_memory: u64,
    pub free_memory: u64,
    pub running: u32,
    pub total_threads: u32,
    pub last_pid: i32,
    pub pid_max: i32,
    pub processes_created: u64,
    pub context_switches: u64,
    /// Ticks of all cpus: user, nice, system, idle.
    pub cpu_ticks: [u64; 4],
    pub boot_id: [u8; 16],
    pub mmap_min_addr: u64,
    pub max_map_count: u64,
}
