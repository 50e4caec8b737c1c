//! Futures on few threads, with work stealing.
//!
//! An [`Executor`] is a handle; the work is done by its [`ExecWorker`]s: on
//! threads of somebody's pool ([`Executor::start`]), on the thread that calls
//! [`Executor::run`], or wherever somebody makes a worker and ticks it. A future
//! that was spawned is a [`Fiber`]; its [`JoinHandle`] waits for it, from a
//! future or on a thread, cancels it, and tells what became of it.
//!
//! ```
//! use rivix_spawner::executor::{Close, Executor};
//!
//! // Whoever owns threads lends them: here, plain ones.
//! let executor = Executor::start(2, |name, body| {
//!     std::thread::Builder::new().name(name.to_owned()).spawn(body).map(drop)
//! })?;
//!
//! let answer = executor.spawn(async { 6 * 7 })?;
//! assert_eq!(answer.wait()?, 42);
//!
//! // A fiber can be named, looked at and cancelled.
//! let stuck = executor.builder().name("stuck").metadata(7_u8).spawn(std::future::pending::<()>())?;
//! assert_eq!(stuck.fiber().name(), "stuck");
//! assert_eq!(stuck.fiber().metadata::<u8>(), Some(&7));
//! assert!(stuck.cancel());
//! assert!(stuck.wait().unwrap_err().is_cancelled());
//!
//! executor.close(Close::Drain);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Without other threads, with futures that stay on this one:
//!
//! ```
//! use rivix_spawner::executor::{self, Executor};
//! use std::{cell::Cell, rc::Rc};
//!
//! let executor = Executor::new();
//! let count = Rc::new(Cell::new(0));
//! let seen = count.clone();
//! let sum = executor.run(async move {
//!     let first = executor::spawn(async { 1 }).unwrap();
//!     let second = executor::spawn_local(async move { seen.set(2); seen.get() }).unwrap();
//!     first.await.unwrap() + second.await.unwrap()
//! })?;
//! assert_eq!((sum, count.get()), (3, 2));
//! # Ok::<(), executor::NoWorker>(())
//! ```
//!
//! # How it goes
//!
//! A fiber spawned or woken on a worker goes to that worker's ring of 256, else
//! to the injector; an overfull ring gives its older half to the injector. A
//! worker takes from its ring, every 61st time from the injector; with nothing
//! left it takes a part of the injector, or half of another's ring, rounded up.
//! Half of the workers at most look for work at a time, and one that finds some
//! wakes the next. Fibers of `spawn_local` have a queue per worker that nobody
//! steals from. Nobody sleeps but on a [`Parker`](rivix_sync::Parker), and nobody wakes without cause.
//!
//! Wakers keep a fiber's memory, nothing else: fired late, after the end of
//! fiber and executor, they do nothing.
//!
//! # Memory
//!
//! Spawning is where memory can be refused: it makes the fiber's one allocation,
//! from any [`Allocator`](allocator_api2::alloc::Allocator), and room in the
//! queues, so that wakes allocate nothing. A fiber keeps its allocator, which
//! must be `Clone`, until the last waker, handle or [`Fiber`] is gone.
//!
//! # Unsafe
//!
//! It is in `fiber.rs`, with the invariants F1 to F6 there, and at the calls of
//! what that file offers.

mod builder;
mod fiber;
mod idle;
mod join;
mod queue;
mod registry;
mod shared;
mod word;
mod worker;

#[cfg(all(test, rivix_shuttle))]
mod shuttle_model;
#[cfg(all(test, not(rivix_model)))]
mod tests;

pub use builder::{Builder, SpawnFiberError};
pub use join::{Fiber, FiberId, JoinError, JoinHandle, Joined};
pub use worker::{ExecWorker, Tick};

pub use crate::Close;
use crate::{Pool, Ticket, TicketError, WorkerContext};
use allocator_api2::alloc::Global;
use futures::task::{FutureObj, Spawn, SpawnError as FuturesSpawnError};
use rivix_sync::sys::atomic::Ordering;
use shared::Shared;
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;
use worker::Seat;

/// Workers of an executor made by [`Executor::new`], at most.
const MOST_WORKERS: usize = 64;

/// Why there is no worker for this thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoWorker {
    /// The executor is closed, or closed before the future was ready.
    #[error("the executor is closed")]
    Closed,
    /// It has as many workers as it has places for.
    #[error("all places for workers are taken")]
    Full,
    /// There is no memory for the worker's queues.
    #[error("there is no memory for a worker")]
    NoMemory,
}

