//! What terminals need of the task that uses them: job control before an
//! operation, and reads that count bytes and time (termios(3), ioctl_tty(2)).

use rivix_abi::ioctl::*;
use rivix_abi::poll::POLLIN;
use rivix_abi::{Errno, Signal, UserAddress, UserRef};
use rivix_fs::host::HostStream;
use rivix_fs::tty::{Slave, Terminal};
use rivix_fs::{File, Sink, UserBuffers};
use rivix_task::{Blocked, CurrentTask, Restart, SysResult, TerminalFile};
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A file's terminal, as job control sees it; None: it is another kind of file.
pub(crate) fn of(file: &File) -> Option<TerminalFile> {
    let terminal = |device, is_master, is_console| TerminalFile {
        device,
        is_master,
        is_console,
        is_readable: file.can_read(),
    };
    if let Some(stream) = file.downcast::<HostStream>() {
        return stream.device().map(|device| terminal(device, false, true));
    }
    let ours = Terminal::of(file)?;
    let is_master = matches!(ours, Terminal::Master(_));
    Some(terminal(ours.device(), is_master, false))
}

/// Is it a slave whose master has closed? Then it has no job control.
fn is_hung_up(file: &File) -> bool {
    file.downcast::<Slave>().is_some_and(Slave::is_hung_up)
}

/// Before a read: a background job that reads its terminal is stopped.
pub(crate) fn before_read(task: &CurrentTask, file: &File) -> SysResult<()> {
    match of(file) {
        Some(terminal) if !terminal.is_master && !is_hung_up(file) => {
            task.check_background(terminal.device, Signal::SIGTTIN)
        }
        _ => Ok(()),
    }
}

/// Before a write: so is one that writes, if the terminal says so.
pub(crate) fn before_write(task: &CurrentTask, file: &File) -> SysResult<()> {
    let stops = match (file.downcast::<Slave>(), file.downcast::<HostStream>()) {
        (Some(slave), _) => slave.stops_background_writers(),
        (_, Some(stream)) => stream.stops_background_writers(),
        _ => return Ok(()),
    };
    match of(file) {
        Some(terminal) if stops => task.check_background(terminal.device, Signal::SIGTTOU),
        _ => Ok(()),
    }
}

/// A blocking read of a slave: until a line is there, or as many bytes as VMIN
/// says, or VTIME has passed.
pub(crate) fn read(
    task: &CurrentTask,
    file: &Arc<File>,
    slave: &Slave,
    sink: &mut UserBuffers<'_>,
) -> SysResult<usize> {
    let tenths = |count: u8| Duration::from_millis(u64::from(count) * 100);
    let plan = slave.read_plan();
    let mut wait = plan.first.map(tenths);
    let mut got = 0;
    let was_hung_up = slave.is_hung_up();
    loop {
        let deadline = wait.map(|wait| Instant::now() + wait);
        let queues: Vec<_> = file
            .wait_queue()
            .map(|queue| (queue, POLLIN))
            .into_iter()
            .collect();
        let attempt = || {
            // Who waits when the master closes hears EIO; who comes later, the end.
            if slave.is_hung_up() && !was_hung_up {
                return Err(Errno::EIO);
            }
            file.read(sink, None)
        };
        match task.block_until(deadline, &queues, attempt) {
            Ok(0) => return Ok(got),
            Ok(count) => got += count,
            Err(Blocked::TimedOut) => return Ok(got),
            Err(_) if got > 0 => return Ok(got),
            Err(Blocked::Interrupted) => return Err(Restart::Sys.into()),
            Err(Blocked::Errno(errno)) => return Err(errno.into()),
        }
        if got >= plan.min || sink.remaining() == 0 {
            return Ok(got);
        }
        wait = plan.between.map(tenths);
    }
}

