//! Processes: fork, exec, spawn, exit, waiting, kill, and the clock.

use super::NOT_YET;
use crate::process::execve::{NotLoaded, Strings, load_image};
use rivix_abi::fcntl::AT_FDCWD;
use rivix_abi::process::{WEXITED, WNOHANG};
use rivix_abi::time::{CLOCK_MONOTONIC, Timeval};
use rivix_abi::{Errno, Signal, UserAddress, UserRef};
use rivix_isa::reg;
use rivix_task::teaching::COUNTED_CALLS;
use rivix_task::{CurrentTask, NewProgram, Outcome, SendTo, SysResult, WaitFor};

const NS_PER_MS: i128 = 1_000_000;
/// Signals that the rCore tutorial's kernel knows, as it has them in a set: INT,
/// ILL, ABRT, FPE, KILL, SEGV.
const RCORE_SIGNALS: u64 = 1 << 2 | 1 << 4 | 1 << 6 | 1 << 8 | 1 << 9 | 1 << 11;
/// uCore's name for a task that runs.
const RUNNING: u32 = 2;

pub(super) fn fork(task: &mut CurrentTask) -> SysResult<i32> {
    let null = UserAddress::NULL;
    let signal = Signal::SIGCHLD.number();
    crate::process::clone(task, signal.into(), 0, null, 0, null)
}

pub(super) fn exit(task: &mut CurrentTask, code: i32) -> SysResult<Outcome> {
    task.exit_with(code)?;
    Ok(Outcome::Registers)
}

/// The new program's argc is the answer, as it is in a0 at its entry. The
/// environment is empty.
pub(super) fn exec(
    task: &mut CurrentTask,
    path: UserAddress,
    argv: UserRef<u64>,
) -> SysResult<Outcome> {
    let path = task.read_path(path)?;
    let (new, argc) = load(task, path, Strings::Guest(argv))?;
    task.become_program(new)?;
    if argc == 0 {
        // The loader has made one word, as Linux does; the vector's end is behind it.
        task.regs.x[reg::A0] = 0;
        task.regs.x[reg::A1] = task.regs.x[reg::A1].wrapping_add(size_of::<u64>() as u64);
    }
    Ok(Outcome::Registers)
}

/// The program is told its path for its name, and nothing else.
pub(super) fn spawn(task: &mut CurrentTask, path: UserAddress) -> SysResult<i32> {
    let path = task.read_path(path)?;
    let (new, _) = load(task, path.clone(), Strings::Own(vec![path]))?;
    task.spawn_program(new)
}

fn load(task: &CurrentTask, path: Vec<u8>, argv: Strings) -> SysResult<(NewProgram, usize)> {
    load_image(task, AT_FDCWD, path, argv, Strings::Own(Vec::new()), 0).map_err(|error| match error
    {
        NotLoaded::Refused(error) => error,
        NotLoaded::NoPlace => Errno::ENOMEM.into(),
    })
}

pub(super) fn getpid(task: &mut CurrentTask) -> SysResult<i32> {
    Ok(task.pid())
}

pub(super) fn getppid(task: &mut CurrentTask) -> SysResult<i32> {
    crate::process::getppid(task)
}

/// -1 for any child, else that child; -2 as long as none of them has ended.
pub(super) fn waitpid_rcore(
    task: &mut CurrentTask,
    pid: i64,
    code: UserRef<i32>,
) -> SysResult<i64> {
    let which = match pid {
        -1 => WaitFor::Any,
        pid => WaitFor::Pid(child(pid)?),
    };
    waitpid(task, which, code, WNOHANG)
}

/// 0 or less for any child, else that child; it waits for the end.
pub(super) fn waitpid_ucore(
    task: &mut CurrentTask,
    pid: i32,
    code: UserRef<i32>,
) -> SysResult<i64> {
    let which = match pid {
        ..=0 => WaitFor::Any,
        pid => WaitFor::Pid(pid),
    };
    waitpid(task, which, code, 0)
}

fn child(pid: i64) -> Result<i32, Errno> {
    let pid = i32::try_from(pid).map_err(|_| Errno::ECHILD)?;
    if pid > 0 { Ok(pid) } else { Err(Errno::ECHILD) }
}

fn waitpid(task: &CurrentTask, which: WaitFor, code: UserRef<i32>, options: u32) -> SysResult<i64> {
    let Some(waited) = task.wait_child(which, options | WEXITED)? else {
        return Ok(NOT_YET);
    };
    if let Some(at) = code.non_null() {
        task.write(at, &waited.exit_code)?;
    }
    Ok(waited.pid.into())
}

/// The signals are a set; the lowest of them ends the process. An empty set asks
/// whether there is such a process.
pub(super) fn kill_rcore(task: &mut CurrentTask, pid: i64, signals: u64) -> SysResult<()> {
    if signals & !RCORE_SIGNALS != 0 {
        return Err(Errno::EINVAL.into());
    }
    let lowest = match signals {
        0 => None,
        set => Signal::new(set.trailing_zeros().into()),
    };
    kill(task, pid, lowest)
}

/// One signal by its number.
pub(super) fn kill_ucore(task: &mut CurrentTask, pid: i64, signal: i64) -> SysResult<()> {
    let signal = match signal {
        0 => None,
        number => Some(Signal::new(number).ok_or(Errno::EINVAL)?),
    };
    kill(task, pid, signal)
}

fn kill(task: &CurrentTask, pid: i64, signal: Option<Signal>) -> SysResult<()> {
    // A group or everyone is not to be named here.
    let pid = i32::try_from(pid).ok().filter(|pid| *pid > 0);
    // Nor a thread: those have no such numbers here, though a task has one.
    let pid = pid.filter(|pid| task.kernel().find_process(*pid).is_some());
    let to = SendTo::Process(pid.ok_or(Errno::ESRCH)?);
    Ok(task.kernel().kill(Some(task), to, signal, None)?)
}

fn now_ns(task: &CurrentTask) -> Result<i128, Errno> {
    task.kernel().clock().now_ns(CLOCK_MONOTONIC)
}

/// Milliseconds since some moment.
pub(super) fn get_time(task: &mut CurrentTask) -> SysResult<i64> {
    let ms = now_ns(task)? / NS_PER_MS;
    Ok(i64::try_from(ms).unwrap_or(i64::MAX))
}

/// Stores seconds and microseconds since some moment; there are no time zones.
pub(super) fn gettimeofday(task: &mut CurrentTask, at: UserRef<Timeval>) -> SysResult<()> {
    let now = Timeval::from_ns(now_ns(task)?);
    Ok(task.write(at, &now)?)
}

/// Stores what is known of the calling process: that it runs, how often it made
/// each call, and for how many milliseconds it has existed.
pub(super) fn task_info(task: &mut CurrentTask, at: UserAddress) -> SysResult<()> {
    let mut info = Vec::with_capacity((COUNTED_CALLS + 2) * size_of::<u32>());
    info.extend(RUNNING.to_le_bytes());
    if let Some(teaching) = task.group().teaching() {
        info.extend(teaching.calls().flat_map(u32::to_le_bytes));
    }
    let age = i128::from(task.process_age_ns()) / NS_PER_MS;
    let age = i32::try_from(age).unwrap_or(i32::MAX);
    info.extend(age.to_le_bytes());
    Ok(task.write_bytes(at, &info)?)
}
