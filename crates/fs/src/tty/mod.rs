//! Terminals of our own: pseudo-terminals with Linux's line discipline (pty(7)).
//!
//! - [`Pair`]: master, slave and what is between them; [`Master`] and [`Slave`] are
//!   the open files, `requests.rs` their ioctls.
//! - `discipline`: what becomes of the bytes. `settings.rs`: termios.
//! - [`Ptys`]: the pairs that exist; `devpts.rs`: their names.
//! - [`TerminalHost`]: whom a terminal tells. Sessions, groups and who is in front
//!   are the kernel's knowledge, not the terminal's.
//!
//! Nothing here sleeps, and signals leave only when no lock is held.

mod devpts;
mod discipline;
mod master;
mod pair;
mod ptys;
mod requests;
mod settings;
mod slave;

pub(crate) use devpts::{new_root, open_master, slave_node};
pub use discipline::ReadPlan;
pub use master::Master;
pub use pair::Pair;
pub(crate) use pair::{device_of, index_of};
pub(crate) use ptys::Ptys;
pub use slave::Slave;

use crate::File;
use rivix_abi::Signal;

/// The kernel, as terminals see it. Terminals are named by device number, as
/// sessions name them. Called without locks.
pub trait TerminalHost: Send + Sync {
    /// The terminal of a process; None: it has none.
    fn terminal_of(&self, pid: i32) -> Option<u64>;

    /// A key, a new window size: to the foreground group of the session that has
    /// the terminal.
    fn signal_foreground(&self, device: u64, signal: Signal);

    /// The terminal is gone: its session loses it, and the session's leader hears
    /// of that.
    fn hang_up(&self, device: u64);
}

/// A file that is a terminal of ours.
pub enum Terminal<'a> {
    Master(&'a Master),
    Slave(&'a Slave),
}

impl<'a> Terminal<'a> {
    pub fn of(file: &'a File) -> Option<Terminal<'a>> {
        let master = file.downcast().map(Terminal::Master);
        master.or_else(|| file.downcast().map(Terminal::Slave))
    }

    /// The slave's device number: whose session and groups requests on either side
    /// are about.
    pub fn device(&self) -> u64 {
        match self {
            Terminal::Master(master) => master.pair().device(),
            Terminal::Slave(slave) => slave.pair().device(),
        }
    }
}