/// Why [`Executor::start`] failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError<E> {
    /// The host refused a thread; those it gave have ended, or will.
    #[error("the host refused a thread: {0}")]
    Host(E),
    /// There is no place or memory for a worker.
    #[error(transparent)]
    Worker(#[from] NoWorker),
}

/// What an executor has done, and has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExecutorStats {
    /// Workers there are.
    pub workers: usize,
    /// Workers asleep.
    pub sleeping: usize,
    /// Fibers not complete.
    pub live: usize,
    /// Fibers in the injector.
    pub injected: usize,
    /// Sleepers that new work has woken, ever.
    pub wakes: u64,
    /// Polls by each worker there is, up to its last tick.
    pub polled: Vec<u64>,
}

impl ExecutorStats {
    /// How evenly the workers have polled since `earlier`: the busiest one's
    /// polls by the idlest one's, 1.0 if they did the same. None when workers
    /// came or went meanwhile, or one of them has not polled.
    pub fn spread_since(&self, earlier: &ExecutorStats) -> Option<f64> {
        if self.polled.len() != earlier.polled.len() {
            return None;
        }
        let counts = self.polled.iter().zip(&earlier.polled);
        let counts = counts.map(|(now, then)| now.saturating_sub(*then));
        let (least, most) = (counts.clone().min()?, counts.max()?);
        (least > 0).then(|| most as f64 / least as f64)
    }
}

/// A handle to an executor. The last one dropped closes it as
/// [`Close::Cancel`] does; a fiber that needs to spawn uses [`spawn`] and keeps
/// no handle.
#[derive(Clone)]
pub struct Executor {
    user: Arc<User>,
}

/// The user's half, counted apart from what workers and fibers hold.
struct User {
    shared: Arc<Shared>,
}

impl Drop for User {
    fn drop(&mut self) {
        // Without a deadline it does not fail.
        let _ = self.shared.close(Close::Cancel, None);
    }
}

impl Default for Executor {
    fn default() -> Self {
        Executor::new()
    }
}

impl Executor {
    /// An executor without workers, with places for 64.
    pub fn new() -> Self {
        Executor::with_places(MOST_WORKERS)
    }

    /// An executor without workers, with places for `most_workers`, one at least.
    pub fn with_places(most_workers: usize) -> Self {
        Executor {
            user: Arc::new(User {
                shared: Arc::new(Shared::new(most_workers.max(1))),
            }),
        }
    }

    /// An executor with `workers` workers on threads that `host` provides: it
    /// is called once for each, with a name and what the thread is to run,
    /// which ends when the executor is closed.
    ///
    /// # Errors
    /// What `host` gave when it refused.
    pub fn start<E>(
        workers: usize,
        host: impl Fn(&str, Box<dyn FnOnce() + Send>) -> Result<(), E>,
    ) -> Result<Self, StartError<E>> {
        // One place more, for a thread that calls `run`.
        let executor = Executor::with_places(workers + 1);
        for index in 0..workers {
            let seat = Seat::reserve(&executor.user.shared)?;
            let body = Box::new(move || seat.occupy().run());
            // On an error the last handle goes, which closes.
            host(&format!("fibers/{index}"), body).map_err(StartError::Host)?;
        }
        Ok(executor)
    }

    /// An executor with `workers` workers on threads of `pool`, which it keeps
    /// until it is closed.
    ///
    /// # Errors
    /// What the pool refused. A pool that is full of other units would start the
    /// workers late: it should have no cap.
    pub fn on<C: WorkerContext>(
        workers: usize,
        pool: &Pool<C>,
    ) -> Result<Self, StartError<TicketError>> {
        Executor::start(workers, |name, body| {
            let unit = pool.spawn_named(name, move |_: &mut C| body());
            unit.map(Ticket::detach)
                .map_err(crate::pool::spawn_to_ticket)
        })
    }

    /// Makes this thread a worker, to be run or ticked by hand.
    ///
    /// # Errors
    /// Closed, or no place left.
    pub fn worker(&self) -> Result<ExecWorker, NoWorker> {
        Ok(Seat::reserve(&self.user.shared)?.occupy())
    }

