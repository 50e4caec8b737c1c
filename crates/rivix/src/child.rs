//! A running guest process.

use crate::asynchronous::{Alarm, Wake};
use crate::error::{Error, Result};
use crate::exit::{ExitReason, ExitStatus};
use crate::pipe::{ChildStderr, ChildStdin, ChildStdout, HostEnd, Waiter};
use crate::sandbox::{OUTPUT_LIMIT, OUTPUT_PATIENCE};
use rivix_abi::Signal;
use rivix_fs::Namespace;
use rivix_sync::Notify;
use rivix_task::{ExitReport, ExitWatch, Kernel, SendTo, ShutdownReason};
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
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
    pub(crate) namespace: Weak<Namespace>,
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
    /// its output do so by reading `stdout` and `stderr`, before or after. What it
    /// wrote to a terminal is there by then, unless that takes nothing for a second.
    pub fn wait(&mut self) -> ExitStatus {
        self.stdin = None;
        self.join()
    }

    /// As `wait`, through a shared reference: piped input stays open.
    pub fn join(&self) -> ExitStatus {
        loop {
            if let Some(report) = self.watch.wait_until(None) {
                self.flush();
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
        let report = self.watch.wait_until(deadline)?;
        self.flush();
        Some(self.status(report))
    }

    /// How it ended; None while it runs. Does not wait for terminals.
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

    /// Waits until terminals have what was written to them up to now.
    fn flush(&self) {
        if let Some(namespace) = self.namespace.upgrade() {
            namespace.unwritten().wait(OUTPUT_PATIENCE, OUTPUT_LIMIT);
        }
    }

    /// As `flush`; the sandbox keeps the time.
    async fn flush_async(&self) {
        let Some(unwritten) = self.namespace.upgrade().map(|ns| ns.unwritten()) else {
            return;
        };
        let wake = Arc::new(Wake::default());
        let who: Arc<dyn Notify> = wake.clone();
        let _entries = unwritten.register(&who);
        let mut left = unwritten.left();
        let end = Instant::now() + OUTPUT_LIMIT;
        while left > 0 {
            let deadline = end.min(Instant::now() + OUTPUT_PATIENCE);
            let Some(timers) = self.kernel.upgrade().map(|k| k.timers().clone()) else {
                return;
            };
            let _alarm = Alarm::set(timers, deadline, &wake);
            let now = poll_fn(|context| {
                wake.register(context);
                let now = unwritten.left();
                if now < left || Instant::now() >= deadline {
                    Poll::Ready(now)
                } else {
                    Poll::Pending
                }
            });
            let now = now.await;
            if now == left {
                return;
            }
            left = now;
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

/// The forms for async code: see [`asynchronous`](crate::asynchronous).
impl Child {
    /// As [`wait`](Child::wait): closes its piped input, and is ready at its end.
    pub async fn wait_async(&mut self) -> ExitStatus {
        self.stdin = None;
        self.join_async().await
    }

    /// As [`join`](Child::join): piped input stays open.
    pub async fn join_async(&self) -> ExitStatus {
        let wake = Arc::new(Wake::default());
        let _entry = self.watch.register(wake.clone());
        let report = poll_fn(|context| {
            wake.register(context);
            self.watch.get().map_or(Poll::Pending, Poll::Ready)
        });
        let report = report.await;
        self.flush_async().await;
        self.status(report)
    }

    /// As [`join_async`](Child::join_async), for at most so long from the first
    /// poll on; None when it still runs. The sandbox keeps the time, so any
    /// executor will do.
    pub async fn wait_timeout_async(&self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now().checked_add(limit);
        let wake = Arc::new(Wake::default());
        let _entry = self.watch.register(wake.clone());
        // Without a kernel it has ended.
        let Some(timers) = self.kernel.upgrade().map(|k| k.timers().clone()) else {
            return self.try_wait();
        };
        let _alarm = deadline.map(|at| Alarm::set(timers, at, &wake));
        let report = poll_fn(|context| {
            wake.register(context);
            if let Some(report) = self.watch.get() {
                return Poll::Ready(Some(report));
            }
            match deadline {
                Some(at) if Instant::now() >= at => Poll::Ready(None),
                _ => Poll::Pending,
            }
        });
        let report = report.await?;
        self.flush_async().await;
        Some(self.status(report))
    }

    /// As [`wait_with_output`](Child::wait_with_output). A future that is dropped
    /// closes the pipes and lets the process go on.
    pub async fn wait_with_output_async(mut self) -> Output {
        self.stdin = None;
        let stdout = self.stdout.take().map(|s| s.0);
        let stderr = self.stderr.take().map(|s| s.0);
        let mut ends = [(stdout, Vec::new()), (stderr, Vec::new())];
        poll_fn(|context| poll_drain(&mut ends, context)).await;
        let [(_, stdout), (_, stderr)] = ends;
        Output {
            status: self.join_async().await,
            stdout,
            stderr,
        }
    }
}

type Ends = [(Option<HostEnd>, Vec<u8>); 2];

/// As `drain`, one chunk of each end at a time, so that a busy writer does not
/// keep the executor.
fn poll_drain(ends: &mut Ends, context: &mut Context<'_>) -> Poll<()> {
    let mut has_progress = false;
    for (slot, bytes) in ends.iter_mut() {
        let Some(end) = slot else { continue };
        match end.poll_chunk(context, CHUNK) {
            Poll::Pending => {}
            Poll::Ready(Ok(chunk)) if !chunk.is_empty() => {
                bytes.extend_from_slice(&chunk);
                has_progress = true;
            }
            // The end of the stream, or a stream that cannot be read on.
            Poll::Ready(_) => *slot = None,
        }
    }
    if ends.iter().all(|(end, _)| end.is_none()) {
        return Poll::Ready(());
    }
    if has_progress {
        context.waker().wake_by_ref();
    }
    Poll::Pending
}

/// What is read at a time.
const CHUNK: usize = 64 * 1024;

/// Reads both ends until each is closed, on this one thread.
fn drain(ends: &mut Ends) {
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
