//! Threads for kernel-side work.
//!
//! # Invariants of the unsafe code
//! - **H1** raw host calls get initialised structures that live through the call.

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
