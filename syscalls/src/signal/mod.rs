//! Signals.

mod action;
mod altstack;
mod mask;
mod send;
mod wait;

pub use action::rt_sigaction;
pub use altstack::{rt_sigreturn, sigaltstack};
pub use mask::{rt_sigpending, rt_sigprocmask, rt_sigsuspend};
pub use send::{kill, rt_sigqueueinfo, rt_tgsigqueueinfo, tgkill, tkill};
pub use wait::{restart_syscall, rt_sigtimedwait};

use rivix_abi::Errno;

/// Every signal set here is 64 bits; anything else is another ABI's.
pub(crate) fn check_size(size: usize) -> Result<(), Errno> {
    if size == size_of::<u64>() {
        Ok(())
    } else {
        Err(Errno::EINVAL)
    }
}
