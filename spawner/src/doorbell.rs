//! What a signal handler may ring.
//!
//! A handler interrupts a thread anywhere, under any lock, so it can neither
//! schedule nor wake. It rings: an atomic count, an atomic flag, and a write to an
//! eventfd when the flag was down. The reactor takes it from there.
//!
//! - **Invariant D1:** [`Doorbell::ring`] only touches atomics and makes at most
//!   one write(2), which signal-safety(7) allows, and leaves errno as it was.
//! - **Invariant D2:** no ring is lost. A ringer counts first and raises the flag
//!   second; the answerer lowers the flag first and takes the count second. So a
//!   ringer that finds the flag raised has counted before that count is taken,
//!   and one that finds it down writes, and the answerer comes again.

use crate::reactor::{Reactor, StableFd, Watch, WatchError};
use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use rivix_sync::sys::atomic::{AtomicBool, AtomicU64, Ordering};
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
    /// Rings nobody has answered.
    rings: AtomicU64,
    /// A write is on its way to the reactor.
    is_rung: AtomicBool,
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
            rings: AtomicU64::new(0),
            is_rung: AtomicBool::new(false),
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
        self.rings.fetch_add(1, Ordering::Relaxed);
        // Pairs with the swap in `take`: who finds the flag raised has its count seen.
        if !self.is_rung.swap(true, Ordering::AcqRel) {
            let errno = Errno::last_raw();
            // EAGAIN needs 2^64 - 2 writes without a read: the wire is ringing then.
            let _ = self.wire.write(1);
            Errno::set_raw(errno);
        }
    }

    fn take(&self) -> u64 {
        // Quiets the wire. EAGAIN: it was quiet.
        let _ = self.wire.read();
        self.is_rung.swap(false, Ordering::AcqRel);
        self.rings.swap(0, Ordering::Relaxed)
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
