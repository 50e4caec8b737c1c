//! The directory family: names, links, the current directory, mounts.

mod access;
mod cwd;
mod getdents64;
mod link;
mod mount;
mod names;

pub use access::*;
pub use cwd::*;
pub use getdents64::*;
pub use link::*;
pub use mount::*;
pub use names::*;
