//! Threads for kernel-side work.
//!
//! # Invariants of the unsafe code
//! - **H1** raw host calls get initialised structures that live through the call.

mod asynchronous;
mod class;
mod context;
mod creator;
pub mod current;
mod dynamic;
mod error;
#[doc(hidden)]
pub mod fault;
pub mod first;
mod host;
mod mailbox;
mod name;
mod panics;
mod pool;
mod ticket;
mod unit;

pub use class::{Class, Role};
pub use context::{NoContext, WorkerContext};
pub use creator::Creator;
pub use dynamic::DynamicThreadSpawner;
pub use error::{Payload, SpawnError, TicketError, payload_text};
pub use name::Name;
pub use pool::{Close, Full, Pool, PoolBuilder, PoolError, PoolKey, PoolStats, Pools, Stuck};
pub use ticket::{Outcome, Ticket};
