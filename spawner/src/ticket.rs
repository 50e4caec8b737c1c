//! The one completion handle.
//!
//! - **Invariant T1:** a ticket resolves exactly once, whatever becomes of its
//!   unit: run, panicked, cancelled, refused, or dropped unrun.
//! - **Invariant T2:** the unit's captures are dropped before its ticket resolves.
//! - **Invariant T3:** wakers are called, and results dropped, without the lock.

use crate::current;
use crate::panics::drop_quietly;
use crate::{Payload, TicketError, payload_text};
use rivix_sync::sys::{mutant, thread};
use rivix_sync::{Mutex, Parker, level};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// What a unit gave.
pub type Outcome<R> = Result<R, TicketError>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Queued,
    Running,
    /// Nobody will begin it any more; its result is on the way.
    Stopped,
    Resolved,
}

struct State<R> {
    phase: Phase,
    /// Who runs the unit, to refuse waiting for oneself.
    runner: Option<thread::ThreadId>,
    outcome: Option<Outcome<R>>,
    waker: Option<Waker>,
    is_waited_for: bool,
    is_detached: bool,
}

/// The shared half: lives in the unit's own allocation.
pub(crate) struct TicketCore<R> {
    state: Mutex<level::Ticket, State<R>>,
    resolved: Parker,
}

impl<R> TicketCore<R> {
    pub(crate) fn new() -> Self {
        TicketCore {
            state: Mutex::new(State {
                phase: Phase::Queued,
                runner: None,
                outcome: None,
                waker: None,
                is_waited_for: false,
                is_detached: false,
            }),
            resolved: Parker::new(),
        }
    }

    /// The unit begins on this thread; false: it was stopped before.
    pub(crate) fn begin(&self) -> bool {
        let mut state = self.state.lock();
        if state.phase != Phase::Queued {
            return false;
        }
        state.phase = Phase::Running;
        state.runner = Some(thread::current_id());
        true
    }

    /// Takes the unit away from whoever would begin it; true: it has not begun
    /// and never will, and the caller now drops its captures and resolves.
    pub(crate) fn stop(&self) -> bool {
        let mut state = self.state.lock();
        if state.phase != Phase::Queued && !mutant("ticket-cancel-running") {
            return false;
        }
        state.phase = Phase::Stopped;
        true
    }

    /// Gives the ticket its outcome; the first one stands.
    pub(crate) fn resolve(&self, outcome: Outcome<R>) {
        let mut refused = None;
        let mut waker = None;
        let mut must_unpark = false;
        {
            let mut state = self.state.lock();
            if state.phase == Phase::Resolved {
                refused = Some(outcome);
            } else {
                state.phase = Phase::Resolved;
                state.runner = None;
                waker = state.waker.take();
                must_unpark = state.is_waited_for;
                if state.is_detached {
                    refused = Some(outcome);
                } else {
                    state.outcome = Some(outcome);
                }
            }
        }
        if mutant("ticket-no-wake") {
            return;
        }
        if must_unpark {
            self.resolved.unpark();
        }
        if let Some(waker) = waker {
            // A waker is the waiter's code.
            let _ = crate::panics::catch(move || waker.wake());
        }
        if let Some(outcome) = refused {
            if mutant("ticket-detach-leaks") {
                std::mem::forget(outcome);
                return;
            }
            discard(outcome);
        }
    }

