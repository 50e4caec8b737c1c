//! Serial services: state that lives on one thread, and a channel of closures to it.
//!
//! A [`Service`] is state that one thread at a time may touch: a wheel of timers, a
//! terminal's line discipline, a sink of trace records. A [`Lane`] is the handle to
//! one. Its state is made on, stays on and is dropped on one dedicated thread, the
//! lane's *runner*; others send it closures, which run one after the other.
//!
//! ```
//! use rivix_spawner::lane::{Close, Lane, LaneKey, Lanes, Service};
//!
//! struct Counter(u64);
//!
//! impl Service for Counter {
//!     type Utilities = ();
//!     fn init(_key: LaneKey) -> Self {
//!         Counter(0)
//!     }
//!     fn utilities(&self) {}
//! }
//!
//! # fn host(name: &str, body: Box<dyn FnOnce() + Send>) -> Result<rivix_spawner::lane::Join, nix::errno::Errno> {
//! #     let thread = std::thread::Builder::new().name(name.into()).spawn(body);
//! #     let thread = thread.map_err(|_| nix::errno::Errno::EAGAIN)?;
//! #     Ok(Box::new(move || drop(thread.join())))
//! # }
//! // `host` starts a thread: of a pool, or of one's own.
//! let lanes = Lanes::new(host);
//! let lane = Lane::<Counter>::new(&lanes, LaneKey::new("counter", 0)).unwrap();
//!
//! // Fire and forget; units of one thread run in their order.
//! lane.submit(|counter| counter.0 += 1).unwrap();
//!
//! // Wait for the result, borrowing from this stack.
//! let mut seen = Vec::new();
//! lane.call(|counter| seen.push(counter.0)).unwrap();
//! assert_eq!(seen, [1]);
//!
//! lane.close(Close::Drain).unwrap();
//! assert!(lane.submit(|_| ()).is_err());
//! ```
//!
//! # What runs where
//!
//! | called | on other threads | on the lane's own runner |
//! |---|---|---|
//! | [`Lane::submit`] | queued; sleeps while the lane is full | queued behind; never sleeps |
//! | [`Lane::try_submit`] | queued, or counted as dropped | the same |
//! | [`Lane::call`] | queued; sleeps until done | another service: at once; the same: `WouldDeadlock` |
//! | [`Lane::exclusive`] | queued; sleeps until done | at once |
//! | [`Lane::barrier`], [`Lane::close`] | sleeps until done | `WouldDeadlock` |
//! | [`Lane::new`], [`Lane::insert`] | made on the runner, once | made at once |
//! | [`Lane::utilities`] | a shared handle, no waiting | the same |
//!
//! Several services of different types under one [`LaneKey`] (and stage) share one
//! runner. A lane is [`Stage::Upstream`] or [`Stage::Downstream`]: upstream runners
//! may wait for downstream lanes, never the reverse; debug builds check it.
//!
//! A panic in a unit ends that unit alone: a `call` gets the payload, a `submit`
//! is reported once and counted. The state stays as the panic left it.
//!
//! # Invariants
//!
//! Files here name theirs: L1 to L7 (slots, `slot.rs` and `store.rs`, the only
//! `unsafe` code besides `scoped.rs`), R1 to R3 (who sleeps and who wakes,
//! `ring.rs`), C1 to C4 (borrowed calls, `scoped.rs`), I1 to I3 (services are made
//! once, `cells.rs`). Absent on purpose: polling. A runner looks again for a moment
//! after work, then parks until somebody publishes a unit or a deadline comes.

mod cells;
mod lanes;
mod local;
mod ring;
mod runner;
mod scoped;
mod sleeper;
mod slot;
mod store;
mod stream;

#[cfg(all(test, rivix_loom))]
mod model;
#[cfg(all(test, not(rivix_model)))]
mod tests;

pub use lanes::{DEFAULT_CAPACITY, Lanes};
pub use runner::Join;
pub use stream::StreamId;

pub use crate::Close;
use crate::{Outcome, SpawnError, TicketError};
use cells::Found;
use local::Post;
use nix::errno::Errno;
use rivix_sync::assert_no_lock_held;
use rivix_sync::sys::atomic::Ordering;
use runner::Shared;
use std::any::TypeId;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Instant;
use store::Refusal;

/// Who waits for whom: upstream may wait for downstream, never the reverse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Nearer to the callers: parses, decides.
    Upstream,
    /// Nearer to the device: does.
    Downstream,
}

