//! Host calls that can block.

use rivix_abi::Errno;
use rivix_sync::hostcall::{self, HostError};

/// A host call that a kick of the calling task ends with EINTR.
pub(crate) fn interruptible(number: i64, args: [usize; 6]) -> Result<usize, Errno> {
    // SAFETY: F1, callers pass live buffers with their true length.
    let result = unsafe { hostcall::interruptible(number, args) };
    result.map_err(|error| match error {
        HostError::Kicked => Errno::EINTR,
        HostError::Errno(raw) => Errno::from_host(raw),
    })
}
