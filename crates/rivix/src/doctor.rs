//! What of this host would not work, or work less well, and the remedy.
//!
//! Every check asks the host and changes nothing: no limit, no mapping and no
//! descriptor outlives it.
//!
//! ```
//! for finding in rivix::doctor::examine() {
//!     println!("{finding}");
//! }
//! ```

use crate::host;
use std::fmt;
use std::os::fd::{FromRawFd, OwnedFd};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Nothing to do.
    Ok,
    /// Rivix runs, with a limit the finding names.
    Warn,
    /// Rivix cannot run guests here.
    Fail,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
        })
    }
}

/// The result of one check.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What was looked at, in one or two words.
    pub check: &'static str,
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do, when something should be done.
    pub remedy: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<4}  {:<18} {}", self.verdict, self.check, self.found)?;
        match &self.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

/// Runs every check.
pub fn examine() -> Vec<Finding> {
    vec![
        kernel(),
        pages(),
        cpu(),
        address_space(),
        address_limit(),
        map_count(),
        overcommit(),
        memory(),
        open_files(),
        processes(),
        threads(),
        openat2(),
        userfaultfd(),
        proc_mounted(),
    ]
}

fn finding(
    check: &'static str,
    verdict: Verdict,
    found: impl Into<String>,
    remedy: impl Into<String>,
) -> Finding {
    let remedy = (verdict != Verdict::Ok).then(|| remedy.into());
    Finding {
        check,
        verdict,
        found: found.into(),
        remedy,
    }
}

fn kernel() -> Finding {
    let release = host::release();
    let (major, minor) = host::OLDEST_KERNEL;
    let verdict = match host::parse_release(&release) {
        Some(version) if version >= host::OLDEST_KERNEL => Verdict::Ok,
        _ => Verdict::Fail,
    };
    finding(
        "kernel",
        verdict,
        format!("Linux {release}"),
        format!("Rivix needs Linux {major}.{minor} or newer"),
    )
}

fn pages() -> Finding {
    let bytes = host::page_size();
    let verdict = if bytes == host::PAGE_SIZE {
        Verdict::Ok
    } else {
        Verdict::Fail
    };
    finding(
        "page size",
        verdict,
        format!("{bytes} bytes"),
        "use a kernel with 4 KiB pages",
    )
}

fn cpu() -> Finding {
    let fma = std::arch::is_x86_feature_detected!("fma");
    let verdict = if fma { Verdict::Ok } else { Verdict::Warn };
    let found = if fma {
        "x86-64 with FMA"
    } else {
        "x86-64 without FMA"
    };
    finding(
        "processor",
        verdict,
        found,
        "fused multiply-add is computed in software: exact, but slower; no remedy but another processor",
    )
}

/// One guest process's window: the user half of Sv39.
const WINDOW: usize = 1 << 38;

/// Reserves `bytes` of addresses and gives them back at once.
fn can_reserve(bytes: usize) -> std::io::Result<()> {
    // SAFETY: L1, a fresh anonymous PROT_NONE mapping at an address the kernel
    // chooses touches nothing that exists; the pointer is only unmapped again.
    unsafe {
        let at = libc::mmap(
            std::ptr::null_mut(),
            bytes,
            libc::PROT_NONE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        );
        if at == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error());
        }
        libc::munmap(at, bytes);
    }
    Ok(())
}

fn address_space() -> Finding {
    const CHECK: &str = "address space";
    // The largest power of two that can be reserved at once, as a sign of how
    // many windows fit.
    let largest = (30..=46)
        .rev()
        .find(|&bits| can_reserve(1usize << bits).is_ok());
    match largest {
        Some(bits) if bits >= 43 => finding(
            CHECK,
            Verdict::Ok,
            "room for many 256 GiB windows, one per guest process",
            "",
        ),
        Some(bits) if 1usize << bits >= WINDOW => finding(
            CHECK,
            Verdict::Warn,
            format!("only {} GiB can be reserved at once", 1u64 << (bits - 30)),
            "guest processes get smaller windows when many run; raise the address-space limit (ulimit -v unlimited)",
        ),
        Some(bits) => finding(
            CHECK,
            Verdict::Warn,
            format!("only {} GiB can be reserved at once", 1u64 << (bits - 30)),
            "guests get a small window and programs that need more fail with ENOMEM; raise the address-space limit (ulimit -v unlimited)",
        ),
        None => finding(
            CHECK,
            Verdict::Fail,
            "not even 1 GiB of addresses can be reserved",
            "raise the address-space limit (ulimit -v unlimited)",
        ),
    }
}

fn rlimit(resource: nix::sys::resource::Resource) -> Option<u64> {
    nix::sys::resource::getrlimit(resource)
        .ok()
        .map(|(soft, _)| soft)
}

fn limit_text(limit: u64) -> String {
    if limit == nix::sys::resource::RLIM_INFINITY {
        "unlimited".into()
    } else {
        limit.to_string()
    }
}

fn limit(
    check: &'static str,
    resource: nix::sys::resource::Resource,
    good: u64,
    least: u64,
    remedy: &str,
) -> Finding {
    match rlimit(resource) {
        None => finding(check, Verdict::Warn, "cannot be read", "see getrlimit(2)"),
        Some(value) => {
            let verdict = match value {
                v if v >= good => Verdict::Ok,
                v if v >= least => Verdict::Warn,
                _ => Verdict::Fail,
            };
            finding(check, verdict, limit_text(value), remedy)
        }
    }
}

fn address_limit() -> Finding {
    limit(
        "RLIMIT_AS",
        nix::sys::resource::Resource::RLIMIT_AS,
        1 << 43,
        1 << 31,
        "guest processes get smaller windows; ulimit -v unlimited",
    )
}

