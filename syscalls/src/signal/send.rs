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

pub fn kill(task: &mut CurrentTask, pid: i32, number: i32) -> SysResult<()> {
    let kernel = task.kernel();
    let to = match pid {
        // Its negation does not fit.
        i32::MIN => return Err(Errno::ESRCH.into()),
        -1 => SendTo::All,
        0 => SendTo::Group(kernel.group_and_session(task.pid())?.0),
        group if group < -1 => SendTo::Group(pid.saturating_neg()),
        _ => SendTo::Process(pid),
    };
    send(task, to, number, None)
}

/// Signals whom `to` names. Whether there is anybody is found out before the number
/// is looked at, as on Linux.
fn send(task: &CurrentTask, to: SendTo, number: i32, info: Option<SigInfo>) -> SysResult<()> {
    let kernel = task.kernel();
    match signal_or_probe(number) {
        Ok(signal) => Ok(kernel.kill(Some(task), to, signal, info)?),
        Err(invalid) => match kernel.kill(Some(task), to, None, None) {
            Err(Errno::ESRCH) => Err(Errno::ESRCH.into()),
            _ => Err(invalid.into()),
        },
    }
}

/// As `send`, to one thread; `pid` None: of any process.
fn send_to_thread(
    task: &CurrentTask,
    pid: Option<i32>,
    tid: i32,
    number: i32,
    info: Option<SigInfo>,
) -> SysResult<()> {
    let kernel = task.kernel();
    match signal_or_probe(number) {
        Ok(signal) => Ok(kernel.kill_thread(task, pid, tid, signal, info)?),
        Err(invalid) => match kernel.kill_thread(task, pid, tid, None, None) {
            Err(Errno::ESRCH) => Err(Errno::ESRCH.into()),
            _ => Err(invalid.into()),
        },
    }
}

pub fn tkill(task: &mut CurrentTask, tid: i32, number: i32) -> SysResult<()> {
    if tid <= 0 {
        return Err(Errno::EINVAL.into());
    }
    send_to_thread(task, None, tid, number, None)
}

pub fn tgkill(task: &mut CurrentTask, pid: i32, tid: i32, number: i32) -> SysResult<()> {
    if tid <= 0 || pid <= 0 {
        return Err(Errno::EINVAL.into());
    }
    send_to_thread(task, Some(pid), tid, number, None)
}

/// What the kernel keeps of a siginfo; the rest reads as zeros.
const KEPT_BYTES: usize = 48;

/// A caller's siginfo, as far as the kernel keeps it.
///
/// # Errors
/// E2BIG: a code that we do not know comes with more than is kept.
fn read_info(task: &CurrentTask, info: UserRef<SigInfo>, number: i32) -> Result<SigInfo, Errno> {
    let mut info = task.read(info)?;
    info.signo = number;
    let kept = (KEPT_BYTES - std::mem::offset_of!(SigInfo, fields)) / size_of::<u64>();
    let rest = &mut info.fields[kept..];
    if !is_known_layout(number, info.code) && rest.iter().any(|word| *word != 0) {
        return Err(Errno::E2BIG);
    }
    rest.fill(0);
    Ok(info)
}

/// Is it known what a siginfo of this signal and code holds (siginfo.h)?
fn is_known_layout(number: i32, code: i32) -> bool {
    /// The lowest codes of senders, and SI_ASYNCNL apart from them.
    const SI_DETHREAD: i32 = -7;
    const SI_ASYNCNL: i32 = -60;
    const POLL_CODES: i32 = 6;
    let signal = Signal::new(number.into());
    let codes = match signal {
        Some(Signal::SIGILL) => 11,
        Some(Signal::SIGFPE) => 15,
        Some(Signal::SIGSEGV) => 10,
        Some(Signal::SIGBUS) => 5,
        Some(Signal::SIGTRAP) => 6,
        Some(Signal::SIGCHLD) => 6,
        Some(Signal::SIGSYS) => 2,
        _ => 0,
    };
    match code {
        si_code::KERNEL => true,
        1.. => code <= codes || code <= POLL_CODES,
        _ => code >= SI_DETHREAD || code == SI_ASYNCNL,
    }
}

/// Others may not be made to believe that the kernel or kill(2) sent a signal. To
/// itself a thread may say anything.
fn check_forgery(info: &SigInfo, is_self: bool) -> Result<(), Errno> {
    if (info.code >= 0 || info.code == si_code::TKILL) && !is_self {
        return Err(Errno::EPERM);
    }
    Ok(())
}

pub fn rt_sigqueueinfo(
    task: &mut CurrentTask,
    pid: i32,
    number: i32,
    info: UserRef<SigInfo>,
) -> SysResult<()> {
    let info = read_info(task, info, number)?;
    check_forgery(&info, pid == task.tid())?;
    match pid {
        ..=0 => Err(Errno::ESRCH.into()),
        _ => send(task, SendTo::Process(pid), number, Some(info)),
    }
}

pub fn rt_tgsigqueueinfo(
    task: &mut CurrentTask,
    pid: i32,
    tid: i32,
    number: i32,
    info: UserRef<SigInfo>,
) -> SysResult<()> {
    let info = read_info(task, info, number)?;
    if tid <= 0 || pid <= 0 {
        return Err(Errno::EINVAL.into());
    }
    check_forgery(&info, tid == task.tid())?;
    send_to_thread(task, Some(pid), tid, number, Some(info))
}
