//! The system itself: its name, its state, its randomness.

mod uname;

pub use uname::uname;