fn open_files() -> Finding {
    limit(
        "RLIMIT_NOFILE",
        nix::sys::resource::Resource::RLIMIT_NOFILE,
        256,
        16,
        "each host file a guest holds open takes one descriptor; ulimit -n 4096",
    )
}

fn processes() -> Finding {
    limit(
        "RLIMIT_NPROC",
        nix::sys::resource::Resource::RLIMIT_NPROC,
        512,
        8,
        "each guest thread takes one host thread; ulimit -u 4096",
    )
}

/// The number in a one-line file of /proc/sys.
fn sysctl(path: &str) -> Option<i64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn map_count() -> Finding {
    const CHECK: &str = "vm.max_map_count";
    match sysctl("/proc/sys/vm/max_map_count") {
        None => finding(
            CHECK,
            Verdict::Warn,
            "cannot be read",
            "Rivix assumes Linux's default of 65530; mount /proc",
        ),
        Some(count) => finding(
            CHECK,
            if count >= 65_530 {
                Verdict::Ok
            } else {
                Verdict::Warn
            },
            count.to_string(),
            "guests with many mappings or threads get ENOMEM early; sysctl vm.max_map_count=65530",
        ),
    }
}

fn overcommit() -> Finding {
    const CHECK: &str = "overcommit";
    match sysctl("/proc/sys/vm/overcommit_memory") {
        Some(2) => finding(
            CHECK,
            Verdict::Warn,
            "2 (strict accounting)",
            "large guest mappings are refused by the host; sysctl vm.overcommit_memory=0",
        ),
        Some(mode) => finding(CHECK, Verdict::Ok, mode.to_string(), ""),
        None => finding(CHECK, Verdict::Warn, "cannot be read", "mount /proc"),
    }
}

fn memory() -> Finding {
    const CHECK: &str = "free memory";
    let available = std::fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| {
            let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        });
    match available {
        None => finding(CHECK, Verdict::Warn, "cannot be read", "mount /proc"),
        Some(kib) => finding(
            CHECK,
            if kib >= 128 * 1024 {
                Verdict::Ok
            } else {
                Verdict::Warn
            },
            format!("{} MiB", kib / 1024),
            "guests may be killed for lack of memory; stop other programs",
        ),
    }
}

fn threads() -> Finding {
    const CHECK: &str = "threads";
    match std::thread::Builder::new()
        .name("rivix-doctor".into())
        .spawn(|| ())
    {
        Ok(thread) => {
            // The closure cannot panic.
            let _ = thread.join();
            finding(CHECK, Verdict::Ok, "can be made", "")
        }
        Err(error) => finding(
            CHECK,
            Verdict::Fail,
            format!("cannot be made: {error}"),
            "raise the limit of processes (ulimit -u), or the pids limit of this container",
        ),
    }
}

fn openat2() -> Finding {
    const CHECK: &str = "openat2";
    #[repr(C)]
    struct OpenHow {
        flags: u64,
        mode: u64,
        resolve: u64,
    }
    let how = OpenHow {
        flags: (libc::O_PATH | libc::O_CLOEXEC) as u64,
        mode: 0,
        resolve: libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS,
    };
    // SAFETY: L1, the path is a literal and `how` outlives the call; the
    // descriptor returned is ours alone.
    let result = unsafe {
        let fd = libc::syscall(
            libc::SYS_openat2,
            libc::AT_FDCWD,
            c"/".as_ptr(),
            &how as *const OpenHow,
            size_of::<OpenHow>(),
        );
        if fd < 0 {
            Err(std::io::Error::last_os_error())
        } else {
            Ok(OwnedFd::from_raw_fd(fd as i32))
        }
    };
    match result {
        Ok(_) => finding(CHECK, Verdict::Ok, "available", ""),
        Err(error) => finding(
            CHECK,
            Verdict::Fail,
            format!("refused: {error}"),
            "allow openat2 in this container's seccomp profile",
        ),
    }
}

fn userfaultfd() -> Finding {
    const CHECK: &str = "userfaultfd";
    /// UFFD_USER_MODE_ONLY of linux/userfaultfd.h.
    const USER_MODE_ONLY: libc::c_int = 1;
    // SAFETY: L1, no pointers; the descriptor returned is ours alone.
    let result = unsafe {
        let fd = libc::syscall(
            libc::SYS_userfaultfd,
            libc::O_CLOEXEC | libc::O_NONBLOCK | USER_MODE_ONLY,
        );
        if fd < 0 {
            Err(std::io::Error::last_os_error())
        } else {
            Ok(OwnedFd::from_raw_fd(fd as i32))
        }
    };
    match result {
        Ok(_) => finding(CHECK, Verdict::Ok, "available", ""),
        Err(error) => finding(
            CHECK,
            Verdict::Warn,
            format!("refused: {error}"),
            "fork of large guests copies at once instead of on write; allow userfaultfd in this container's seccomp profile",
        ),
    }
}

fn proc_mounted() -> Finding {
    const CHECK: &str = "/proc";
    match std::fs::metadata("/proc/self/stat") {
        Ok(_) => finding(CHECK, Verdict::Ok, "mounted", ""),
        Err(error) => finding(
            CHECK,
            Verdict::Warn,
            format!("not usable: {error}"),
            "some limits cannot be read and are assumed to be Linux's defaults; mount -t proc proc /proc",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_answers_and_leaves_nothing() {
        let open = || {
            std::fs::read_dir("/proc/self/fd")
                .map(Iterator::count)
                .unwrap_or(0)
        };
        let before = open();
        let findings = examine();
        assert_eq!(open(), before);
        for finding in findings {
            assert!(!finding.found.is_empty(), "{finding}");
            assert_eq!(
                finding.remedy.is_some(),
                finding.verdict != Verdict::Ok,
                "{finding}"
            );
        }
    }
}
