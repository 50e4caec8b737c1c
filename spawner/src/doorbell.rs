//! What a signal handler may ring.
//!
//! A handler interrupts a thread anywhere, under any lock, so it can neither
//! schedule nor wake. It rings: an atomic count, an atomic flag, and a write to an
//! eventfd when the flag was down. The reactor takes it from there.
//!
//! - **Invariant D1:** [`Doorbell::ring`] only touches atomics and makes at most
//!   one write(2), which signal-safety(7) allows, and leaves errno as it was.
//! - **Invariant D2:** no ring is lost: invariant G1 of the count, and the wire is
//!   quieted before the count is taken.

use crate::reactor::{Reactor, StableFd, Watch, WatchError};
use crate::rings::Rings;
use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// A doorbell on a [`Reactor`]: rung by signal handlers, or anyone.
///
/// ```
/// # use rivix_spawner::{Doorbell, Reactor};
/// # use std::sync::mpsc;
/// # let reactor = Reactor::new(|name, body| {
/// #     let thread = std::thread::Builder::new().name(name.into());
/// #     thread.spawn(body).map(drop).map_err(|_| nix::errno::Errno::EAGAIN)
/// # });
/// let (answers, answered) = mpsc::channel();
/// let bell = Doorbell::new(&reactor, move |rings| drop(answers.send(rings)))?;
/// bell.ring();
/// bell.ring();
/// // Rings that come together are answered together.
/// let mut heard = answered.recv()?;
/// while heard < 2 {
///     heard += answered.recv()?;
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Doorbell {
    bell: Arc<Bell>,
    _watch: Watch,
}

#[derive(Debug)]
struct Bell {
    rings: Rings,
    wire: EventFd,
}

impl Doorbell {
    /// A doorbell whose rings call `answer` on the reactor's thread with their
    /// number, never 0. `answer` must not block.
    ///
    /// # Errors
    /// As [`Reactor::watch`].
    pub fn new(
        reactor: &Reactor,
        answer: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<Doorbell, WatchError> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let wire = EventFd::from_flags(flags).map_err(crate::ReactorError::Host)?;
        let bell = Arc::new(Bell {
            rings: Rings::default(),
            wire,
        });
        let answered = bell.clone();
        let watch = reactor.watch(bell.clone(), move |_| {
            let rings = answered.take();
            if rings > 0 {
                answer(rings);
            }
        })?;
        Ok(Doorbell {
            bell,
            _watch: watch,
        })
    }

    /// Rings. Async-signal-safe (D1). After the reactor's stop nobody answers.
    pub fn ring(&self) {
        self.bell.ring();
    }
}

impl Bell {
    fn ring(&self) {
        if self.rings.add() {
            let errno = Errno::last_raw();
            // EAGAIN needs 2^64 - 2 writes without a read: the wire is ringing then.
            let _ = self.wire.write(1);
            Errno::set_raw(errno);
        }
    }

    fn take(&self) -> u64 {
        // Quiets the wire. EAGAIN: it was quiet.
        let _ = self.wire.read();
        self.rings.take()
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wire.as_fd()
    }
}

// SAFETY: R1 of the reactor, the eventfd is the bell's own for life.
unsafe impl StableFd for Bell {}

#[cfg(test)]
mod tests;
