//! Spawning with a name, a kind, a place and metadata.

use super::fiber::{Info, Making};
use super::join::JoinHandle;
use super::shared::Shared;
use super::worker::ExecWorker;
use allocator_api2::alloc::{Allocator, Global};
use std::any::Any;
use std::borrow::Cow;
use std::future::Future;
use std::panic::Location;
use std::sync::Arc;

/// Why a future was not spawned. It comes back.
#[derive(thiserror::Error)]
pub enum SpawnFiberError<F> {
    /// The executor is closed, or closing.
    #[error("the executor is closed")]
    Closed(F),
    /// The allocator has no memory for the fiber.
    #[error("there is no memory for the fiber")]
    NoMemory(F),
    /// This thread polls no fiber, or (for a local spawn) ticks another executor.
    #[error("this thread runs no worker of the executor")]
    NoWorker(F),
}

impl<F> SpawnFiberError<F> {
    /// The future that was not spawned.
    pub fn into_future(self) -> F {
        match self {
            SpawnFiberError::Closed(future)
            | SpawnFiberError::NoMemory(future)
            | SpawnFiberError::NoWorker(future) => future,
        }
    }
}

impl<F> std::fmt::Debug for SpawnFiberError<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            SpawnFiberError::Closed(_) => "Closed",
            SpawnFiberError::NoMemory(_) => "NoMemory",
            SpawnFiberError::NoWorker(_) => "NoWorker",
        })
    }
}

/// Spawns fibers with more than a future; see [`Executor::builder`](super::Executor::builder).
#[must_use = "a builder spawns nothing by itself"]
pub struct Builder {
    shared: Arc<Shared>,
    info: Info,
}

impl Builder {
    #[track_caller]
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Builder {
            shared,
            info: Info {
                name: Cow::Borrowed(""),
                kind: "fiber",
                location: Location::caller(),
                metadata: None,
            },
        }
    }

    /// The fiber's name.
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.info.name = name.into();
        self
    }

    /// What kind of fiber it is, for those who list them.
    pub fn kind(mut self, kind: &'static str) -> Self {
        self.info.kind = kind;
        self
    }

    /// Where it is spawned, if that is not where the builder was made.
    pub fn location(mut self, location: &'static Location<'static>) -> Self {
        self.info.location = location;
        self
    }

    /// What the spawner wants to find at the fiber; see [`Fiber::metadata`](super::Fiber::metadata).
    pub fn metadata(mut self, metadata: impl Any + Send + Sync) -> Self {
        self.info.metadata = Some(Arc::new(metadata));
        self
    }

    /// Spawns the future.
    ///
    /// # Errors
    /// The executor is closed, or there is no memory; the future comes back.
    pub fn spawn<F>(self, future: F) -> Result<JoinHandle<F::Output>, SpawnFiberError<F>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawn_in(future, Global)
    }

    /// As [`Builder::spawn`]; the fiber's memory is `allocator`'s. Its last
    /// reference, and with it the memory, may go on any thread.
    pub fn spawn_in<F, A>(
        self,
        future: F,
        allocator: A,
    ) -> Result<JoinHandle<F::Output>, SpawnFiberError<F>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
        A: Allocator + Clone + Send + Sync + 'static,
    {
        self.make(future, None, allocator)
    }

    /// Spawns a future that need not be Send on this thread's `worker`, where
    /// it stays.
    ///
    /// # Errors
    /// As [`Builder::spawn`]; and the worker is another executor's.
    pub fn spawn_local<F>(
        self,
        worker: &ExecWorker,
        future: F,
    ) -> Result<JoinHandle<F::Output>, SpawnFiberError<F>>
    where
        F: Future + 'static,
    {
        self.spawn_local_in(worker, future, Global)
    }

    /// As [`Builder::spawn_local`], with the memory of `allocator`.
    pub fn spawn_local_in<F, A>(
        self,
        worker: &ExecWorker,
        future: F,
        allocator: A,
    ) -> Result<JoinHandle<F::Output>, SpawnFiberError<F>>
    where
        F: Future + 'static,
        A: Allocator + Clone + Send + Sync + 'static,
    {
        if !worker.is_of(&self.shared) {
            return Err(SpawnFiberError::NoWorker(future));
        }
        self.make(future, Some(worker.index()), allocator)
    }

    /// Pins to `home`, which the caller knows to be this thread's worker.
    pub(super) fn make<F, A>(
        self,
        future: F,
        home: Option<usize>,
        allocator: A,
    ) -> Result<JoinHandle<F::Output>, SpawnFiberError<F>>
    where
        F: Future + 'static,
        A: Allocator + Clone + Send + Sync + 'static,
    {
        let making = Making {
            future,
            info: self.info,
            home,
        };
        self.shared.spawn(making, allocator)
    }
}
