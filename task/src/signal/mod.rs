//! Signals: queues, dispositions, sending, delivery, frames.

pub mod actions;
pub(crate) mod core;
mod core_file;
mod deliver;
pub(crate) use deliver::Next;
pub(crate) mod frame;
pub mod queue;
pub(crate) mod room;
pub(crate) mod send;
pub(crate) mod state;

pub use actions::SignalActions;
pub use queue::SignalQueue;
pub use send::SendTo;
