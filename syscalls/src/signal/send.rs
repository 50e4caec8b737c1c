//! kill(2), tkill(2), tgkill(2), rt_sigqueueinfo(2), rt_tgsigqueueinfo(2).

use rivix_abi::signal::{SigInfo, si_code};
use rivix_abi::{Errno, Signal, UserRef};
use rivix_task::{CurrentTask, SendTo, SysResult};

/// None is signal 0, which only probes.
fn signal_or_probe(number: i32) -> Result<Option<Signal>, Errno> {
    match number {
        0 => Ok(None),
        n => Signal::new(n.into()).map(Some).ok_or(Errno::EINVAL),
    }
}

pub fn kill(task: &mut CurrentTask, pid: i32, signal: i32) -> SysResult<()> {
    let signal = signal_or_probe(signal)?;
    let kernel = task.kernel();
    let to = match pid {
        // Its negation does not fit.
        i32::MIN => return Err(Errno::ESRCH.into()),
        -1 => SendTo::All,
        0 => SendTo::Group(kernel.group_and_session(task.pid())?.0),
        group if group < -1 => SendTo::Group(pid.saturating_neg()),
        // Init is the kernel itself here: it is there, and not to be signalled.
        1 => {
            return if signal.is_none() {
                Ok(())
            } else {
                Err(Errno::EPERM.into())
            };
        }
        _ => SendTo::Process(pid),
    };
    Ok(kernel.kill(Some(task), to, signal, None)?)
}

pub fn tkill(task: &mut CurrentTask, tid: i32, signal: i32) -> SysResult<()> {
    if tid <= 0 {
        return Err(Errno::EINVAL.into());
    }
    let signal = signal_or_probe(signal)?;
    Ok(task.kernel().kill_thread(task, None, tid, signal, None)?)
}

pub fn tgkill(task: &mut CurrentTask, pid: i32, tid: i32, signal: i32) -> SysResult<()> {
    if tid <= 0 || pid <= 0 {
        return Err(Errno::EINVAL.into());
    }
    let signal = signal_or_probe(signal)?;
    Ok(task
        .kernel()
        .kill_thread(task, Some(pid), tid, signal, None)?)
}

/// A caller's siginfo: others may not be made to believe that the kernel or
/// kill(2) sent it.
fn checked_info(
    task: &CurrentTask,
    info: UserRef<SigInfo>,
    signal: i32,
    is_self: bool,
) -> Result<SigInfo, Errno> {
    let mut info = task.read(info)?;
    info.signo = signal;
    if (info.code >= 0 || info.code == si_code::TKILL) && !is_self {
        return Err(Errno::EPERM);
    }
    Ok(info)
}

pub fn rt_sigqueueinfo(
    task: &mut CurrentTask,
    pid: i32,
    signal: i32,
    info: UserRef<SigInfo>,
) -> SysResult<()> {
    let info = checked_info(task, info, signal, pid == task.pid())?;
    let signal = signal_or_probe(signal)?;
    if pid <= 0 {
        return Err(Errno::ESRCH.into());
    }
    Ok(task
        .kernel()
        .kill(Some(task), SendTo::Process(pid), signal, Some(info))?)
}

pub fn rt_tgsigqueueinfo(
    task: &mut CurrentTask,
    pid: i32,
    tid: i32,
    signal: i32,
    info: UserRef<SigInfo>,
) -> SysResult<()> {
    if tid <= 0 || pid <= 0 {
        return Err(Errno::EINVAL.into());
    }
    let info = checked_info(task, info, signal, tid == task.tid())?;
    let signal = signal_or_probe(signal)?;
    Ok(task
        .kernel()
        .kill_thread(task, Some(pid), tid, signal, Some(info))?)
}