/// Which lane of a set: a name and a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneKey {
    pub name: &'static str,
    pub index: u32,
}

impl LaneKey {
    pub const fn new(name: &'static str, index: u32) -> Self {
        LaneKey { name, index }
    }

    fn thread_name(self, stage: Stage) -> String {
        let stage = match stage {
            Stage::Upstream => 'u',
            Stage::Downstream => 'd',
        };
        format!("{}/{}{stage}", self.name, self.index)
    }
}

/// State that lives on a lane. It need not be `Send`: it never leaves its runner.
pub trait Service: Sized + 'static {
    /// What handles share without going through the runner: counters, limits, an
    /// allocator.
    type Utilities: Send + Sync + 'static;

    /// Which of the key's two lanes it lives on.
    const STAGE: Stage = Stage::Downstream;

    /// Makes the state, on the runner. May use other services, of this lane too.
    fn init(key: LaneKey) -> Self;

    /// Asked once, after the state was made.
    fn utilities(&self) -> Self::Utilities;

    /// When the runner shall call [`Service::on_deadline`], if ever. Asked after
    /// each batch of units, before the runner sleeps.
    fn next_deadline(&mut self) -> Option<Instant> {
        None
    }

    /// The deadline has come. It moves the deadline on, or is called again at once.
    fn on_deadline(&mut self) {}
}

/// Why there is no handle, or no end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LaneError {
    /// The set, or the lane, is closed.
    #[error("the lane is closed")]
    Closed,
    /// A service of this type is there already.
    #[error("the lane has such a service already")]
    Live,
    /// This thread would wait for itself.
    #[error("the runner would wait for itself")]
    WouldDeadlock,
    /// The service panicked while it was made; the next who asks tries again.
    #[error("the service panicked while it was made: {0}")]
    InitPanicked(Arc<str>),
    /// No thread could be had.
    #[error("the host refused a thread: {0}")]
    NoThread(Errno),
    /// The time was up before the runner had ended.
    #[error("the runner is still busy")]
    TimedOut,
}

/// Why a service was not put on its lane.
#[derive(thiserror::Error)]
#[error("{error}")]
pub struct InsertError<S> {
    pub error: LaneError,
    /// The service, unless it was dropped on the runner by a panic of its own.
    pub service: Option<S>,
}

impl<S> std::fmt::Debug for InsertError<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("InsertError").field(&self.error).finish()
    }
}

/// Counts of one lane since it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneStats {
    pub key: LaneKey,
    pub stage: Stage,
    /// Units that ran.
    pub run: u64,
    /// Batches they came in.
    pub batches: u64,
    /// Submitted units, and hooks, that panicked.
    pub panicked: u64,
    /// Units that [`Lane::try_submit`] dropped.
    pub dropped: u64,
    /// Is it there, or has it ended?
    pub is_open: bool,
}

impl LaneStats {
    fn add(&mut self, other: &LaneStats) {
        self.run += other.run;
        self.batches += other.batches;
        self.panicked += other.panicked;
        self.dropped += other.dropped;
    }
}

/// A handle to a service. Cloning it is cheap; it may be used from any thread.
///
/// The service lives until its lane is closed, whether or not handles exist.
pub struct Lane<S: Service> {
    shared: Arc<Shared>,
    utilities: Arc<S::Utilities>,
    // A handle holds no S: it is Send and Sync whatever S is.
    _service: PhantomData<fn(S)>,
}

impl<S: Service> Clone for Lane<S> {
    fn clone(&self) -> Self {
        Lane {
            shared: self.shared.clone(),
            utilities: self.utilities.clone(),
            _service: PhantomData,
        }
    }
}

impl<S: Service> std::fmt::Debug for Lane<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lane")
            .field("key", &self.shared.key)
            .field("stage", &self.shared.stage)
            .finish_non_exhaustive()
    }
}

impl<S: Service> Lane<S> {
    /// A handle to the service under `key`, which is made by [`Service::init`] on the
    /// runner if it is not there; many who ask at once get the same one.
    ///
    /// # Errors
    /// [`LaneError::InitPanicked`] for all who waited for the same attempt;
    /// [`LaneError::WouldDeadlock`] from inside that service's own `init`;
    /// [`LaneError::NoThread`]; [`LaneError::Closed`] when the set is closed.
    pub fn new(lanes: &Lanes, key: LaneKey) -> Result<Self, LaneError> {
        Self::open(lanes, key, &mut Some(move || S::init(key)), false)
    }