/// Answers a request that is about sessions and groups, and stops background jobs
/// before one that changes the terminal. None: the file answers.
pub(crate) fn request(
    task: &CurrentTask,
    file: &Arc<File>,
    request: u32,
    arg: UserAddress,
) -> SysResult<Option<u64>> {
    let Some(terminal) = of(file) else {
        return Ok(None);
    };
    if is_hung_up(file) {
        let errno = if request == TIOCSPGRP {
            Errno::ENOTTY
        } else {
            Errno::EIO
        };
        return Err(errno.into());
    }
    let device = terminal.device;
    match request {
        TIOCGPGRP => task.write(UserRef::new(arg), &task.foreground_group(terminal)?)?,
        TIOCGSID => task.write(UserRef::new(arg), &task.terminal_session(terminal)?)?,
        TIOCSPGRP => {
            task.set_foreground_group(terminal, || task.read(UserRef::new(arg)))?;
        }
        TIOCSCTTY => task.acquire_terminal(terminal, arg.0 as i32 == 1)?,
        TIOCNOTTY => task.release_terminal(terminal)?,
        TIOCGPTPEER => return peer(task, file, arg.0 as u32).map(Some),
        TIOCVHANGUP | TIOCCONS => return Err(Errno::EPERM.into()),
        TIOCSTI => {
            check_typing(task, terminal)?;
            return Ok(None);
        }
        // These are about the slave, whichever end asks.
        TCSETS | TCSETSW | TCSETSF | TCSETS2 | TCSETSW2 | TCSETSF2 | TCSETA | TCSETAW | TCSETAF => {
            task.check_background(device, Signal::SIGTTOU)?;
            return Ok(None);
        }
        TCSBRK | TCSBRKP | TIOCSBRK | TIOCCBRK | TCXONC | TCFLSH | TIOCSETD
            if !terminal.is_master =>
        {
            task.check_background(device, Signal::SIGTTOU)?;
            return Ok(None);
        }
        _ => return Ok(None),
    }
    Ok(Some(0))
}

/// A terminal was opened with these flags of open(2).
pub(crate) fn opened(task: &CurrentTask, file: &File, flags: u32) {
    if flags & (rivix_abi::fcntl::O_NOCTTY | rivix_abi::fcntl::O_PATH) == 0
        && let Some(terminal) = of(file)
    {
        task.terminal_opened(terminal);
    }
}

/// TIOCGPTPEER: the slave's new descriptor.
fn peer(task: &CurrentTask, file: &File, flags: u32) -> SysResult<u64> {
    let Some(Terminal::Master(master)) = Terminal::of(file) else {
        return Err(Errno::EIO.into());
    };
    let is_cloexec = flags & rivix_abi::fcntl::O_CLOEXEC != 0;
    let number = task
        .files()
        .reserve_number(is_cloexec, super::limit_nofile(task))?;
    let namespace = task.fs().namespace().clone();
    let slave = namespace.open_peer(master.pair(), flags, &task.caller())?;
    opened(task, &slave, flags);
    Ok(number.publish_file(slave) as u64)
}

/// TIOCSTI, as the host's kernel allows it. EIO: it does not; EPERM: it is not the
/// caller's own terminal.
fn check_typing(task: &CurrentTask, terminal: TerminalFile) -> Result<(), Errno> {
    if task.creds().has_cap(rivix_task::cap::SYS_ADMIN) {
        return Ok(());
    }
    if !host_allows_typing() {
        return Err(Errno::EIO);
    }
    let is_own = !terminal.is_master && task.has_terminal(terminal.device);
    if is_own { Ok(()) } else { Err(Errno::EPERM) }
}

/// dev.tty.legacy_tiocsti; kernels without the switch allow it.
fn host_allows_typing() -> bool {
    static ALLOWS: OnceLock<bool> = OnceLock::new();
    *ALLOWS.get_or_init(|| {
        std::fs::read("/proc/sys/dev/tty/legacy_tiocsti").map_or(true, |text| text != b"0\n")
    })
}
