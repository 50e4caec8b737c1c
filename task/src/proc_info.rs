//! What /proc shows of the kernel's processes.

use crate::current::current_ids;
use crate::group::ThreadGroup;
use crate::kernel::Kernel;
use crate::pids::{INIT, KTHREADD};
use crate::signal::state::GroupSignals;
use crate::task::Task;
use crate::traits::CoreFilter;
use rivix_abi::Errno;
use rivix_abi::time::{CLOCK_BOOTTIME, CLOCK_REALTIME, NSEC_PER_SEC, USER_HZ};
use rivix_fs::{Caller, ProcInfo, ProcSnapshot, SystemSnapshot, ThreadSnapshot};
use std::sync::Arc;
use std::sync::atomic::Ordering;

const TICK_NS: u64 = NSEC_PER_SEC as u64 / USER_HZ;

/// Task flags of /proc/PID/stat (include/linux/sched.h).
const PF_WQ_WORKER: u32 = 0x20;
const PF_FORKNOEXEC: u32 = 0x40;
const PF_NOFREEZE: u32 = 0x8000;
const PF_KTHREAD: u32 = 0x20_0000;
const PF_RANDOMIZE: u32 = 0x40_0000;
const PF_NO_SETAFFINITY: u32 = 0x400_0000;
const KTHREAD_FLAGS: u32 = PF_KTHREAD | PF_NOFREEZE | PF_FORKNOEXEC;

/// uname's release; programs parse it as a.b.c.
pub const RELEASE: &str = "6.12.0-rivix";
pub const VERSION: &str = "#1 SMP";

impl Kernel {
    /// A process by the id of any of its threads.
    fn process_of(&self, pid: i32) -> Option<Arc<ThreadGroup>> {
        let pids = self.pids.lock();
        let pid = pids.task(pid).map_or(pid, |t| t.pid());
        pids.processes.get(&pid).map(|p| p.group.clone())
    }

    fn uptime_ns(&self) -> u64 {
        self.clock()
            .now_ns(CLOCK_BOOTTIME)
            .map_or(0, |ns| ns.max(0) as u64)
    }
}

impl ProcInfo for Kernel {
    fn pids(&self) -> Vec<i32> {
        self.pids.lock().processes.keys().copied().collect()
    }

