//! A running guest process.

use crate::error::{Error, Result};
use crate::exit::{ExitReason, ExitStatus};
use crate::pipe::{ChildStderr, ChildStdin, ChildStdout, HostEnd, Waiter};
use rivix_abi::Signal;
use rivix_task::{ExitReport, ExitWatch, Kernel, SendTo, ShutdownReason};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// A process started by a [`Command`](crate::Command). Dropping it does not
/// end the process; dropping its sandbox does.
///
/// ```
/// use std::io::Read;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let sandbox = rivix::Sandbox::builder().build()?;
/// let mut child = sandbox.demo().stdout(rivix::Stdio::piped()).spawn()?;
/// let mut text = String::new();
/// if let Some(stdout) = &mut child.stdout {
///     stdout.read_to_string(&mut text)?;
/// }
/// assert!(child.wait().success());
/// # Ok(()) }
/// ```
pub struct Child {
    /// The writing end of its standard input, when that is piped.
    pub stdin: Option<ChildStdin>,
    /// The reading end of its standard output, when that is piped.
    pub stdout: Option<ChildStdout>,
    /// The reading end of its standard error, when that is piped.
    pub stderr: Option<ChildStderr>,
    pub(crate) pid: i32,
    pub(crate) watch: Arc<ExitWatch>,
    pub(crate) kernel: Weak<Kernel>,
    pub(crate) is_killed: AtomicBool,
    pub(crate) has_terminal: bool,
}

/// What a process wrote, and how it ended.
#[derive(Clone, Debug)]
pub struct Output {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Child {
    /// Its process id inside the sandbox.
    pub fn id(&self) -> i32 {
        self.pid
    }

    /// Closes its piped input, and waits for its end. Threads that wait for
    /// its output do so by reading `stdout` and `stderr`, before or after.
    pub fn wait(&mut self) -> ExitStatus {
        self.stdin = None;
        self.join()
    }

    /// As `wait`, through a shared reference: piped input stays open.
    pub fn join(&self) -> ExitStatus {
        loop {
            if let Some(report) = self.watch.wait_until(None) {
                return self.status(report);
            }
        }
    }

    /// Does it have a terminal of the host as its controlling terminal?
    pub fn has_terminal(&self) -> bool {
        self.has_terminal
    }

    /// As `wait`, for at most so long; None when it still runs.
    pub fn wait_timeout(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now().checked_add(limit);
        self.watch
            .wait_until(deadline)
            .map(|report| self.status(report))
    }

    /// How it ended; None while it runs.
    pub fn try_wait(&self) -> Option<ExitStatus> {
        self.watch.get().map(|report| self.status(report))
    }

    /// Ends it at once, wherever it is. What it started goes on.
    pub fn kill(&self) -> Result<()> {
        self.is_killed.store(true, Ordering::SeqCst);
        self.signal(i32::from(Signal::SIGKILL.number()))
    }

    /// Sends it a signal, as kill(2) does.
    pub fn signal(&self, signal: i32) -> Result<()> {
        self.send(SendTo::Process(self.pid), signal)
    }

    /// Sends a signal to every process of its process group.
    pub fn signal_group(&self, signal: i32) -> Result<()> {
        self.send(SendTo::Group(self.pid), signal)
    }

    fn send(&self, to: SendTo, signal: i32) -> Result<()> {
        let signal = signal_of(signal)?;
        let gone = Error::NoSuchProcess { pid: self.pid };
        if self.watch.get().is_some() {
            return Err(gone);
        }
        let Some(kernel) = self.kernel.upgrade() else {
            return Err(gone);
        };
        kernel.kill(None, to, Some(signal), None).map_err(|_| gone)
    }

    /// Collects what it writes to its pipes until they are closed, and waits.
    pub fn wait_with_output(mut self) -> Output {
        self.stdin = None;
        let stdout = self.stdout.take().map(|s| s.0);
        let stderr = self.stderr.take().map(|s| s.0);
        let mut ends = [(stdout, Vec::new()), (stderr, Vec::new())];
        drain(&mut ends);
        let [(_, stdout), (_, stderr)] = ends;
        Output {
            status: self.wait(),
            stdout,
            stderr,
        }
    }

    fn status(&self, report: ExitReport) -> ExitStatus {
        let raw = report.status.wait_status();
        let mut status = ExitStatus::new(raw, ExitReason::Guest);
        if status.signal() == Some(i32::from(Signal::SIGKILL.number())) {
            status = ExitStatus::new(raw, self.reason());
        }
        status
    }

    /// Who sent the SIGKILL.
    fn reason(&self) -> ExitReason {
        if self.is_killed.load(Ordering::SeqCst) {
            return ExitReason::Killed;
        }
        let Some(kernel) = self.kernel.upgrade() else {
            return ExitReason::SandboxDropped;
        };
        match kernel.shutdown_reason() {
            Some(ShutdownReason::Deadline) => ExitReason::Deadline,
            Some(ShutdownReason::InstructionBudget) => ExitReason::InstructionBudget,
            Some(ShutdownReason::Requested) => ExitReason::SandboxDropped,
            None if kernel.report().panics > 0 => {
                ExitReason::Internal("a guest thread failed inside Rivix; see the log".into())
            }
            None => ExitReason::Guest,
        }
    }
}

/// Reads both ends until each is closed, on this one thread.
fn drain(ends: &mut [(Option<HostEnd>, Vec<u8>); 2]) {
    const CHUNK: usize = 64 * 1024;
    let waiter = Arc::new(Waiter::default());
    let _entries: Vec<_> = ends
        .iter()
        .filter_map(|(end, _)| end.as_ref()?.watch(&waiter))
        .collect();
    loop {
        let mut has_progress = false;
        for (end, bytes) in ends.iter_mut() {
            match end.as_ref().map(|end| end.try_read(CHUNK)) {
                None | Some(Ok(None)) => {}
                Some(Ok(Some(chunk))) if !chunk.is_empty() => {
                    bytes.extend_from_slice(&chunk);
                    has_progress = true;
                }
                // The end of the stream, or a stream that cannot be read on.
                Some(_) => *end = None,
            }
        }
        if ends.iter().all(|(end, _)| end.is_none()) {
            return;
        }
        if !has_progress {
            waiter.park();
        }
    }
}

pub(crate) fn signal_of(number: i32) -> Result<Signal> {
    Signal::new(i64::from(number)).ok_or(Error::BadSignal { number })
}
