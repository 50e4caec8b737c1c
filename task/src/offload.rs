//! Host calls that nothing interrupts, made on a worker of the kernel's.
//!
//! fsync(2) and its like sleep in the host until the disk has answered; no
//! signal ends them. Made on the guest thread's own host thread they would hold
//! up a kill, a deadline and the sandbox's end for as long. Here the guest
//! thread waits for a ticket instead, and a kill ends the wait: the host call
//! goes on alone and its result is dropped.

use crate::current::CurrentTask;
use crate::error::Blocked;
use crate::kernel::Kernel;
use rivix_abi::Errno;
use rivix_spawner::{Creator, Full, NoContext, Pool};
use rivix_sync::{Kick, Notify};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

/// Host calls of one sandbox that may wait for disks at once; more queue.
const AT_ONCE: usize = 16;

/// The pool that such calls run in.
pub(crate) fn pool(creator: &Creator) -> std::io::Result<Pool<NoContext>> {
    Pool::builder(creator, ())
        .name("rivix-hostcall")
        .max_idle(1)
        .cap(AT_ONCE, Full::Queue)
        .build()
        .map_err(std::io::Error::other)
}

/// Wakes a task that waits for a ticket.
struct WakeTask(Arc<Kick>);

impl Wake for WakeTask {
    fn wake(self: Arc<Self>) {
        self.0.notify(0);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.notify(0);
    }
}

impl CurrentTask {
    /// Makes `call` on a worker and waits for it; only the end of the task ends
    /// the wait before. As in Linux such a sleep heeds no other signal.
    ///
    /// # Errors
    /// [`Blocked::Interrupted`] when the task is to die; EAGAIN when the host
    /// refuses a thread; EIO when `call` panicked.
    pub fn offload<R: Send + 'static>(
        &self,
        call: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, Blocked> {
        let mut ticket = self.kernel().host_calls().spawn_nowait(|_| call());
        let waker = Waker::from(Arc::new(WakeTask(self.kick().clone())));
        let mut context = Context::from_waker(&waker);
        self.block_killable(&[], || match Pin::new(&mut ticket).poll(&mut context) {
            Poll::Pending => Err(Errno::EAGAIN),
            Poll::Ready(Ok(result)) => Ok(Ok(result)),
            Poll::Ready(Err(error)) => Ok(Err(crate::spawn_error::ticket_errno(&error))),
        })?
        .map_err(Blocked::Errno)
    }
}

impl Kernel {
    /// Where host calls run that nothing interrupts.
    pub fn host_calls(&self) -> &Pool<NoContext> {
        &self.host_calls
    }
}
