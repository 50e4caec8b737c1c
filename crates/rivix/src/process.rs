//! What a guest inherits of the host process. Reads only; nothing here changes
//! the host process.

use crate::command::Limits;
use rivix_abi::resource::{Resource, Rlimit};

/// The host process's limits.
pub(crate) fn limits() -> Limits {
    let mut limits = [Rlimit::UNLIMITED; Resource::COUNT];
    for resource in Resource::ALL {
        let mut value = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: L1, `value` is plain bytes that the kernel fills.
        let result = unsafe { libc::getrlimit(resource as libc::__rlimit_resource_t, &mut value) };
        if result == 0 {
            limits[resource as usize] = Rlimit {
                cur: value.rlim_cur,
                max: value.rlim_max,
            };
        }
    }
    limits
}

/// The host process's umask. umask(2) cannot tell it without changing it, so
/// it is read from /proc; 022 where that is not possible.
pub(crate) fn umask() -> u32 {
    const USUAL: u32 = 0o022;
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else {
        return USUAL;
    };
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    line.and_then(|text| u32::from_str_radix(text.trim(), 8).ok())
        .unwrap_or(USUAL)
}
