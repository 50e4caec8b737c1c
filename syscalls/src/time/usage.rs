//! getrusage(2), times(2).

use rivix_abi::resource::{RUSAGE_CHILDREN, RUSAGE_SELF, RUSAGE_THREAD, Rusage, Tms};
use rivix_abi::time::{CLOCK_MONOTONIC, NSEC_PER_SEC, Timeval, USER_HZ};
use rivix_abi::{Errno, UserRef};
use rivix_task::{CurrentTask, SysResult};

const TICK_NS: i128 = NSEC_PER_SEC as i128 / USER_HZ as i128;

pub fn getrusage(task: &mut CurrentTask, who: i32, to: UserRef<Rusage>) -> SysResult<()> {
    task.account_cpu();
    let group = task.group();
    let (cpu, maxrss) = match who {
        RUSAGE_SELF => (group.cpu_times(), task.maxrss_kib()),
        RUSAGE_THREAD => (task.cpu_times(), task.maxrss_kib()),
        RUSAGE_CHILDREN => group.child_usage(),
        _ => return Err(Errno::EINVAL.into()),
    };
    let usage = Rusage {
        utime: Timeval::from_ns(cpu.user_ns.into()),
        stime: Timeval::from_ns(cpu.system_ns.into()),
        maxrss,
        ..Rusage::default()
    };
    Ok(task.write(to, &usage)?)
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
