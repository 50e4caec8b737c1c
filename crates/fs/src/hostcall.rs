//! Host calls that can block.

use rivix_abi::Errno;

/// A host call that a kick of the calling task ends with EINTR.
pub(crate) fn interruptible(number: i64, args: [usize; 6]) -> Result<usize, Errno> {
    // SAFETY: F1, callers pass live buffers with their true length.
    let result =
        unsafe { libc::syscall(number, args[0], args[1], args[2], args[3], args[4], args[5]) };
    usize::try_from(result).map_err(|_| Errno::last_host())
}
