//! The library for async code.
//!
//! What waits has an async form: [`Child::wait_async`], [`Child::join_async`],
//! [`Child::wait_timeout_async`], [`Child::wait_with_output_async`],
//! [`Command::output_async`], [`Command::status_async`]; and the ends of a child's
//! pipes are [`AsyncRead`](futures::io::AsyncRead) and
//! [`AsyncWrite`](futures::io::AsyncWrite). They are woken by the guest kernel's
//! own wait queues and timers, so any executor will do, and no thread waits for
//! them. [`Sandbox::drive`] is there for programs that have no executor.
//!
//! Starting a program is not asynchronous: [`Command::spawn`] reads it and maps it
//! on the calling thread.
//!
//! ```
//! use futures::executor::block_on;
//! use futures::io::AsyncReadExt;
//! use rivix::{Sandbox, Stdio};
//! use std::time::Duration;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let sandbox = Sandbox::builder().build()?;
//! block_on(async {
//!     // Two guests at once, on this one thread.
//!     let demos = (sandbox.demo().output_async(), sandbox.demo().output_async());
//!     let (first, second) = futures::join!(demos.0, demos.1);
//!     assert!(first?.status.success() && second?.status.success());
//!
//!     let mut child = sandbox.demo().stdout(Stdio::piped()).spawn()?;
//!     let mut text = String::new();
//!     if let Some(stdout) = &mut child.stdout {
//!         AsyncReadExt::read_to_string(stdout, &mut text).await?;
//!     }
//!     let status = child.wait_timeout_async(Duration::from_secs(60)).await;
//!     assert!(status.is_some_and(|status| status.success()));
//!     Ok(())
//! })
//! # }
//! ```
//!
//! [`Child::wait_async`]: crate::Child::wait_async
//! [`Child::join_async`]: crate::Child::join_async
//! [`Child::wait_timeout_async`]: crate::Child::wait_timeout_async
//! [`Child::wait_with_output_async`]: crate::Child::wait_with_output_async
//! [`Command::output_async`]: crate::Command::output_async
//! [`Command::status_async`]: crate::Command::status_async
//! [`Command::spawn`]: crate::Command::spawn
//! [`Sandbox::drive`]: crate::Sandbox::drive

use futures::task::AtomicWaker;
use rivix_spawner::{Expire, TimerId, Timers};
use rivix_spawner::{Ticket, TicketError, payload_text};
use rivix_sync::Notify;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Instant;

/// A task that waits, as the guest kernel's queues and timers see it.
#[derive(Default)]
pub(crate) struct Wake(AtomicWaker);

impl Wake {
    /// Has the present task woken. Before looking.
    pub(crate) fn register(&self, context: &Context<'_>) {
        self.0.register(context.waker());
    }

    /// A waker is the embedder's code: its panics stay out of guest threads.
    fn wake(&self) {
        if catch_unwind(AssertUnwindSafe(|| self.0.wake())).is_err() {
            tracing::error!("a waker of the embedder panicked");
        }
    }
}

impl Notify for Wake {
    fn notify(&self, _events: u32) {
        self.wake();
    }
}

impl Expire for Wake {
    fn expire(&self) {
        self.wake();
    }
}

/// A deadline that wakes a task; dropping it disarms it.
pub(crate) struct Alarm {
    timers: Arc<Timers>,
    id: TimerId,
}

impl Alarm {
    pub(crate) fn set(timers: Arc<Timers>, at: Instant, wake: &Arc<Wake>) -> Alarm {
        let target: Weak<dyn Expire> = Arc::downgrade(wake) as Weak<_>;
        let id = timers.arm(at, target);
        Alarm { timers, id }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.timers.disarm(self.id);
    }
}

/// A future that a sandbox drives ([`Sandbox::drive`](crate::Sandbox::drive)):
/// itself a future, and a thing to wait on. Dropping it lets the driven one go on.
#[must_use = "dropping it lets the future go on unobserved"]
#[derive(Debug)]
pub struct Driven<T>(Ticket<T>);

impl<T> Driven<T> {
    pub(crate) fn new(ticket: Ticket<T>) -> Driven<T> {
        Driven(ticket)
    }

    /// Sleeps until it is complete.
    ///
    /// # Errors
    /// As of the future itself: the sandbox was shut down first, or it panicked.
    pub fn wait(self) -> io::Result<T> {
        self.0.wait().map_err(lost)
    }

    /// Drops the driven future unless it is complete; true when it was not.
    pub fn cancel(&self) -> bool {
        self.0.cancel()
    }
}

impl<T> Future for Driven<T> {
    /// [`io::ErrorKind::Interrupted`] when it was cancelled or the sandbox was shut
    /// down before it was complete; [`io::ErrorKind::Other`] when it panicked.
    type Output = io::Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        Pin::new(&mut self.0)
            .poll(context)
            .map(|outcome| outcome.map_err(lost))
    }
}

fn lost(error: TicketError) -> io::Error {
    match error {
        TicketError::Panicked(payload) => {
            io::Error::other(format!("the future panicked: {}", payload_text(&payload)))
        }
        error => io::Error::new(io::ErrorKind::Interrupted, error.to_string()),
    }
}
