//! Threads for kernel-side work.

mod context;
pub mod current;
mod error;
pub mod first;
pub mod lane;
mod panics;
mod ticket;

pub use context::{NoContext, WorkerContext};
pub use error::{Payload, SpawnError, TicketError, payload_text};
pub use lane::{InsertError, Lane, LaneError, LaneKey, LaneStats, Lanes, Service, Stage, StreamId};
pub use ticket::{Outcome, Ticket};
