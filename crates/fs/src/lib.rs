//! Files as guests see them: descriptor tables, mounts, and every object a
//! descriptor can name.
//!
//! - [`FdTable`] maps numbers to [`File`]s, the open file descriptions.
//! - [`FileOps`] is what an open file can do; it never blocks. EAGAIN plus a wait
//!   queue says "sleep and try again", and only `task` sleeps.
//! - [`Node`] is a file system object, [`Place`] a node and where it was found,
//!   [`Namespace`] the mounts, [`Lookup`] the path walk, [`FsContext`] a process's
//!   current directory, root and umask.
//! - [`ProcInfo`] is what procfs asks the kernel; [`tty::TerminalHost`] whom
//!   terminals tell of keys and hang-ups.
//!
//! **Invariants**
//! - F1: a host call gets only pointers to buffers this crate owns for the whole
//!   call, with their true length, or NUL-terminated strings; never guest memory.
//! - F2: a host descriptor is owned by exactly one `OwnedFd`, opened close-on-exec
//!   and charged to the namespace's budget.
//! - F3: no host open is handed out before its file system was checked: the host's
//!   procfs and kernel file systems are refused however they were reached.
//! - F4: nothing here changes the host process's cwd, umask, root or signal state.
//! - Absent on purpose: guest pointers (see `Sink`, `Source`), sleeping, signals.

pub mod anon;
pub mod context;
mod devfs;
pub mod epoll;
pub mod eventfd;
pub mod fdtable;
pub mod file;
pub mod host;
mod hostcall;
pub mod io;
pub mod locks;
pub mod lookup;
pub mod mount;
pub mod node;
pub mod pipe;
mod procfs;
pub mod procinfo;
mod pseudo;
mod reactor;
mod sysfs;
pub mod timerfd;
pub mod tmpfs;
pub mod tty;
pub mod unix;

pub use context::{Caller, FsContext};
pub use fdtable::{FdTable, Reservation};
pub use file::{File, FileOps, SeekFrom};
pub use io::{Sink, SliceSource, Source, UserBuffers, VecSink};
pub use lookup::Lookup;
pub use mount::{Mount, MountError, MountKind, MountSpec, Namespace, NamespaceConfig, SpawnFn};
pub use node::{Follow, Node, NodeRef, Place};
pub use procinfo::{ProcInfo, ProcSnapshot, SystemSnapshot, ThreadSnapshot};
