//! One worker that watches host descriptors and drives futures.
//!
//! A [`Reactor`] is a tokio runtime of the current-thread kind on one dedicated
//! thread. The thread is asked of a host (a pool, say) at the first use, and
//! sleeps in epoll_wait(2) without a time-out: a reactor with nothing to do costs
//! nothing. There is no time driver and no second pool: deadlines are other
//! people's work, and what blocks belongs in a [pool](crate).
//!
//! ```
//! use rivix_spawner::Reactor;
//! use std::io::{Write, pipe};
//! use std::sync::{Arc, mpsc};
//!
//! let reactor = Reactor::new(|name, body| {
//!     let thread = std::thread::Builder::new().name(name.into());
//!     thread.spawn(body).map(drop).map_err(|_| nix::errno::Errno::EAGAIN)
//! });
//! let (reader, mut writer) = pipe()?;
//! let (events, seen) = mpsc::channel();
//! let watch = reactor.watch(Arc::new(reader), move |_| drop(events.send(())))?;
//! writer.write_all(b"x")?;
//! seen.recv()?;
//! drop(watch); // before the pipe closes
//!
//! let answer = reactor.spawn(async { 6 * 7 }).map_err(|_| "no thread")?;
//! assert_eq!(answer.wait()?, 42);
//! reactor.stop();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - **Invariant R1:** a descriptor is open for as long as the host's epoll knows
//!   it: the watch owns it, and deregisters before it lets go.
//! - **Invariant R2:** callbacks, futures and wakers run without a lock, and no
//!   lock is held while the host is asked for a thread.
//! - **Invariant R3:** an edge that comes while its callback runs calls it again:
//!   readiness is cleared before the call.

mod drive;
mod source;
#[cfg(test)]
mod tests;
mod watch;

pub use source::StableFd;
pub use watch::{Watch, WatchError};

use crate::{SpawnError, Ticket};
use futures::channel::oneshot;
use nix::errno::Errno;
use rivix_sync::sys::thread::{self, ThreadId};
use rivix_sync::{Mutex, level};
use std::sync::{Arc, OnceLock};
use tokio::runtime::{Builder, Handle, Runtime};

type Body = Box<dyn FnOnce() + Send>;
type Host = dyn Fn(&str, Body) -> Result<(), Errno> + Send + Sync;

/// The name its thread is asked for under.
const NAME: &str = "rivix-reactor";

/// Why a reactor does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReactorError {
    /// [`Reactor::stop`] was called.
    #[error("the reactor is stopped")]
    Stopped,
    /// The host gave no thread. The next use asks again.
    #[error("no thread for the reactor: {0}")]
    NoThread(Errno),
    /// The host refused a descriptor, or memory.
    #[error("the host refused: {0}")]
    Host(Errno),
}

/// The reactor. See the [module](self).
///
/// Dropping it stops it. Its host is dropped with it, after the thread was told
/// to end and without waiting for that.
pub struct Reactor {
    shared: Arc<Shared>,
    host: Box<Host>,
}

/// What the reactor and its thread have in common.
struct Shared {
    state: Mutex<level::Worker, State>,
    thread: OnceLock<ThreadId>,
}

#[derive(Default)]
struct State {
    handle: Option<Handle>,
    /// Until the thread takes it.
    engine: Option<Engine>,
    stop: Option<oneshot::Sender<()>>,
    /// A thread was given, or the host is being asked.
    has_thread: bool,
    is_stopped: bool,
}

/// What the thread drives.
struct Engine {
    runtime: Runtime,
    stopped: oneshot::Receiver<()>,
}

impl Reactor {
    /// A reactor that has no thread yet. At the first use `host` is called with a
    /// name and a body that it must run to the end on a thread of its own; it
    /// answers once a thread is responsible. It is called again at a later use
    /// when it failed.
    pub fn new(host: impl Fn(&str, Body) -> Result<(), Errno> + Send + Sync + 'static) -> Reactor {
        Reactor {
            shared: Arc::new(Shared {
                state: Mutex::default(),
                thread: OnceLock::new(),
            }),
            host: Box::new(host),
        }
    }

    /// Calls `callback` on the reactor's thread for the descriptor's present
    /// state, and for each change of it from then on, until the watch is dropped.
    ///
    /// `callback` gets the poll(2) bits that may have become true: changes that
    /// come together are told together, and a bit is rather told too often than
    /// once too little; ask the descriptor. It must not block. A panic in it is
    /// logged and ends nothing.
    ///
    /// When another thread's first use is being refused a thread by the host just
    /// now, the watch sleeps until some later use gets one.
    ///
    /// # Errors
    /// [`WatchError::AlwaysReady`] for what the host has nothing to wait for, such
    /// as regular files; [`ReactorError::Host`] with EEXIST when this reactor
    /// watches the same descriptor already, with ENOSPC, ENOMEM or EMFILE when a
    /// limit is reached.
    pub fn watch<F>(
        &self,
        fd: F,
        callback: impl Fn(u32) + Send + Sync + 'static,
    ) -> Result<Watch, WatchError>
    where
        F: StableFd,
    {
        let handle = self.handle()?;
        watch::start(
            &handle,
            self.shared.clone(),
            Box::new(fd),
            Box::new(callback),
        )
    }

