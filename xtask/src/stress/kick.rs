//! Signals at threads that enter blocking calls: `testsuite/stress/kick.c`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use rivix_testsuite::column;
use rivix_testsuite::process::{self, Job};
use rivix_testsuite::toolchain::Machine;

use super::{Kind, Tally, program};

/// Kinds of blocking calls that `testsuite/stress/kick.c` knows; the last reads a
/// pipe of the host's, and so blocks in a host call.
pub(crate) const KINDS: [&str; 11] = [
    "futex",
    "read",
    "epoll",
    "ppoll",
    "nanosleep",
    "wait4",
    "sigsuspend",
    "accept",
    "flock",
    "tty",
    "stdin",
];
/// Of each kind, in `cargo xtask test`.
const BOUNDED_SIGNALS: u64 = 1000;

pub(crate) fn build() -> Result<PathBuf> {
    program("kick", Kind::Glibc, Machine::Riscv64)
}

/// So many signals at a thread that enters calls of one kind; it gives up where
/// nothing happens for `limit_s`.
pub(crate) fn job(rivix: &Path, guest: &Path, kind: &str, signals: u64, limit_s: &str) -> Job {
    let words = [rivix.as_os_str(), "run".as_ref(), "--quiet".as_ref()]
        .map(ToOwned::to_owned)
        .into_iter()
        .chain(["--check-leaks".into(), "--".into(), guest.into()])
        .chain([kind.into(), signals.to_string().into()])
        .chain(["1".into(), limit_s.into()]);
    // A signal takes some 10 us; a hundred times that is no progress.
    Job::new(words).limit(60 + signals / 1000).silent_stdin()
}

/// Some signals at each kind of call.
pub(super) fn bounded() -> Result<Tally> {
    let (rivix, guest) = (column::rivix_program(), build()?);
    let mut tally = Tally::default();
    for (at, kind) in KINDS.into_iter().enumerate() {
        let outcome = process::run(&job(&rivix, &guest, kind, BOUNDED_SIGNALS, "20"))?;
        let is_good = outcome.success() && outcome.out().starts_with("kick: ");
        let result = match is_good {
            true => Ok(outcome.wall),
            false => Err(format!("{kind}: {}; {}", outcome.ending(), outcome.err())),
        };
        tally.add(at as u64, result);
    }
    Ok(tally)
}