    fn process(&self, id: i32) -> Option<ProcSnapshot> {
        let group = self.process_of(id)?;
        let pid = group.pid();
        let mut shot = ProcSnapshot {
            pid,
            tpgid: -1,
            is_kernel: group.is_kernel(),
            ..ProcSnapshot::default()
        };
        let leader = {
            let pids = self.pids.lock();
            let process = pids.processes.get(&pid)?;
            shot.ppid = process.parent;
            shot.pgid = process.pgid();
            shot.sid = process.sid();
            shot.exit_signal = process.exit_signal.into();
            shot.exit_code = process.zombie.map_or(0, |status| status.wait_status());
            if let Some(device) = process.terminal {
                shot.tty_nr = device as i32;
                shot.tpgid = pids.foreground_of(device);
            }
            pids.task(pid).cloned()
        };
        // Nothing hangs on a leader that has ended, while other threads go on.
        let shown = {
            let signals = group.signals.lock();
            shot.shared_pending = signals.shared.set();
            shot.threads = with_leader(&signals, pid).len();
            // The leader's own: a process whose leader has ended looks dead.
            shot.state = match (shot.is_kernel, &leader) {
                (true, Some(task)) => task.kernel_state(),
                _ => thread_state(&signals, pid),
            };
            signals.threads.get(&id).map(|thread| thread.task.clone())
        };
        (shot.ignored, shot.caught) = group.actions().masks();
        for (to, limit) in shot.limits.iter_mut().zip(group.limits()) {
            *to = (limit.cur, limit.max);
        }
        let cpu = group.cpu_times();
        shot.utime = cpu.user_ns / TICK_NS;
        shot.stime = cpu.system_ns / TICK_NS;
        shot.flags = match (shot.is_kernel, pid) {
            (false, _) | (true, INIT) => PF_RANDOMIZE,
            (true, KTHREADD) => KTHREAD_FLAGS,
            (true, _) => KTHREAD_FLAGS | PF_WQ_WORKER | PF_NO_SETAFFINITY,
        };
        let (own, reaped) = (group.counts(), group.child_counts());
        (shot.minor_faults, shot.major_faults) = (own.minor_faults, own.major_faults);
        shot.child_minor_faults = reaped.minor_faults;
        shot.child_major_faults = reaped.major_faults;
        let (children, _) = group.child_usage();
        shot.cutime = children.user_ns / TICK_NS;
        shot.cstime = children.system_ns / TICK_NS;
        shot.start_ticks = group.start_ns / TICK_NS;
        if let Some(task) = leader.as_ref().or(shown.as_ref()) {
            shot.comm = task.name();
            let creds = task.creds();
            shot.queued_signals = self.rooms.used(creds.uid);
            shot.uids = [creds.uid, creds.euid, creds.suid, creds.fsuid];
            shot.gids = [creds.gid, creds.egid, creds.sgid, creds.fsgid];
            shot.groups = creds.groups.to_vec();
            let caps = [creds.inheritable, creds.permitted, creds.effective];
            shot.caps = [caps[0], caps[1], caps[2], creds.bounding, 0];
            shot.no_new_privs = task.has_no_new_privs();
            shot.seccomp = task.seccomp_mode() as u32;
            shot.seccomp_filters = task.seccomp_filters();
            shot.nice = task.sched().nice;
        }
        if let Some(task) = shown {
            shot.files = task.fd_table();
            shot.fs = task.fs_context();
            // The kernel's own umask is that of its first process.
            let default = if shot.is_kernel { 0o22 } else { 0 };
            shot.umask = shot.fs.as_ref().map_or(default, |fs| fs.umask());
            if let Some(memory) = task.memory() {
                shot.dumpable = memory.traits.dumpable() == 1;
                shot.core_filter = memory.traits.core_filter().bits();
                let program = &memory.program;
                shot.exe = program.exe.clone();
                shot.args = (program.arg_range.start, program.arg_range.end);
                shot.env = (program.env_range.start, program.env_range.end);
                shot.auxv = program.auxv.clone();
                shot.start_stack = program.start_stack;
                shot.code = (program.code.start, program.code.end);
                shot.data = (program.data.start, program.data.end);
                shot.start_brk = program.start_brk;
                shot.mm = Some(memory.space.clone());
            }
        }
        Some(shot)
    }

    fn threads(&self, pid: i32) -> Vec<i32> {
        self.process_of(pid).map_or(Vec::new(), |group| {
            with_leader(&group.signals.lock(), group.pid())
        })
    }

    fn thread(&self, tid: i32) -> Option<ThreadSnapshot> {
        let task: Arc<Task> = self.find_task(tid)?;
        let (pending, blocked, state) = {
            let signals = task.group().signals.lock();
            let thread = signals.threads.get(&tid);
            let (pending, blocked) = thread.map_or((0, 0), |t| (t.pending.set(), t.mask));
            (pending, blocked, thread_state(&signals, tid))
        };
        let cpus = host_cpus();
        let cpus_allowed = match task.sched().affinity {
            Some(mask) => mask.to_vec(),
            None => vec![u64::MAX >> (64 - cpus.min(64))],
        };
        let cpu = task.cpu_times();
        let counts = task.counts();
        let processor = match task.last_virtual_cpu.load(Ordering::Relaxed) {
            u32::MAX => task.last_host_cpu().unwrap_or(0),
            cpu => cpu,
        };
        Some(ThreadSnapshot {
            tid,
            pid: task.pid(),
            comm: task.name(),
            state: if task.is_kernel() {
                task.kernel_state()
            } else {
                state
            },
            pending,
            blocked,
            utime: cpu.user_ns / TICK_NS,
            stime: cpu.system_ns / TICK_NS,
            start_ticks: task.start_ns / TICK_NS,
            minor_faults: counts.minor_faults,
            major_faults: counts.major_faults,
            processor,
            voluntary_switches: counts.voluntary_switches,
            involuntary_switches: counts.involuntary_switches,
            cpus_allowed,
        })
    }

