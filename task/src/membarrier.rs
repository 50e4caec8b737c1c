//! A memory barrier on every running thread of this host process.

use rivix_abi::Errno;
use std::sync::OnceLock;

/// linux/membarrier.h.
const GLOBAL: i32 = 1;
const PRIVATE_EXPEDITED: i32 = 8;
const REGISTER_PRIVATE_EXPEDITED: i32 = 16;

/// Returns when each of them has passed a full barrier. ENOSYS: the host has none.
pub fn all_threads() -> Result<(), Errno> {
    static IS_REGISTERED: OnceLock<bool> = OnceLock::new();
    let fast = *IS_REGISTERED.get_or_init(|| call(REGISTER_PRIVATE_EXPEDITED).is_ok());
    call(if fast { PRIVATE_EXPEDITED } else { GLOBAL })
}

fn call(command: i32) -> Result<(), Errno> {
    // SAFETY: no memory is involved.
    match unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) } {
        0 => Ok(()),
        _ => Err(Errno::last_host()),
    }
}
