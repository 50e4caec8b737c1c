//! The riscv64 Linux user ABI, as data: errnos, flag words, structure layouts,
//! user addresses. One module per family, named after Linux's own header.
//!
//! **Invariant:** nothing here touches memory or the host; every structure is
//! plain bytes with riscv64 layout, padding spelled out.

pub mod addr;
pub mod errno;
pub mod fcntl;
pub mod futex;
pub mod ioctl;
pub mod mman;
pub mod poll;
pub mod process;
pub mod resource;
pub mod rseq;
pub mod sched;
pub mod signal;
pub mod sockopt;
pub mod stat;
pub mod statfs;
pub mod termios;
pub mod time;

pub use addr::{PAGE_SIZE, UserAddress, UserData, UserRef, page_ceil};
pub use errno::Errno;
pub use signal::Signal;
