//! Host calls that nothing interrupts, made on a worker of the kernel's.
//!
//! fsync(2) and its like sleep in the host until the disk has answered; no
//! signal ends them. Made on the guest thread's own host thread they would hold
//! up a kill, a deadline and the sandbox's end for as long. Here the guest
//! thread waits for a ticket instead, and a kill ends the wait: the host call
//! goes on alone and its result is dropped.

use crate::current::CurrentTask;
use crate::error::Blocked;
use rivix_spawner::{Creator, Full, NoContext, Pool};

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

impl CurrentTask {
    /// Makes `call` on a worker and waits for it; only the end of the task ends
    /// the wait before. As in Linux such a sleep heeds no other signal.
    ///
    /// # Errors
    /// [`Blocked::Interrupted`] when the task is to die; EIO when `call` panicked.
    pub fn offload<R: Send + 'static>(
        &self,
        call: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, Blocked> {
        match self.kernel().host_calls.spawn(|_: &mut NoContext| call()) {
            Ok(ticket) => self.wait_killable(ticket),
            // No thread to be had: late is better than not at all.
            Err(refused) => Ok(refused.into_unit()(&mut NoContext)),
        }
    }
}