    /// Runs `future` on this thread, which is a worker meanwhile; the future
    /// need be neither Send nor 'static. It is polled between two ticks
    /// whenever it was woken, however busy the fibers are.
    ///
    /// # Errors
    /// [`NoWorker::Closed`] if the executor is closed, or closes before the
    /// future is ready.
    pub fn run<F: Future>(&self, future: F) -> Result<F::Output, NoWorker> {
        self.worker()?.run_until(future).ok_or(NoWorker::Closed)
    }

    /// Spawns a future.
    ///
    /// # Errors
    /// The executor is closed, or there is no memory; the future comes back.
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> Result<JoinHandle<F::Output>, SpawnFiberError<F>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.builder().spawn(future)
    }

    /// A builder: name, kind, location, metadata, allocator.
    #[track_caller]
    pub fn builder(&self) -> Builder {
        Builder::new(self.user.shared.clone())
    }

    /// Is it closing, or closed?
    pub fn is_closed(&self) -> bool {
        self.user.shared.phase() != shared::OPEN
    }

    /// Closes it, and sleeps until its workers have gone; called on a thread
    /// that has one of them, it marks the executor closed and returns. Can be
    /// called again, to make a `Drain` a `Cancel`.
    ///
    /// [`Close::Drain`]: workers go on until no fiber is queued and none is being
    /// polled; those that then wait for a wake are dropped, and their handles give
    /// [`JoinError::Closed`]. A fiber that always wakes itself keeps this up.
    /// [`Close::Cancel`]: fibers are dropped at their next poll point.
    pub fn close(&self, mode: Close) {
        // Without a deadline it does not fail.
        let _ = self.user.shared.close(mode, None);
    }

    /// As [`Executor::close`], until `deadline` at most.
    ///
    /// # Errors
    /// The fibers that keep the executor from closing; it goes on closing.
    pub fn close_until(&self, mode: Close, deadline: Instant) -> Result<(), Vec<Fiber>> {
        self.user.shared.close(mode, Some(deadline))
    }

    /// Counters, each exact at some moment.
    pub fn stats(&self) -> ExecutorStats {
        let shared = &self.user.shared;
        let polled = |slot: &shared::Slot| slot.polled.load(Ordering::Relaxed);
        let is_taken = |slot: &&shared::Slot| slot.is_taken.load(Ordering::Relaxed);
        let taken = shared.slots.iter().filter(is_taken);
        ExecutorStats {
            workers: shared.workers.load(Ordering::Relaxed) as usize,
            sleeping: shared.idle.sleepers(),
            live: shared.live(),
            injected: shared.injector.len(),
            wakes: shared.idle.wakes(),
            polled: taken.map(polled).collect(),
        }
    }
}

impl std::fmt::Debug for Executor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.stats().fmt(f)
    }
}

impl Spawn for Executor {
    fn spawn_obj(&self, future: FutureObj<'static, ()>) -> Result<(), FuturesSpawnError> {
        match self.spawn(future) {
            Ok(handle) => {
                handle.detach();
                Ok(())
            }
            Err(_) => Err(FuturesSpawnError::shutdown()),
        }
    }

    fn status(&self) -> Result<(), FuturesSpawnError> {
        if self.is_closed() {
            Err(FuturesSpawnError::shutdown())
        } else {
            Ok(())
        }
    }
}

/// The fiber that this thread polls; None outside of polls.
pub fn current_task() -> Option<Fiber> {
    shared::current_fiber().map(Fiber)
}

/// Spawns on the executor whose worker this thread is ticking.
///
/// # Errors
/// As [`Executor::spawn`]; or the thread ticks no worker.
#[track_caller]
pub fn spawn<F>(future: F) -> Result<JoinHandle<F::Output>, SpawnFiberError<F>>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    match shared::own() {
        Some(own) => Builder::new(own.shared.clone()).spawn(future),
        None => Err(SpawnFiberError::NoWorker(future)),
    }
}

/// Spawns a future that stays on the worker this thread is ticking; it need not be Send.
///
/// # Errors
/// As [`ExecWorker::spawn_local`]; or the thread ticks no worker.
#[track_caller]
pub fn spawn_local<F>(future: F) -> Result<JoinHandle<F::Output>, SpawnFiberError<F>>
where
    F: Future + 'static,
{
    match shared::own() {
        Some(own) => {
            let builder = Builder::new(own.shared.clone());
            builder.make(future, Some(own.worker), Global)
        }
        None => Err(SpawnFiberError::NoWorker(future)),
    }
}
