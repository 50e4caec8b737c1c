//! Threads for kernel-side work.
//!
//! One primitive: hand a unit of work to one parked host thread, or have the
//! creator make a thread that is born holding it. The rest is policy.
//!
//! | word | meaning |
//! |---|---|
//! | [`Creator`] | the only thread that makes threads; workers inherit from it, never from a caller |
//! | worker | a host thread: starting, running, idle, retiring, joined |
//! | [`Pool`] | workers of one kind, with limits on how many stay and how many run |
//! | work | a one-shot closure: [`Pool::spawn`], [`Pool::spawn_nowait`], [`Pool::run`], [`Pool::spawn_async`] |
//! | [`Ticket`] | the completion handle: a future, a thing to wait on, to cancel, to let go |
//! | [`WorkerContext`] | what each worker carries and each unit receives |
//! | [`DynamicThreadSpawner`] | a pool, its creator and its class pools, as a kernel holds them |
//! | [`rivix_sync::Parker`] | the only way to sleep |
//!
//! Lock order: a caller's interlock, then a pool, then a worker, then a ticket.
//! No lock is held while a thread is made or joined, a unit runs or is dropped,
//! or a waker is called.
//!
//! ```
//! use rivix_spawner::{Close, Creator, Full, NoContext, Pool};
//!
//! let creator = Creator::start()?;
//! let pool = Pool::<NoContext>::builder(&creator, ()).cap(2, Full::Queue).build()?;
//! let ticket = pool.spawn(|_| 6 * 7)?;
//! assert_eq!(ticket.wait()?, 42);
//! pool.close(Close::Drain);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Invariants of the unsafe code
//! - **H1** raw host calls get initialised structures that live through the call.
#![doc = ""]
#![doc = include_str!("../TESTS.md")]

mod asynchronous;
mod class;
mod context;
mod creator;
pub mod current;
#[cfg(not(rivix_model))]
mod doorbell;
mod dynamic;
mod error;
pub mod executor;
#[doc(hidden)]
pub mod fault;
mod host;
mod job;
pub mod lane;
mod mailbox;
mod name;
mod panics;
mod pool;
#[cfg(not(rivix_model))]
pub mod reactor;
#[cfg_attr(
    rivix_model,
    allow(dead_code, reason = "models do without the reactor")
)]
mod rings;
mod ticket;
mod timers;
mod unit;

pub use class::{Class, Role};
pub use context::{NoContext, WorkerContext};
pub use creator::Creator;
#[cfg(not(rivix_model))]
pub use doorbell::Doorbell;
pub use dynamic::DynamicThreadSpawner;
pub use error::{Payload, SpawnError, TicketError, payload_text};
pub use executor::{Executor, Fiber};
pub use job::{
    Interlock, InterlockGuard, Job, JobPhase, JobStatus, Running, Scheduled, WouldDeadlock,
};
pub use lane::{InsertError, Lane, LaneError, LaneKey, LaneStats, Lanes, Service, Stage, StreamId};
pub use name::Name;
pub use pool::{Close, Full, Pool, PoolBuilder, PoolError, PoolKey, PoolStats, Pools, Stuck};
#[cfg(not(rivix_model))]
pub use reactor::{Reactor, ReactorError, StableFd, Watch, WatchError};
pub use ticket::{Outcome, Ticket};
pub use timers::{Expire, TimerId, Timers};
