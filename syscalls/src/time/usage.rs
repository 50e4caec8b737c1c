//! getrusage(2), times(2).

use rivix_abi::resource::{RUSAGE_CHILDREN, RUSAGE_SELF, RUSAGE_THREAD, Rusage, Tms};
use rivix_abi::time::{CLOCK_MONOTONIC, NSEC_PER_SEC, Timeval, USER_HZ};
use rivix_abi::{Errno, UserRef};
use rivix_task::{Counts, CpuTimes, CurrentTask, SysResult};

const TICK_NS: i128 = NSEC_PER_SEC as i128 / USER_HZ as i128;

pub fn getrusage(task: &mut CurrentTask, who: i32, to: UserRef<Rusage>) -> SysResult<()> {
    task.account_cpu();
    let group = task.group();
    let usage = match who {
        RUSAGE_SELF => rusage(group.cpu_times(), task.maxrss_kib(), group.counts()),
        RUSAGE_THREAD => rusage(task.cpu_times(), task.maxrss_kib(), task.counts()),
        RUSAGE_CHILDREN => {
            let (cpu, maxrss_kib) = group.child_usage();
            rusage(cpu, maxrss_kib, group.child_counts())
        }
        _ => return Err(Errno::EINVAL.into()),
    };
    Ok(task.write(to, &usage)?)
}

/// As getrusage(2) and wait4(2) tell it. What Linux does not count either stays 0,
/// and so do blocks read and written.
pub(crate) fn rusage(cpu: CpuTimes, maxrss_kib: i64, counts: Counts) -> Rusage {
    let shown = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    Rusage {
        utime: Timeval::from_ns(cpu.user_ns.into()),
        stime: Timeval::from_ns(cpu.system_ns.into()),
        maxrss: maxrss_kib,
        minflt: shown(counts.minor_faults),
        majflt: shown(counts.major_faults),
        nvcsw: shown(counts.voluntary_switches),
        nivcsw: shown(counts.involuntary_switches),
        ..Rusage::default()
    }
}

pub fn times(task: &mut CurrentTask, to: UserRef<Tms>) -> SysResult<i64> {
    let ticks = |ns: u64| (i128::from(ns) / TICK_NS) as i64;
    if let Some(to) = to.non_null() {
        task.account_cpu();
        let own = task.group().cpu_times();
        let (children, _) = task.group().child_usage();
        let tms = Tms {
            utime: ticks(own.user_ns),
            stime: ticks(own.system_ns),
            cutime: ticks(children.user_ns),
            cstime: ticks(children.system_ns),
        };
        task.write(to, &tms)?;
    }
    Ok((task.kernel().clock().now_ns(CLOCK_MONOTONIC)? / TICK_NS) as i64)
}
