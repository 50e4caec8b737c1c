//! Waiting for fibers, and looking at them.

use super::fiber::Ref;
use super::shared;
use crate::panics::drop_quietly;
use crate::{Payload, TicketError, current, payload_text};
use futures::task::{ArcWake, waker};
use rivix_sync::Parker;
use rivix_sync::sys::atomic::Ordering;
use std::any::Any;
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

/// The number of a fiber, not used again by its executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FiberId(pub(super) u64);

impl std::fmt::Display for FiberId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// A fiber seen from outside: what it is called, and whether it has ended. It
/// keeps the fiber's memory, not its future.
#[derive(Clone)]
pub struct Fiber(pub(super) Ref);

impl Fiber {
    /// Its number.
    pub fn id(&self) -> FiberId {
        FiberId(self.0.id.load(Ordering::Relaxed))
    }

    /// The name the builder gave it; empty if none.
    pub fn name(&self) -> &str {
        &self.0.info.name
    }

    /// What kind of fiber the builder said it is; `"fiber"` if nothing.
    pub fn kind(&self) -> &'static str {
        self.0.info.kind
    }

    /// Where it was spawned.
    pub fn location(&self) -> &'static Location<'static> {
        self.0.info.location
    }

    /// The metadata the builder gave it, if it is an `M`.
    pub fn metadata<M: Any>(&self) -> Option<&M> {
        self.0.info.metadata.as_deref()?.downcast_ref()
    }

    /// Has it ended: ready, panicked, cancelled or closed?
    pub fn is_complete(&self) -> bool {
        self.0.word.is_done()
    }
}

impl PartialEq for Fiber {
    fn eq(&self, other: &Self) -> bool {
        self.0.is(&other.0)
    }
}

impl Eq for Fiber {}

impl Hash for Fiber {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

impl std::fmt::Debug for Fiber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fiber")
            .field("id", &self.id().0)
            .field("name", &self.name())
            .field("kind", &self.kind())
            .field("location", &format_args!("{}", self.location()))
            .field("is_complete", &self.is_complete())
            .finish()
    }
}

/// Why a fiber gave no output.
#[derive(thiserror::Error)]
pub enum JoinError<R> {
    /// Cancelled by [`JoinHandle::cancel`].
    #[error("the fiber was cancelled")]
    Cancelled {
        /// The output, if the future became ready in the very poll during which
        /// it was cancelled; else it was dropped unready.
        completed: Option<R>,
    },
    /// The future panicked.
    #[error("the fiber panicked: {}", payload_text(.0))]
    Panicked(Payload),
    /// The executor closed before the future was ready.
    #[error("the executor closed before the fiber was ready")]
    Closed,
    /// The fiber would wait for itself.
    #[error("the fiber would wait for itself")]
    WouldDeadlock,
}

impl<R> JoinError<R> {
    /// Cancelled, ready or not?
    pub fn is_cancelled(&self) -> bool {
        matches!(self, JoinError::Cancelled { .. })
    }

    /// The output of a fiber that was cancelled during its last poll.
    pub fn into_output(self) -> Option<R> {
        match self {
            JoinError::Cancelled { completed } => completed,
            _ => None,
        }
    }
}

impl<R> From<JoinError<R>> for TicketError {
    fn from(error: JoinError<R>) -> TicketError {
        match error {
            JoinError::Cancelled { completed } => {
                drop_quietly(completed);
                TicketError::Cancelled
            }
            JoinError::Panicked(payload) => TicketError::Panicked(payload),
            JoinError::Closed => TicketError::Closed,
            JoinError::WouldDeadlock => TicketError::WouldDeadlock,
        }
    }
}

impl<R> std::fmt::Debug for JoinError<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            JoinError::Cancelled { completed } => f
                .debug_struct("Cancelled")
                .field("completed", &completed.is_some())
                .finish(),
            JoinError::Panicked(payload) => f
                .debug_tuple("Panicked")
                .field(&payload_text(payload))
                .finish(),
            JoinError::Closed => f.write_str("Closed"),
            JoinError::WouldDeadlock => f.write_str("WouldDeadlock"),
        }
    }
}

/// What a fiber gave.
pub type Joined<R> = Result<R, JoinError<R>>;

/// The handle to a fiber's outcome: a future, and a thing to wait on, from any
/// thread. Dropping it lets the fiber go on by itself; a panic in such a fiber
/// is reported once through `tracing`.
///
/// Handles of the same fiber compare equal, also with its [`Fiber`]s.
#[must_use = "dropping the handle detaches the fiber: say so with `detach`"]
pub struct JoinHandle<R> {
    fiber: Fiber,
    _output: PhantomData<R>,
}

