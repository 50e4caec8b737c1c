//! The host's CPUs, as guests see them.

use std::sync::OnceLock;

/// Words of a CPU mask we handle: 1024 CPUs, as cpu_set_t.
pub const WORDS: usize = 16;

/// The CPUs the host process may use, read once: guests' sets lie within it.
pub fn available() -> &'static [u64] {
    static CPUS: OnceLock<[u64; WORDS]> = OnceLock::new();
    CPUS.get_or_init(of_this_thread)
}

/// The CPUs the calling host thread may use.
pub(crate) fn of_this_thread() -> [u64; WORDS] {
    let mut cpus = [0u64; WORDS];
    // SAFETY: the kernel writes at most the given number of bytes.
    let got = unsafe {
        libc::syscall(
            libc::SYS_sched_getaffinity,
            0,
            size_of_val(&cpus),
            cpus.as_mut_ptr(),
        )
    };
    if got <= 0 {
        cpus[0] = 1;
    }
    cpus
}

/// How many there are.
pub fn count() -> u32 {
    available().iter().map(|word| word.count_ones()).sum()
}

/// Bytes of a mask, as sched_getaffinity(2) reports them: whole words up to the last CPU.
pub fn mask_bytes() -> usize {
    let last = available().iter().rposition(|&word| word != 0).unwrap_or(0);
    (last + 1) * 8
}

/// Restricts a thread of this host process; 0: the calling one. A refusal by the host leaves the
/// thread where it may run already.
pub(crate) fn set(host_tid: i32, cpus: &[u64]) {
    // SAFETY: the kernel reads the given number of bytes.
    unsafe {
        libc::syscall(
            libc::SYS_sched_setaffinity,
            host_tid,
            size_of_val(cpus),
            cpus.as_ptr(),
        )
    };
}

/// The CPU this host thread runs on.
pub fn current() -> u32 {
    // SAFETY: no memory is involved.
    u32::try_from(unsafe { libc::sched_getcpu() }).unwrap_or(0)
}
