//! Why a unit was not taken, and why a unit gave no result.

use nix::errno::Errno;
use std::any::Any;

/// Why no thread is responsible for a unit. The unit comes back.
#[derive(thiserror::Error)]
pub enum SpawnError<F, E = std::convert::Infallible> {
    /// The pool is closed, or closing.
    #[error("the pool is closed")]
    Closed(F),
    /// The pool's cap is reached and its policy is not to queue.
    #[error("the pool is full")]
    Full(F),
    /// The host refused a thread and none of the pool's own will come free.
    #[error("the host refused a thread: {0}")]
    NoThread(Errno, F),
    /// A thread was made, but its [`WorkerContext`](crate::WorkerContext) could not be entered.
    #[error("the worker's context could not be entered: {0}")]
    Context(E, F),
}

impl<F, E> SpawnError<F, E> {
    /// The unit that nobody took.
    pub fn into_unit(self) -> F {
        match self {
            SpawnError::Closed(unit)
            | SpawnError::Full(unit)
            | SpawnError::NoThread(_, unit)
            | SpawnError::Context(_, unit) => unit,
        }
    }

    pub(crate) fn map<G>(self, f: impl FnOnce(F) -> G) -> SpawnError<G, E> {
        match self {
            SpawnError::Closed(unit) => SpawnError::Closed(f(unit)),
            SpawnError::Full(unit) => SpawnError::Full(f(unit)),
            SpawnError::NoThread(errno, unit) => SpawnError::NoThread(errno, f(unit)),
            SpawnError::Context(error, unit) => SpawnError::Context(error, f(unit)),
        }
    }
}

impl<F, E: std::fmt::Debug> std::fmt::Debug for SpawnError<F, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SpawnError::Closed(_) => f.write_str("Closed"),
            SpawnError::Full(_) => f.write_str("Full"),
            SpawnError::NoThread(errno, _) => f.debug_tuple("NoThread").field(errno).finish(),
            SpawnError::Context(error, _) => f.debug_tuple("Context").field(error).finish(),
        }
    }
}

/// What a panic carried.
pub type Payload = Box<dyn Any + Send + 'static>;

/// Why a unit gave no result.
#[derive(thiserror::Error)]
pub enum TicketError {
    /// Cancelled before it began (a fiber: before it was complete).
    #[error("the unit was cancelled")]
    Cancelled,
    /// The pool, lane or executor closed before the unit began.
    #[error("closed before the unit began")]
    Closed,
    /// The unit panicked.
    #[error("the unit panicked: {}", payload_text(.0))]
    Panicked(Payload),
    /// The caller is the one that would have to finish the unit.
    #[error("the caller would wait for itself")]
    WouldDeadlock,
    /// The host refused a thread.
    #[error("the host refused a thread: {0}")]
    NoThread(Errno),
    /// A thread was made, but its context could not be entered.
    #[error("the worker's context could not be entered: {0}")]
    Context(Box<dyn std::error::Error + Send + Sync>),
}

impl std::fmt::Debug for TicketError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TicketError::Cancelled => f.write_str("Cancelled"),
            TicketError::Closed => f.write_str("Closed"),
            TicketError::Panicked(payload) => f
                .debug_tuple("Panicked")
                .field(&payload_text(payload))
                .finish(),
            TicketError::WouldDeadlock => f.write_str("WouldDeadlock"),
            TicketError::NoThread(errno) => f.debug_tuple("NoThread").field(errno).finish(),
            TicketError::Context(error) => f.debug_tuple("Context").field(error).finish(),
        }
    }
}

/// The message of a panic, when it carried text.
pub fn payload_text(payload: &Payload) -> &str {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text
    } else {
        "(no text)"
    }
}
