//! Running and dropping other people's code without being taken down by it.

use crate::Payload;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `f`; what it panicked with, if it did.
pub(crate) fn catch<R>(f: impl FnOnce() -> R) -> Result<R, Payload> {
    catch_unwind(AssertUnwindSafe(f))
}

/// Drops a value whose drop may panic; the payloads of such panics are dropped
/// in the same way, and leaked when even that does not end.
pub(crate) fn drop_quietly<T>(value: T) {
    let mut next = match catch(move || drop(value)) {
        Ok(()) => return,
        Err(payload) => payload,
    };
    for _ in 0..8 {
        match catch(move || drop(next)) {
            Ok(()) => return,
            Err(payload) => next = payload,
        }
    }
    std::mem::forget(next);
}
