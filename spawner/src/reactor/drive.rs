//! A future on the reactor, seen from its ticket.

use crate::panics::{catch, drop_quietly};
use crate::ticket::{Completion, TicketCore};
use crate::{Ticket, TicketError};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

/// The ticket's phases are the claim on the outcome: whoever leaves Queued first,
/// completion, cancel or the drop of the task, decides it.
struct Driven<R> {
    core: TicketCore<R>,
    abort: OnceLock<AbortHandle>,
}

impl<R: Send> Completion<R> for Driven<R> {
    fn core(&self) -> &TicketCore<R> {
        &self.core
    }

    fn cancel(&self) -> bool {
        if !self.core.stop() {
            return false;
        }
        // The task resolves the ticket when it is dropped, on its own thread.
        if let Some(abort) = self.abort.get() {
            abort.abort();
        }
        true
    }
}

/// What the runtime polls: the future until it is complete.
struct Task<F: Future> {
    future: Option<Pin<Box<F>>>,
    done: Arc<Driven<F::Output>>,
}

pub(super) fn spawn<F>(handle: &Handle, future: F) -> Ticket<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let done = Arc::new(Driven {
        core: TicketCore::new(),
        abort: OnceLock::new(),
    });
    let task = handle.spawn(Task {
        future: Some(Box::pin(future)),
        done: done.clone(),
    });
    let _ = done.abort.set(task.abort_handle());
    Ticket::new(done)
}

impl<F: Future> Future for Task<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(future) = &mut self.future else {
            return Poll::Ready(());
        };
        let outcome = match catch(|| future.as_mut().poll(context)) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(result)) => Ok(result),
            Err(payload) => Err(TicketError::Panicked(payload)),
        };
        // Captures go before the ticket resolves.
        drop_quietly(self.future.take());
        if self.done.core.begin() {
            self.done.core.resolve(outcome);
        } else {
            drop_quietly(outcome);
            self.done.core.resolve(Err(TicketError::Cancelled));
        }
        Poll::Ready(())
    }
}

impl<F: Future> Drop for Task<F> {
    fn drop(&mut self) {
        let Some(future) = self.future.take() else {
            return;
        };
        drop_quietly(future);
        // Nobody had claimed the outcome: the reactor was stopped.
        let is_closed = self.done.core.stop();
        self.done.core.resolve(Err(if is_closed {
            TicketError::Closed
        } else {
            TicketError::Cancelled
        }));
    }
}