    fn system(&self) -> SystemSnapshot {
        let cpus = host_cpus();
        let (total_threads, last_pid) = {
            let pids = self.pids.lock();
            (pids.task_count(), pids.last())
        };
        let uptime_ns = self.uptime_ns();
        let now = self.clock().now_ns(CLOCK_REALTIME).unwrap_or(0);
        let boot_time = ((now - i128::from(uptime_ns)) / i128::from(NSEC_PER_SEC)) as i64;
        let memory = nix::sys::sysinfo::sysinfo().ok();
        let stats = self.report();
        let idle_ns = uptime_ns.saturating_mul(cpus);
        SystemSnapshot {
            cpus: cpus as u32,
            isa: rivix_isa::extension::isa_string(),
            hostname: self.hostname(),
            domainname: self.domainname(),
            osrelease: RELEASE.to_owned(),
            version: VERSION.to_owned(),
            uptime_ns,
            idle_ns,
            boot_time,
            total_memory: memory.as_ref().map_or(0, |m| m.ram_total()),
            free_memory: memory.as_ref().map_or(0, |m| m.ram_unused()),
            running: 1,
            total_threads: total_threads as u32,
            last_pid,
            pid_max: crate::pids::PID_MAX,
            processes_created: stats.processes_created + stats.kernel_tasks_created,
            context_switches: 0,
            cpu_ticks: [0, 0, 0, idle_ns / TICK_NS],
            boot_id: self.boot_id,
            mmap_min_addr: 4096,
            max_map_count: 65530,
        }
    }

    fn set_comm(&self, tid: i32, comm: &[u8]) -> Result<(), Errno> {
        let task = self.find_task(tid).ok_or(Errno::ESRCH)?;
        // A process names its own threads only (proc_pid_comm(5)).
        if task.pid() != current_ids().0 {
            return Err(Errno::EINVAL);
        }
        task.set_name(comm);
        Ok(())
    }

    fn may_look(&self, caller: &Caller, pid: i32) -> bool {
        let target = self.find_task(pid);
        let is_own = |target: &Arc<Task>| target.pid() == caller.pid;
        let creds = self.find_task(caller.tid).map(|task| task.creds());
        match (target, creds) {
            (Some(target), Some(creds)) => is_own(&target) || target.lets_look(&creds),
            _ => false,
        }
    }

    fn set_core_filter(&self, pid: i32, bits: u32) -> Result<(), Errno> {
        let memory = self.find_task(pid).and_then(|task| task.memory());
        let traits = &memory.as_ref().ok_or(Errno::ESRCH)?.traits;
        traits.set_core_filter(CoreFilter::from_bits_truncate(bits));
        Ok(())
    }

    fn set_hostname(&self, name: &[u8]) {
        Kernel::set_hostname(self, name);
    }
}

/// A thread's state letter; one that has ended and is still shown is a zombie.
fn thread_state(signals: &GroupSignals, tid: i32) -> char {
    match signals.threads.get(&tid) {
        None => 'Z',
        Some(thread) if thread.is_stopped => 'T',
        Some(thread) if thread.task.is_sleeping() => 'S',
        Some(_) => 'R',
    }
}

/// The threads' ids; a dead leader's stays until its process is reaped.
fn with_leader(signals: &GroupSignals, pid: i32) -> Vec<i32> {
    let others = signals.threads.keys().copied().filter(|tid| *tid != pid);
    std::iter::once(pid).chain(others).collect()
}

fn host_cpus() -> u64 {
    std::thread::available_parallelism().map_or(1, |n| n.get() as u64)
}
