//! capget(2), capset(2).

use rivix_abi::process::{CAP_VERSION_1, CAP_VERSION_2, CAP_VERSION_3, CapData, CapHeader};
use rivix_abi::{Errno, UserRef};
use rivix_task::{Creds, CurrentTask, SysResult, cap};

/// How many data structures the header's version has. An unknown version gets
/// the preferred one written back, and EINVAL.
fn words(task: &CurrentTask, at: UserRef<CapHeader>) -> Result<(CapHeader, usize), Errno> {
    let header = task.read(at)?;
    match header.version {
        CAP_VERSION_1 => Ok((header, 1)),
        CAP_VERSION_2 | CAP_VERSION_3 => Ok((header, 2)),
        _ => {
            task.write(UserRef::new(at.addr), &CAP_VERSION_3)?;
            Err(Errno::EINVAL)
        }
    }
}

pub fn capget(
    task: &mut CurrentTask,
    header: UserRef<CapHeader>,
    data: UserRef<CapData>,
) -> SysResult<()> {
    let (header, count) = match words(task, header) {
        // Asking for the preferred version is not an error.
        Err(Errno::EINVAL) if data.is_null() => return Ok(()),
        other => other?,
    };
    if header.pid < 0 {
        return Err(Errno::EINVAL.into());
    }
    let creds = if header.pid == 0 || header.pid == task.tid() {
        task.creds().clone()
    } else {
        task.kernel()
            .find_task(header.pid)
            .ok_or(Errno::ESRCH)?
            .creds()
    };
    for word in 0..count {
        let half = |set: u64| (set >> (32 * word)) as u32;
        let entry = CapData {
            effective: half(creds.effective),
            permitted: half(creds.permitted),
            inheritable: half(creds.inheritable),
        };
        task.write(data.at(word as u64)?, &entry)?;
    }
    Ok(())
}

pub fn capset(
    task: &mut CurrentTask,
    header: UserRef<CapHeader>,
    data: UserRef<CapData>,
) -> SysResult<()> {
    let (header, count) = words(task, header)?;
    if header.pid != 0 && header.pid != task.tid() {
        return Err(Errno::EPERM.into());
    }
    let (mut effective, mut permitted, mut inheritable) = (0u64, 0u64, 0u64);
    for word in 0..count {
        let entry = task.read(data.at(word as u64)?)?;
        effective |= u64::from(entry.effective) << (32 * word);
        permitted |= u64::from(entry.permitted) << (32 * word);
        inheritable |= u64::from(entry.inheritable) << (32 * word);
    }
    let old = task.creds().clone();
    let (effective, permitted, inheritable) = (
        effective & cap::ALL,
        permitted & cap::ALL,
        inheritable & cap::ALL,
    );
    // capabilities(7), "Programmatically adjusting capability sets".
    let may_inherit = if old.has_cap(cap::SETPCAP) {
        old.inheritable | old.bounding
    } else {
        old.inheritable | old.permitted
    };
    let is_allowed = permitted & !old.permitted == 0
        && effective & !permitted == 0
        && inheritable & !may_inherit == 0;
    if !is_allowed {
        return Err(Errno::EPERM.into());
    }
    task.set_creds(Creds {
        effective,
        permitted,
        inheritable,
        ..(*old).clone()
    });
    Ok(())
}