impl<R> Unpin for JoinHandle<R> {}

impl<R> JoinHandle<R> {
    /// `R` is the output of the fiber's future.
    pub(super) fn new(fiber: Ref) -> Self {
        JoinHandle {
            fiber: Fiber(fiber),
            _output: PhantomData,
        }
    }

    /// The fiber's number.
    pub fn id(&self) -> FiberId {
        self.fiber.id()
    }

    /// The fiber: name, kind, location, metadata.
    pub fn fiber(&self) -> &Fiber {
        &self.fiber
    }

    /// Has the fiber ended?
    pub fn is_complete(&self) -> bool {
        self.fiber.is_complete()
    }

    /// Asks that the future be dropped at its next poll point, by a worker.
    /// True: it was not complete, and the handle will give
    /// [`JoinError::Cancelled`] (or the panic, if it panics just now). False:
    /// it is complete, and the handle gives what it gave.
    pub fn cancel(&self) -> bool {
        self.fiber.0.cancel()
    }

    /// Lets the fiber go on by itself.
    pub fn detach(self) {}

    /// Sleeps until the fiber has ended.
    ///
    /// # Errors
    /// [`JoinError::WouldDeadlock`] inside the fiber itself; else why there is
    /// no output.
    pub fn wait(self) -> Joined<R> {
        match self.wait_for(None) {
            Ok(joined) => joined,
            // Without a deadline there is always an outcome.
            Err(_) => Err(JoinError::Closed),
        }
    }

    /// As [`JoinHandle::wait`], until `deadline` at most; then the handle comes back.
    pub fn wait_until(self, deadline: Instant) -> Result<Joined<R>, Self> {
        self.wait_for(Some(deadline))
    }

    fn wait_for(mut self, deadline: Option<Instant>) -> Result<Joined<R>, Self> {
        if self.is_own() {
            return Ok(Err(JoinError::WouldDeadlock));
        }
        let wakeup = Arc::new(Wakeup(Parker::new()));
        let waker = waker(wakeup.clone());
        let mut context = Context::from_waker(&waker);
        // A waiting worker of a capped pool gives its place to another.
        let mut blocked = None;
        loop {
            if let Poll::Ready(joined) = Pin::new(&mut self).poll(&mut context) {
                return Ok(joined);
            }
            blocked.get_or_insert_with(current::block);
            rivix_sync::assert_no_lock_held("waiting for a fiber");
            if !wakeup.0.park_until(deadline) {
                return Err(self);
            }
        }
    }

    fn is_own(&self) -> bool {
        shared::current_fiber().is_some_and(|fiber| fiber.is(&self.fiber.0))
    }

    fn take(&mut self) -> Joined<R> {
        // SAFETY: F2: DONE was seen and this is the join handle; `new` was given the type.
        unsafe { self.fiber.0.take() }.unwrap_or(Err(JoinError::Closed))
    }
}

struct Wakeup(Parker);

impl ArcWake for Wakeup {
    fn wake_by_ref(wakeup: &Arc<Self>) {
        wakeup.0.unpark();
    }
}

impl<R> Future for JoinHandle<R> {
    type Output = Joined<R>;

    /// Polled again after Ready, it gives [`JoinError::Closed`].
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Joined<R>> {
        let handle = self.get_mut();
        if handle.is_complete() {
            return Poll::Ready(handle.take());
        }
        if handle.is_own() {
            return Poll::Ready(Err(JoinError::WouldDeadlock));
        }
        let fresh = context.waker().clone();
        let old = handle.fiber.0.watcher.lock().replace(fresh);
        drop(old);
        // The end either sees the waker, or is seen here.
        if handle.fiber.0.word.watch() {
            return Poll::Ready(handle.take());
        }
        Poll::Pending
    }
}

impl<R> Drop for JoinHandle<R> {
    fn drop(&mut self) {
        let watcher = self.fiber.0.watcher.lock().take();
        drop(watcher);
        if self.fiber.0.word.leave() {
            // SAFETY: F2, as in `take`.
            match unsafe { self.fiber.0.take::<R>() } {
                Some(Err(JoinError::Panicked(payload))) => crate::ticket::report_panic(payload),
                outcome => drop_quietly(outcome),
            }
        }
    }
}

impl<R> PartialEq for JoinHandle<R> {
    fn eq(&self, other: &Self) -> bool {
        self.fiber == other.fiber
    }
}

impl<R> Eq for JoinHandle<R> {}

impl<R> PartialEq<Fiber> for JoinHandle<R> {
    fn eq(&self, other: &Fiber) -> bool {
        self.fiber == *other
    }
}

impl<R> std::fmt::Debug for JoinHandle<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("JoinHandle").field(&self.fiber).finish()
    }
}