    /// Puts a service there that was made elsewhere.
    ///
    /// # Errors
    /// As [`Lane::new`], and [`LaneError::Live`] if there is one already; the service
    /// comes back unless its own `utilities` panicked.
    pub fn insert(lanes: &Lanes, key: LaneKey, service: S) -> Result<Self, InsertError<S>>
    where
        S: Send,
    {
        let mut make = Some(move || service);
        Self::open(lanes, key, &mut make, true).map_err(|error| InsertError {
            error,
            service: make.take().map(|make| make()),
        })
    }

    fn open<M: FnOnce() -> S + Send>(
        lanes: &Lanes,
        key: LaneKey,
        make: &mut Option<M>,
        must_be_new: bool,
    ) -> Result<Self, LaneError> {
        loop {
            let shared = lanes.find(key, S::STAGE)?;
            let is_here = shared.is_here();
            if !is_here {
                assert_no_lock_held("opening a lane");
                lanes::may_wait(S::STAGE, "opening a lane");
            }
            let result = match shared.cells.find(TypeId::of::<S>()) {
                Found::Ready(utilities) => Ok(utilities),
                // Another thread's request is in the queue behind us, or we are inside it.
                Found::Starting(_) if is_here => Self::make_here(make),
                Found::Starting(attempt) => attempt.wait().unwrap_or(Err(LaneError::Closed)),
                Found::Mine(starter) => {
                    let made = if is_here {
                        Self::make_here(make)
                    } else {
                        let made = scoped::run(&shared.ring, |local: &local::Local| {
                            Ok(local.make::<S, M>(make))
                        });
                        made.unwrap_or(Err(LaneError::Closed))
                            .map(|utilities| utilities as runner::Utilities)
                    };
                    starter.end(made.clone());
                    made
                }
            };
            match result {
                Ok(_) if must_be_new && make.is_some() => return Err(LaneError::Live),
                Ok(utilities) => {
                    let Ok(utilities) = utilities.downcast::<S::Utilities>() else {
                        return Err(LaneError::Closed);
                    };
                    return Ok(Lane {
                        shared,
                        utilities,
                        _service: PhantomData,
                    });
                }
                // The lane closed under us: the next one, unless the host has none.
                Err(LaneError::Closed) if !is_here && shared.ring.is_closed() => {
                    if let error @ LaneError::NoThread(_) = shared.why_closed() {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn make_here<M: FnOnce() -> S>(make: &mut Option<M>) -> Result<runner::Utilities, LaneError> {
        let local = local::current().ok_or(LaneError::Closed)?;
        let utilities = local.make::<S, M>(make)?;
        Ok(utilities)
    }

    /// Sends `task` to run with the service's state. Sleeps while the lane is full;
    /// those who sleep get in in their order. From the lane's own runner it never
    /// sleeps. It runs soon, whether or not more follows.
    ///
    /// # Errors
    /// The closure comes back: `Closed`, or `Full` when a downstream runner submits
    /// to an upstream lane that is full, for which it must not wait.
    #[inline]
    pub fn submit<F>(&self, task: F) -> Result<(), SpawnError<F>>
    where
        F: FnOnce(&mut S) + Send + 'static,
    {
        let here = stream::here();
        let unit = Post::<S, F>::new(task);
        if here.lane == 0 {
            return match self.shared.ring.push_wait(here.stream, unit) {
                Ok(()) => Ok(()),
                Err(unit) => Err(SpawnError::Closed(unit.task)),
            };
        }
        self.submit_from_runner(here, unit)
    }

    #[cold]
    fn submit_from_runner<F>(
        &self,
        here: stream::Here,
        unit: Post<S, F>,
    ) -> Result<(), SpawnError<F>>
    where
        F: FnOnce(&mut S) + Send + 'static,
    {
        let shared = &self.shared;
        let pushed = if here.lane != shared.id() {
            if shared.stage == Stage::Upstream && lanes::is_downstream() {
                match shared.ring.push(here.stream, unit) {
                    Ok(()) => Ok(()),
                    Err((Refusal::Full, unit)) => return Err(SpawnError::Full(unit.task)),
                    Err((Refusal::Closed, unit)) => Err(unit),
                }
            } else {
                shared.ring.push_wait(here.stream, unit)
            }
        } else if let Some(local) = local::current() {
            local.submit(here.stream, unit)
        } else {
            Err(unit)
        };
        pushed.map_err(|unit| SpawnError::Closed(unit.task))
    }

    /// As [`Lane::submit`], but never sleeps: when the lane is full or closed, `task`
    /// is dropped and counted ([`LaneStats::dropped`]), and the answer is false.
    #[inline]
    pub fn try_submit<F>(&self, task: F) -> bool
    where
        F: FnOnce(&mut S) + Send + 'static,
    {
        let here = stream::here();
        let is_behind = here.lane == self.shared.id()
            && local::current().is_some_and(|local| local.has_overflow());
        let unit = Post::<S, F>::new(task);
        let refused = if is_behind {
            // What this thread submitted before waits for a slot still.
            unit
        } else {
            match self.shared.ring.push(here.stream, unit) {
                Ok(()) => return true,
                Err((_, unit)) => unit,
            }
        };
        self.shared.counts.dropped.fetch_add(1, Ordering::Relaxed);
        drop(refused);
        false
    }

    /// Runs `task` with the service's state and returns what it returns. It may borrow
    /// from the caller, who sleeps until the closure and all its borrows are gone;
    /// it is not timed out, nor cancelled otherwise than by the lane's close. What
    /// this thread submitted before has run by then.
    ///
    /// # Errors
    /// `Panicked` with the payload; `Closed`: `task` was dropped unrun;
    /// `WouldDeadlock`: this thread is inside a unit of this service.
    pub fn call<R, F>(&self, task: F) -> Outcome<R>
    where
        R: Send,
        F: FnOnce(&mut S) -> R + Send,
    {
        if self.shared.is_here() {
            return match local::current() {
                Some(local) => local.act_inline::<S, R>(task),
                None => Err(TicketError::Closed),
            };
        }
        lanes::may_wait(S::STAGE, "a call");
        scoped::run(&self.shared.ring, |local: &local::Local| {
            local.act::<S, R>(task)
        })
    }

    /// Runs `task` on the runner, between two units, without the service's state.
    ///
    /// # Errors
    /// As [`Lane::call`], without `WouldDeadlock`: on the runner it runs at once.
    pub fn exclusive<R, F>(&self, task: F) -> Outcome<R>
    where
        R: Send,
        F: FnOnce() -> R + Send,
    {
        if self.shared.is_here() {
            return scoped::guarded(|| Ok(task()));
        }
        lanes::may_wait(S::STAGE, "an exclusive call");
        scoped::run(&self.shared.ring, |_: &local::Local| Ok(task()))
    }

    /// Returns when everything that any thread has submitted before has ended.
    ///
    /// # Errors
    /// `WouldDeadlock` on the runner; `Closed`.
    pub fn barrier(&self) -> Outcome<()> {
        if self.shared.is_here() {
            return Err(TicketError::WouldDeadlock);
        }
        self.exclusive(|| ())
    }

    /// Wakes the runner now, if it sleeps. Submitting does that by itself; this is
    /// for those who want to be sure.
    pub fn flush(&self) {
        self.shared.ring.wake();
    }

    /// The service's shared handle, read without going through the runner.
    pub fn utilities(&self) -> &Arc<S::Utilities> {
        &self.utilities
    }

    /// Which lane this is.
    pub fn key(&self) -> LaneKey {
        self.shared.key
    }

    /// Is the lane closed, or closing?
    pub fn is_closed(&self) -> bool {
        self.shared.ring.is_closed()
    }

    /// The lane's counts, for all its services.
    pub fn stats(&self) -> LaneStats {
        self.shared.stats()
    }

    /// Closes the whole lane, with all its services: it takes nothing more; what it
    /// holds is run or dropped; then the services are dropped, the last made first.
    /// Returns when the runner's thread is gone. Who then asks for the key gets a
    /// fresh runner and fresh state.
    ///
    /// # Errors
    /// [`LaneError::WouldDeadlock`] on the runner: nothing was closed.
    pub fn close(&self, mode: Close) -> Result<(), LaneError> {
        self.close_until(mode, None)
    }

    /// As [`Lane::close`], waiting until `deadline` at most.
    ///
    /// # Errors
    /// [`LaneError::TimedOut`]: the lane is closed and ends when it can; the call may
    /// be repeated.
    pub fn close_until(&self, mode: Close, deadline: Option<Instant>) -> Result<(), LaneError> {
        if self.shared.is_here() {
            return Err(LaneError::WouldDeadlock);
        }
        assert_no_lock_held("closing a lane");
        lanes::may_wait(S::STAGE, "closing a lane");
        self.shared.ring.close(mode);
        if self.shared.wait_joined(deadline) {
            Ok(())
        } else {
            Err(LaneError::TimedOut)
        }
    }
}
