//! Programs that want a user: each runs on a pseudo-terminal of the host as the
//! leader of a session, and is typed at and listened to. Every wait has an end.

use anyhow::{Context, Result, bail, ensure};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long anything expected may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A program and its user's side of the terminal.
pub struct Dialogue {
    child: Child,
    master: File,
    /// What was said and has not been matched.
    heard: String,
}

impl Dialogue {
    /// Starts `command` on a new terminal of 24 lines and 80 columns, which is its
    /// controlling terminal.
    pub fn start(command: &mut Command) -> Result<Dialogue> {
        let (master, slave) = pair()?;
        let input = || Ok::<_, std::io::Error>(Stdio::from(slave.try_clone()?));
        command.stdin(input()?).stdout(input()?).stderr(input()?);
        // SAFETY: P1, and only async-signal-safe calls between fork and exec.
        unsafe {
            command.pre_exec(|| {
                for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTSTP] {
                    libc::signal(signal, libc::SIG_DFL);
                }
                if libc::setsid() == -1 || libc::ioctl(0, libc::TIOCSCTTY, 0) == -1 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let child = command.spawn().context("cannot start the program")?;
        Ok(Dialogue {
            child,
            master,
            heard: String::new(),
        })
    }

    /// The process on the terminal.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Types.
    pub fn send(&mut self, keys: &str) -> Result<()> {
        self.master.write_all(keys.as_bytes()).context("typing")
    }

    /// Listens until `text` is said; gives what came before it. Fails when it is not
    /// said in time, or the terminal is closed first.
    pub fn expect(&mut self, text: &str) -> Result<String> {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.heard.find(text) {
                let rest = self.heard.split_off(at + text.len());
                let mut before = std::mem::replace(&mut self.heard, rest);
                before.truncate(at);
                return Ok(before);
            }
            let left = end.saturating_duration_since(Instant::now());
            ensure!(
                !left.is_zero(),
                "{text:?} is not said; heard {:?}",
                self.heard
            );
            self.listen(left)?;
        }
    }

    fn listen(&mut self, limit: Duration) -> Result<()> {
        let mut poll = libc::pollfd {
            fd: self.master.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        let millis = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX).max(1);
        // SAFETY: P1.
        if unsafe { libc::poll(&mut poll, 1, millis) } <= 0 {
            return Ok(());
        }
        let mut bytes = [0; 4096];
        match self.master.read(&mut bytes) {
            Ok(count) if count > 0 => {
                self.heard
                    .push_str(&String::from_utf8_lossy(&bytes[..count]));
                Ok(())
            }
            _ => bail!("the terminal is closed; heard {:?}", self.heard),
        }
    }

    /// Gives the window another size.
    pub fn resize(&self, rows: u16, cols: u16) -> Result<()> {
        let size = libc::winsize {
            ws_row: rows,
            ws_col: cols,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        // SAFETY: P1.
        let done = unsafe { libc::ioctl(self.master.as_raw_fd(), libc::TIOCSWINSZ, &size) };
        ensure!(done == 0, "the window keeps its size");
        Ok(())
    }

    /// Sends a signal to the process, not to its terminal.
    pub fn signal(&self, signal: i32) -> Result<()> {
        // SAFETY: no pointers.
        let done = unsafe { libc::kill(self.child.id() as libc::pid_t, signal) };
        ensure!(done == 0, "signal {signal} cannot be sent");
        Ok(())
    }

    /// Waits until the process is in a state of proc_pid_stat(5).
    pub fn wait_for_state(&self, wanted: char) -> Result<()> {
        let path = format!("/proc/{}/stat", self.child.id());
        let end = Instant::now() + PATIENCE;
        loop {
            let text = std::fs::read_to_string(&path)?;
            let state = text.rsplit_once(") ").and_then(|(_, f)| f.chars().next());
            if state == Some(wanted) {
                return Ok(());
            }
            ensure!(Instant::now() < end, "state {state:?}, never {wanted}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Closes the window under the program.
    pub fn hang_up(self) -> Result<ExitStatus> {
        let Dialogue { child, master, .. } = self;
        drop(master);
        end_of(child)
    }

    /// Waits for the program's end.
    pub fn wait(mut self) -> Result<ExitStatus> {
        // What it still says must not hold it up.
        while self.listen(Duration::from_millis(50)).is_ok() {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
        }
        end_of(self.child)
    }
}

fn end_of(mut child: Child) -> Result<ExitStatus> {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() >= end {
            child.kill()?;
            let status = child.wait()?;
            bail!("does not end (killed, signal {:?})", status.signal());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A terminal: the user's side and the program's.
fn pair() -> Result<(File, OwnedFd)> {
    let size = libc::winsize {
        ws_row: 24,
        ws_col: 80,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let (mut master, mut slave) = (-1, -1);
    let (name, termios) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: P1; the descriptors are new and nobody else's.
    unsafe {
        let done = libc::openpty(&mut master, &mut slave, name, termios, &raw const size as _);
        ensure!(done == 0, "no pseudo-terminal");
        for fd in [master, slave] {
            libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
        }
        Ok((File::from_raw_fd(master), OwnedFd::from_raw_fd(slave)))
    }
}
