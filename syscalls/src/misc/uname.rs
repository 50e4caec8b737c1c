//! uname(2), sethostname(2), setdomainname(2).

use rivix_abi::process::Utsname;
use rivix_abi::{Errno, UserAddress, UserRef};
use rivix_task::{CurrentTask, SysResult, cap};

/// __NEW_UTS_LEN.
const MAX_NAME: i32 = 64;

pub fn uname(task: &mut CurrentTask, to: UserRef<Utsname>) -> SysResult<()> {
    let kernel = task.kernel();
    let name = Utsname {
        sysname: b"Linux"[..].into(),
        nodename: kernel.hostname()[..].into(),
        release: rivix_task::RELEASE.as_bytes().into(),
        version: rivix_task::VERSION.as_bytes().into(),
        machine: b"riscv64"[..].into(),
        domainname: kernel.domainname()[..].into(),
    };
    Ok(task.write(to, &name)?)
}

pub fn sethostname(task: &mut CurrentTask, name: UserAddress, len: i32) -> SysResult<()> {
    let name = read_name(task, name, len)?;
    task.kernel().set_hostname(&name);
    Ok(())
}

pub fn setdomainname(task: &mut CurrentTask, name: UserAddress, len: i32) -> SysResult<()> {
    let name = read_name(task, name, len)?;
    task.kernel().set_domainname(&name);
    Ok(())
}

fn read_name(task: &CurrentTask, name: UserAddress, len: i32) -> Result<Vec<u8>, Errno> {
    if !task.creds().has_cap(cap::SYS_ADMIN) {
        return Err(Errno::EPERM);
    }
    if !(0..=MAX_NAME).contains(&len) {
        return Err(Errno::EINVAL);
    }
    let mut bytes = vec![0; len as usize];
    task.read_bytes(name, &mut bytes)?;
    Ok(bytes)
}
