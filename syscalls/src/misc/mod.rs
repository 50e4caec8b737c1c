//! The system itself and what fits nowhere else: its name, its state, its
//! randomness, prctl, the RISC-V calls, and those only an administrator may make.

mod admin;
mod getrandom;
mod membarrier;
mod prctl;
mod riscv;
mod rseq;
mod seccomp;
mod sysinfo;
mod uname;

pub use admin::*;
pub use getrandom::getrandom;
pub use membarrier::membarrier;
pub use prctl::{personality, prctl};
pub use riscv::{riscv_flush_icache, riscv_hwprobe};
pub use rseq::rseq;
pub use seccomp::seccomp;
pub use sysinfo::sysinfo;
pub use uname::{setdomainname, sethostname, uname};
