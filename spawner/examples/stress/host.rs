//! What the host says about this process.

use std::fs;
use std::time::{Duration, Instant};

/// Threads and mappings of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) threads: usize,
    pub(crate) mappings: usize,
}

pub(crate) fn threads() -> usize {
    fs::read_dir("/proc/self/task").map_or(0, |entries| entries.count())
}

pub(crate) fn mappings() -> usize {
    let maps = fs::read("/proc/self/maps").unwrap_or_default();
    maps.iter().filter(|byte| **byte == b'\n').count()
}

pub(crate) fn held() -> Held {
    Held {
        threads: threads(),
        mappings: mappings(),
    }
}

/// Waits until `holds`, `limit` at most; how long it took.
pub(crate) fn within(limit: Duration, mut holds: impl FnMut() -> bool) -> Option<Duration> {
    let start = Instant::now();
    loop {
        if holds() {
            return Some(start.elapsed());
        }
        if start.elapsed() > limit {
            return None;
        }
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// Ends the process if it is still there after `limit`.
pub(crate) fn end_after(limit: Duration) {
    // SIGALRM's default action needs no thread, so that none is counted.
    nix::unistd::alarm::set(limit.as_secs().try_into().unwrap_or(u32::MAX));
}

/// The host's word for an unprivileged user.
const NOBODY: u32 = 65_534;

/// Becomes an unprivileged user who may have `more` threads beyond those that
/// the process and the user have now.
pub(crate) fn limit_threads(more: u64) -> Result<String, nix::Error> {
    use nix::sys::resource::{Resource, setrlimit};
    use nix::unistd::{Gid, Uid, getuid, setresgid, setresuid};
    let uid = if getuid().is_root() {
        Uid::from_raw(NOBODY)
    } else {
        getuid()
    };
    let others = if getuid().is_root() {
        // Our own threads become that user's.
        threads_of(uid.as_raw()) + threads() as u64
    } else {
        threads_of(uid.as_raw())
    };
    setrlimit(Resource::RLIMIT_NPROC, others + more, others + more)?;
    if getuid().is_root() {
        let gid = Gid::from_raw(NOBODY);
        setresgid(gid, gid, gid)?;
        setresuid(uid, uid, uid)?;
        // A process that changed its user loses sight of its own /proc files.
        nix::sys::prctl::set_dumpable(true)?;
    }
    Ok(format!(
        "uid {uid}, RLIMIT_NPROC {}, of which {others} are in use",
        others + more
    ))
}

/// All threads of a user, on the whole host: the limit counts them all.
fn threads_of(uid: u32) -> u64 {
    let Ok(entries) = fs::read_dir("/proc") else {
        return 0;
    };
    let mut count = 0;
    for entry in entries.flatten() {
        let Ok(status) = fs::read_to_string(entry.path().join("status")) else {
            continue;
        };
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        if field("Uid:") == Some(uid.into()) {
            count += field("Threads:").unwrap_or(0);
        }
    }
    count
}
