//! Threads for kernel-side work.

mod context;
pub mod current;
mod error;
pub mod executor;
pub mod first;
mod panics;
mod ticket;

pub use context::{NoContext, WorkerContext};
pub use error::{Payload, SpawnError, TicketError, payload_text};
pub use ticket::{Outcome, Ticket};
