//! Threads for kernel-side work.

mod context;
pub mod current;
#[cfg(not(rivix_model))]
mod doorbell;
mod error;
pub mod first;
mod panics;
#[cfg(not(rivix_model))]
pub mod reactor;
#[cfg_attr(
    rivix_model,
    allow(dead_code, reason = "models do without the reactor")
)]
mod rings;
mod ticket;

pub use context::{NoContext, WorkerContext};
#[cfg(not(rivix_model))]
pub use doorbell::Doorbell;
pub use error::{Payload, SpawnError, TicketError, payload_text};
#[cfg(not(rivix_model))]
pub use reactor::{Reactor, ReactorError, StableFd, Watch, WatchError};
pub use ticket::{Outcome, Ticket};
