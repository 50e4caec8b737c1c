//! One watched descriptor: a task on the reactor that calls back.

use super::source::{Owned, Source, is_always_ready};
use super::{ReactorError, Shared, errno_of};
use crate::panics::catch;
use crate::payload_text;
use rivix_sync::{Mutex, Parker, level};
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

/// Why a descriptor is not watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// The host has nothing to wait for there: reads and writes never wait.
    #[error("always ready: there is nothing to wait for")]
    AlwaysReady,
    /// The reactor cannot.
    #[error(transparent)]
    Reactor(#[from] ReactorError),
}

pub(super) type Callback = Box<dyn Fn(u32) + Send + Sync>;

/// A watched descriptor, which it owns. Dropping it forgets the descriptor: the
/// host no longer watches it when the drop returns, and it is let go. A call that
/// runs at that moment may still be at work; [`Watch::end`] waits for it.
#[must_use = "dropping a watch forgets its descriptor"]
pub struct Watch {
    followed: Arc<Followed>,
    task: AbortHandle,
}

struct Followed {
    slot: Mutex<level::Worker, Slot>,
    callback: Callback,
    /// Unparked by the end of a call that somebody waits for.
    returned: Parker,
    shared: Arc<Shared>,
}

struct Slot {
    /// None: forgotten.
    source: Option<Source>,
    is_calling: bool,
    is_waited_for: bool,
}

pub(super) fn start(
    handle: &Handle,
    shared: Arc<Shared>,
    fd: Owned,
    callback: Callback,
) -> Result<Watch, WatchError> {
    let source = {
        let _context = handle.enter();
        Source::new(fd).map_err(|error| refused(&error))?
    };
    let followed = Arc::new(Followed {
        slot: Mutex::new(Slot {
            source: Some(source),
            is_calling: false,
            is_waited_for: false,
        }),
        callback,
        returned: Parker::new(),
        shared,
    });
    let task = followed.clone();
    let task = handle.spawn(std::future::poll_fn(move |context| task.follow(context)));
    Ok(Watch {
        followed,
        task: task.abort_handle(),
    })
}

fn refused(error: &std::io::Error) -> WatchError {
    if is_always_ready(error) {
        WatchError::AlwaysReady
    } else if error.raw_os_error().is_none() {
        // tokio's own word for a runtime that is shut down.
        WatchError::Reactor(ReactorError::Stopped)
    } else {
        WatchError::Reactor(ReactorError::Host(errno_of(error)))
    }
}

impl Followed {
    /// Calls back for every edge; ready when there will be none.
    fn follow(&self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let events = {
                let mut slot = self.slot.lock();
                let Some(source) = &mut slot.source else {
                    return Poll::Ready(());
                };
                match std::task::ready!(source.poll(context)) {
                    Ok(events) => {
                        slot.is_calling = true;
                        events
                    }
                    Err(error) => {
                        let source = slot.source.take();
                        drop(slot);
                        drop(source);
                        // Without an errno: the runtime shuts down.
                        if error.raw_os_error().is_some() {
                            tracing::warn!(%error, "a descriptor cannot be watched any more");
                        }
                        return Poll::Ready(());
                    }
                }
            };
            if let Err(payload) = catch(|| (self.callback)(events)) {
                tracing::error!(
                    message = payload_text(&payload),
                    "a descriptor's callback panicked"
                );
                crate::panics::drop_quietly(payload);
            }
            self.called(events);
        }
    }

    /// The callback has returned.
    fn called(&self, events: u32) {
        let mut lost = None;
        let is_waited_for = {
            let mut slot = self.slot.lock();
            slot.is_calling = false;
            if slot.source.as_ref().is_some_and(|s| s.must_move(events)) {
                match slot.source.take().map(Source::moved) {
                    Some(Ok(source)) => slot.source = Some(source),
                    Some(Err(error)) => lost = Some(error),
                    None => {}
                }
            }
            std::mem::take(&mut slot.is_waited_for)
        };
        if is_waited_for {
            self.returned.unpark();
        }
        if let Some((error, held)) = lost {
            drop(held);
            tracing::warn!(%error, "a descriptor that hung up cannot be watched any more");
        }
    }

    /// Deregisters the descriptor and lets it go; true: a call is at work.
    fn forget(&self, wait: bool) -> bool {
        let (source, is_calling) = {
            let mut slot = self.slot.lock();
            slot.is_waited_for = wait && slot.is_calling;
            (slot.source.take(), slot.is_calling)
        };
        // Its owner's drop runs without the lock.
        drop(source);
        is_calling
    }
}

impl Watch {
    /// Forgets the descriptor, and sleeps until a call that runs now has
    /// returned; from then on nothing of it runs. On the reactor's own thread,
    /// where the only call that can run is the caller's, it does not wait.
    pub fn end(self) {
        let wait = !self.followed.shared.is_current();
        if self.followed.forget(wait) && wait {
            let _blocked = crate::current::block();
            self.followed.returned.park();
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.followed.forget(false);
        self.task.abort();
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let is_watched = self.followed.slot.lock().source.is_some();
        f.debug_struct("Watch")
            .field("is_watched", &is_watched)
            .finish()
    }
}