    /// Drives `future` on the reactor's thread. It shares that thread with
    /// everything watched, so it must not block, nor wait for a ticket of its own
    /// reactor other than by `await`.
    ///
    /// The ticket's `cancel` drops the future unless it is complete; a stop
    /// resolves the ticket as closed.
    ///
    /// # Errors
    /// The future comes back: [`SpawnError::Closed`] after a stop,
    /// [`SpawnError::NoThread`] when the host gave no thread.
    pub fn spawn<F>(&self, future: F) -> Result<Ticket<F::Output>, SpawnError<F>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        match self.handle() {
            Ok(handle) => Ok(drive::spawn(&handle, future)),
            Err(ReactorError::Stopped) => Err(SpawnError::Closed(future)),
            Err(ReactorError::NoThread(errno) | ReactorError::Host(errno)) => {
                Err(SpawnError::NoThread(errno, future))
            }
        }
    }

    /// The runtime's handle, to register tokio's own sources; starts the reactor.
    /// Its clock and its blocking pool are not there to be used.
    ///
    /// # Errors
    /// As [`ReactorError`] says.
    pub fn handle(&self) -> Result<Handle, ReactorError> {
        let handle = {
            let mut state = self.shared.state.lock();
            if state.is_stopped {
                return Err(ReactorError::Stopped);
            }
            let handle = match &state.handle {
                Some(handle) => handle.clone(),
                None => state.make().map_err(ReactorError::Host)?,
            };
            if std::mem::replace(&mut state.has_thread, true) {
                return Ok(handle);
            }
            handle
        };
        let shared = self.shared.clone();
        match (self.host)(NAME, Box::new(move || shared.run())) {
            Ok(()) => Ok(handle),
            Err(errno) => {
                self.shared.state.lock().has_thread = false;
                Err(ReactorError::NoThread(errno))
            }
        }
    }

    /// Ends the thread and drops every future it drives. Descriptors call nobody
    /// from then on. It does not wait for the thread, so it may be called from
    /// any thread, from a callback too, and more than once.
    pub fn stop(&self) {
        let (stop, unstarted, handle) = {
            let mut state = self.shared.state.lock();
            state.is_stopped = true;
            (state.stop.take(), state.engine.take(), state.handle.take())
        };
        drop(handle);
        if let Some(stop) = stop {
            // The receiver is gone when the thread has ended by itself.
            let _ = stop.send(());
        }
        if let Some(engine) = unstarted {
            engine.close();
        }
    }

    /// Is this the reactor's own thread?
    pub fn is_current(&self) -> bool {
        self.shared.is_current()
    }
}

impl Drop for Reactor {
    fn drop(&mut self) {
        self.stop();
    }
}

impl std::fmt::Debug for Reactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.shared.state.lock();
        f.debug_struct("Reactor")
            .field("has_thread", &state.has_thread)
            .field("is_stopped", &state.is_stopped)
            .finish()
    }
}

impl State {
    fn make(&mut self) -> Result<Handle, Errno> {
        let runtime = Builder::new_current_thread()
            .enable_io()
            .max_blocking_threads(1)
            .build()
            .map_err(|error| errno_of(&error))?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        self.handle = Some(handle.clone());
        self.stop = Some(stop);
        self.engine = Some(Engine { runtime, stopped });
        Ok(handle)
    }
}

impl Shared {
    /// The thread's whole life.
    fn run(&self) {
        // None: stopped before the thread came to it.
        let engine = self.state.lock().engine.take();
        if let Some(engine) = engine {
            let _ = self.thread.set(thread::current_id());
            engine.run();
        }
    }

    fn is_current(&self) -> bool {
        self.thread.get() == Some(&thread::current_id())
    }
}

impl Engine {
    fn run(mut self) {
        // An error means that the reactor is gone: the same as a stop.
        let _ = self.runtime.block_on(&mut self.stopped);
        self.close();
    }

    /// Drops what the runtime drives. Never waits, so it is allowed on a thread
    /// that drives another runtime.
    fn close(self) {
        self.runtime.shutdown_background();
    }
}

fn errno_of(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// A host for tests: plain threads.
#[cfg(test)]
pub(crate) fn test_host(name: &str, body: Body) -> Result<(), Errno> {
    thread::spawn(name, 256 << 10, body)
        .map(drop)
        .map_err(|error| errno_of(&error))
}