    pub(crate) fn is_resolved(&self) -> bool {
        self.state.lock().phase == Phase::Resolved
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<Outcome<R>> {
        // Cloning a waker is the waiter's code too: it happens without the lock.
        let mut spare = None;
        loop {
            let old;
            {
                let mut state = self.state.lock();
                if let Some(outcome) = state.outcome.take() {
                    return Poll::Ready(outcome);
                }
                if state.phase == Phase::Resolved {
                    // Polled again after Ready.
                    return Poll::Ready(Err(TicketError::Closed));
                }
                let is_known =
                    matches!(&state.waker, Some(waker) if waker.will_wake(context.waker()));
                if is_known {
                    return Poll::Pending;
                }
                old = match spare.take() {
                    Some(waker) => Some(state.waker.replace(waker)),
                    None => None,
                };
            }
            match old {
                Some(_) => return Poll::Pending,
                None => spare = Some(context.waker().clone()),
            }
        }
    }

    /// None: `deadline` came first.
    fn wait_until(&self, deadline: Option<Instant>) -> Option<Outcome<R>> {
        {
            let mut state = self.state.lock();
            if let Some(outcome) = state.outcome.take() {
                return Some(outcome);
            }
            if state.phase == Phase::Resolved {
                return Some(Err(TicketError::Closed));
            }
            if state.runner == Some(thread::current_id()) {
                return Some(Err(TicketError::WouldDeadlock));
            }
            state.is_waited_for = true;
        }
        // A waiting worker of a capped pool gives its place to another.
        let _blocked = current::block();
        loop {
            let is_woken = self.resolved.park_until(deadline);
            let mut state = self.state.lock();
            if let Some(outcome) = state.outcome.take() {
                return Some(outcome);
            }
            if !is_woken {
                state.is_waited_for = false;
                return None;
            }
        }
    }
}

/// Somebody's unit, seen from its ticket.
pub(crate) trait Completion<R>: Send + Sync {
    fn core(&self) -> &TicketCore<R>;

    /// See [`Ticket::cancel`].
    fn cancel(&self) -> bool;
}

/// The handle to one unit's outcome: a future, and a thing to wait on.
///
/// Dropping it detaches: the unit runs all the same, and a panic in it is
/// reported once through `tracing`.
#[must_use = "dropping a ticket detaches its unit: say so with `detach`"]
pub struct Ticket<R> {
    source: Arc<dyn Completion<R>>,
}

impl<R> Ticket<R> {
    pub(crate) fn new(source: Arc<dyn Completion<R>>) -> Self {
        Ticket { source }
    }

    /// Sleeps until the unit has ended.
    ///
    /// # Errors
    /// [`TicketError::WouldDeadlock`] when called from inside the unit itself;
    /// else what became of the unit.
    pub fn wait(self) -> Outcome<R> {
        self.source
            .core()
            .wait_until(None)
            .unwrap_or(Err(TicketError::Closed))
    }

    /// As [`Ticket::wait`], until `deadline` at most; then the ticket comes back.
    pub fn wait_until(self, deadline: Instant) -> Result<Outcome<R>, Self> {
        match self.source.core().wait_until(Some(deadline)) {
            Some(outcome) => Ok(outcome),
            None => Err(self),
        }
    }

    /// Asks that the unit not run. True: it had not begun and never will; its
    /// captures are gone and the ticket gives [`TicketError::Cancelled`]. False:
    /// it runs, or has run, and the ticket gives its outcome. (A fiber: true
    /// while it is not complete.)
    pub fn cancel(&self) -> bool {
        self.source.cancel()
    }

    /// Has the unit ended?
    pub fn is_finished(&self) -> bool {
        self.source.core().is_resolved()
    }

    /// Lets the unit go: nobody wants its outcome.
    pub fn detach(self) {}
}

impl<R> Future for Ticket<R> {
    type Output = Outcome<R>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome<R>> {
        self.source.core().poll(context)
    }
}

impl<R> Drop for Ticket<R> {
    fn drop(&mut self) {
        let (unread, waker) = {
            let mut state = self.source.core().state.lock();
            state.is_detached = true;
            (state.outcome.take(), state.waker.take())
        };
        drop(waker);
        if let Some(outcome) = unread {
            discard(outcome);
        }
    }
}

impl<R> std::fmt::Debug for Ticket<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let phase = self.source.core().state.lock().phase;
        f.debug_struct("Ticket").field("phase", &phase).finish()
    }
}

/// An outcome that nobody will read.
fn discard<R>(outcome: Outcome<R>) {
    match outcome {
        Err(TicketError::Panicked(payload)) => report_panic(payload),
        other => drop_quietly(other),
    }
}

/// The one report of a panic whose ticket is gone.
pub(crate) fn report_panic(payload: Payload) {
    tracing::error!(message = payload_text(&payload), "a detached unit panicked");
    drop_quietly(payload);
}
#[cfg(all(test, rivix_loom))]
#[path = "ticket_model.rs"]
mod model;
