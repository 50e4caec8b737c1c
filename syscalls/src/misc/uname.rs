//! uname(2).

use rivix_abi::UserRef;
use rivix_abi::process::Utsname;
use rivix_task::{CurrentTask, SysResult};

/// Programs parse the release as a.b.c.
pub const RELEASE: &str = "6.12.0-rivix";
pub const VERSION: &str = "#1 SMP";

pub fn uname(task: &mut CurrentTask, to: UserRef<Utsname>) -> SysResult<()> {
    let kernel = task.kernel();
    let name = Utsname {
        sysname: b"Linux"[..].into(),
        nodename: kernel.hostname()[..].into(),
        release: RELEASE.as_bytes().into(),
        version: VERSION.as_bytes().into(),
        machine: b"riscv64"[..].into(),
        domainname: kernel.domainname()[..].into(),
    };
    Ok(task.write(to, &name)?)
}
