//! sysinfo(2). Memory is the host's; load and process count are the guest's.

use rivix_abi::process::Sysinfo;
use rivix_abi::{Errno, UserRef};
use rivix_task::{CurrentTask, SysResult};

pub fn sysinfo(task: &mut CurrentTask, to: UserRef<Sysinfo>) -> SysResult<()> {
    let host = nix::sys::sysinfo::sysinfo().map_err(|error| Errno::from_host(error as i32))?;
    let kernel = task.kernel();
    let now = kernel.clock().now_ns(rivix_abi::time::CLOCK_MONOTONIC)?;
    let uptime = now - i128::from(kernel.boot_ns());
    let report = kernel.report();
    let info = Sysinfo {
        // Never 0: programs divide by it.
        uptime: (uptime / 1_000_000_000 + 1) as i64,
        totalram: host.ram_total(),
        freeram: host.ram_unused(),
        totalswap: host.swap_total(),
        freeswap: host.swap_free(),
        procs: u16::try_from(report.tasks_now + report.kernel_tasks_now).unwrap_or(u16::MAX),
        mem_unit: 1,
        ..Sysinfo::default()
    };
    Ok(task.write(to, &info)?)
}
