//! The descriptor family: duplicating, closing, controlling.

mod close;
mod dup;
mod fcntl;
mod ioctl;

pub use close::*;
pub use dup::*;
pub use fcntl::*;
pub use ioctl::ioctl;
