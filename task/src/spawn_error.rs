//! The spawner's errors as a guest, or the kernel's own code, sees them.

use crate::current::CurrentTask;
use crate::error::Blocked;
use crate::kernel::Kernel;
use rivix_abi::Errno;
use rivix_spawner::{SpawnError, Ticket, TicketError};
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

/// Why no thread took a unit: ESHUTDOWN closed; EAGAIN full, or no thread, or
/// no id for it (and whatever errno the context gave).
pub fn spawn_errno<F, E: Error + 'static>(error: &SpawnError<F, E>) -> Errno {
    match error {
        SpawnError::Closed(_) => Errno::ESHUTDOWN,
        SpawnError::Full(_) | SpawnError::NoThread(..) => Errno::EAGAIN,
        SpawnError::Context(error, _) => context_errno(error),
    }
}

fn context_errno(error: &(dyn Error + 'static)) -> Errno {
    error
        .downcast_ref::<Errno>()
        .copied()
        .unwrap_or(Errno::EAGAIN)
}

impl Kernel {
    /// Why a unit gave no result: ECANCELED, ESHUTDOWN, EDEADLK, EAGAIN for
    /// want of a thread, EIO for a panic, which is counted here.
    pub fn ticket_errno(&self, error: &TicketError) -> Errno {
        match error {
            TicketError::Cancelled => Errno::ECANCELED,
            TicketError::Closed => Errno::ESHUTDOWN,
            TicketError::Panicked(_) => {
                self.stats().count_unit_panics(1);
                Errno::EIO
            }
            TicketError::WouldDeadlock => Errno::EDEADLK,
            TicketError::NoThread(_) => Errno::EAGAIN,
            TicketError::Context(error) => context_errno(&**error),
        }
    }
}

/// Wakes the task that waits for a ticket.
struct WakeTask(Arc<dyn rivix_sync::Notify>);

impl Wake for WakeTask {
    fn wake(self: Arc<Self>) {
        self.0.notify(0);
    }
}

impl CurrentTask {
    /// Sleeps until a unit has ended, or this task is to die; a signal that does
    /// not kill is not heeded.
    pub(crate) fn wait_killable<R>(&self, mut ticket: Ticket<R>) -> Result<R, Blocked> {
        let waker = Waker::from(Arc::new(WakeTask(self.notifier())));
        let mut context = Context::from_waker(&waker);
        self.block_killable(&[], || match Pin::new(&mut ticket).poll(&mut context) {
            Poll::Ready(outcome) => Ok(outcome),
            Poll::Pending => Err(Errno::EAGAIN),
        })?
        .map_err(|error| Blocked::Errno(self.kernel().ticket_errno(&error)))
    }

    /// Sleeps until a unit has ended. A signal interrupts with EINTR: a unit
    /// that has not begun is cancelled then, one that runs goes on unwatched.
    pub fn wait_for<R>(&self, mut ticket: Ticket<R>) -> Result<R, Errno> {
        let waker = Waker::from(Arc::new(WakeTask(self.notifier())));
        let mut context = Context::from_waker(&waker);
        let outcome = self.block(None, || match Pin::new(&mut ticket).poll(&mut context) {
            Poll::Ready(outcome) => Ok(outcome),
            Poll::Pending => Err(Errno::EAGAIN),
        });
        match outcome {
            Ok(outcome) => outcome.map_err(|error| self.kernel().ticket_errno(&error)),
            Err(Blocked::Errno(errno)) => Err(errno),
            Err(Blocked::Interrupted | Blocked::TimedOut) => {
                ticket.cancel();
                Err(Errno::EINTR)
            }
        }
    }
}

#[cfg(all(test, not(rivix_model)))]
mod tests {
    use super::*;

    type Refused = SpawnError<(), Errno>;

    #[test]
    fn a_refused_unit_has_its_errno() {
        let check = |error: Refused, errno| assert_eq!(spawn_errno(&error), errno);
        check(SpawnError::Closed(()), Errno::ESHUTDOWN);
        check(SpawnError::Full(()), Errno::EAGAIN);
        check(
            SpawnError::NoThread(nix::errno::Errno::ENOMEM, ()),
            Errno::EAGAIN,
        );
        check(SpawnError::Context(Errno::ESHUTDOWN, ()), Errno::ESHUTDOWN);
        let other = SpawnError::Context(std::fmt::Error, ());
        assert_eq!(spawn_errno(&other), Errno::EAGAIN);
    }

    #[test]
    fn a_unit_without_result_has_its_errno_and_panics_are_counted() {
        let kernel = crate::testing::kernel(16);
        let check = |error, errno| assert_eq!(kernel.ticket_errno(&error), errno);
        check(TicketError::Cancelled, Errno::ECANCELED);
        check(TicketError::Closed, Errno::ESHUTDOWN);
        check(TicketError::WouldDeadlock, Errno::EDEADLK);
        check(
            TicketError::NoThread(nix::errno::Errno::EAGAIN),
            Errno::EAGAIN,
        );
        check(
            TicketError::Context(Box::new(Errno::ESHUTDOWN)),
            Errno::ESHUTDOWN,
        );
        assert_eq!(kernel.report().unit_panics, 0);
        check(TicketError::Panicked(Box::new("on purpose")), Errno::EIO);
        assert_eq!(kernel.report().unit_panics, 1);
    }
}
