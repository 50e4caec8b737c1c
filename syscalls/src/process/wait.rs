//! wait4(2), waitid(2).

use super::pidfd;
use crate::time::rusage;
use rivix_abi::process::*;
use rivix_abi::resource::Rusage;
use rivix_abi::signal::SigInfo;
use rivix_abi::{Errno, UserRef};
use rivix_task::{CurrentTask, SysResult, WaitFor, Waited};

pub fn wait4(
    task: &mut CurrentTask,
    pid: i32,
    status: UserRef<i32>,
    options: u32,
    usage: UserRef<Rusage>,
) -> SysResult<i32> {
    let known = WNOHANG | WUNTRACED | WCONTINUED | WNOTHREAD | WALL | WCLONE;
    if options & !known != 0 {
        return Err(Errno::EINVAL.into());
    }
    let which = match pid {
        // Its negation does not fit.
        i32::MIN => return Err(Errno::ESRCH.into()),
        -1 => WaitFor::Any,
        0 => WaitFor::Group(own_group(task)?),
        group if group < -1 => WaitFor::Group(pid.saturating_neg()),
        _ => WaitFor::Pid(pid),
    };
    let Some(waited) = task.wait_child(which, options | WEXITED)? else {
        return Ok(0);
    };
    if let Some(at) = status.non_null() {
        task.write(at, &waited.status)?;
    }
    if let Some(at) = usage.non_null() {
        task.write(at, &usage_of(&waited))?;
    }
    Ok(waited.pid)
}

pub fn waitid(
    task: &mut CurrentTask,
    kind: i32,
    id: i32,
    info: UserRef<SigInfo>,
    options: u32,
    usage: UserRef<Rusage>,
) -> SysResult<()> {
    let waited = wait_for_id(task, kind, id, options);
    if let (Ok(Some(waited)), Some(at)) = (&waited, usage.non_null()) {
        task.write(at, &usage_of(waited))?;
    }
    // Linux writes the fields it knows, not the whole structure: zeros when
    // there is nothing to tell, an error included.
    if let Some(at) = info.non_null() {
        let told = match &waited {
            Ok(Some(w)) => SigInfo::child(w.code, w.pid, w.uid, w.value, 0, 0),
            Ok(None) | Err(_) => SigInfo::default(),
        };
        let bytes = bytemuck::bytes_of(&told);
        task.write_bytes(at.addr, &bytes[..12])?;
        task.write_bytes(at.addr.offset(16)?, &bytes[16..28])?;
    }
    waited.map(drop)
}

fn wait_for_id(
    task: &CurrentTask,
    kind: i32,
    id: i32,
    mut options: u32,
) -> SysResult<Option<Waited>> {
    let known = WNOHANG | WNOWAIT | WEXITED | WSTOPPED | WCONTINUED | WNOTHREAD | WALL | WCLONE;
    if options & !known != 0 || options & (WEXITED | WSTOPPED | WCONTINUED) == 0 {
        return Err(Errno::EINVAL.into());
    }
    let mut is_nonblocking_pidfd = false;
    let which = match kind {
        P_ALL => WaitFor::Any,
        P_PID if id > 0 => WaitFor::Pid(id),
        P_PGID if id > 0 => WaitFor::Group(id),
        P_PGID if id == 0 => WaitFor::Group(own_group(task)?),
        P_PIDFD if id >= 0 => {
            let (group, file) = pidfd::named_process(task, id)?;
            is_nonblocking_pidfd = file.is_nonblocking() && options & WNOHANG == 0;
            if is_nonblocking_pidfd {
                options |= WNOHANG;
            }
            group.map_or(WaitFor::Nobody, WaitFor::Process)
        }
        _ => return Err(Errno::EINVAL.into()),
    };
    let waited = task.wait_child(which, options)?;
    if waited.is_none() && is_nonblocking_pidfd {
        return Err(Errno::EAGAIN.into());
    }
    Ok(waited)
}

fn own_group(task: &CurrentTask) -> Result<i32, Errno> {
    task.kernel()
        .group_and_session(task.pid())
        .map(|(pgid, _)| pgid)
}

fn usage_of(waited: &Waited) -> Rusage {
    rusage(waited.cpu, waited.maxrss_kib, waited.counts)
}
