//! The file family: opening, reading, writing, metadata.

mod attr;
mod lock;
mod open;
pub(crate) mod rw;
mod stat;
mod sync;
pub(crate) mod terminal;
mod transfer;
mod walk;
mod xattr;

pub use attr::*;
pub use lock::*;
pub use open::*;
pub use rw::*;
pub use stat::*;
pub use sync::*;
pub use transfer::*;
pub use xattr::*;

pub(crate) use lock::{Style, get_lock, set_lock};
pub(crate) use rw::offset;
pub(crate) use walk::{at, caller, limit_nofile, place_at, walk};
