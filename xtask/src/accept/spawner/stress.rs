//! 100,000 spawns from 16 threads, and the same while everything goes wrong.

use anyhow::{Context, Result};
use rivix_testsuite::process::{self, Job};

use super::AcceptArgs;
use super::Report;
use crate::{binaries, shell};

const VARIANTS: [(&str, &str); 5] = [
    ("plain", "no faults"),
    ("panics", "panics in units, captures and payloads"),
    ("faults", "three in ten thread creations fail"),
    (
        "nproc",
        "an unprivileged user whom the host refuses threads",
    ),
    ("inside", "pools end on their own workers"),
];

/// The C library keeps stacks of ended threads and arenas for new ones, which
/// would count as mappings left over. These settings make it keep none.
const TUNABLES: &str = "glibc.pthread.stack_cache_size=0:glibc.malloc.arena_max=1";

/// The program itself gives up after 240 s.
const LIMIT_S: u64 = 270;

pub(crate) fn show(report: &mut Report, _: &AcceptArgs) -> Result<()> {
    let arguments = [
        "build",
        "--quiet",
        "--release",
        "-p",
        "rivix-spawner",
        "--example",
        "stress",
    ];
    let built = binaries::build(&mut shell::cargo(&arguments), false)?;
    let stress = built
        .iter()
        .find(|binary| binary.target == "stress")
        .context("cargo built no stress program")?;
    report.note(format!("GLIBC_TUNABLES={TUNABLES}"));
    for (variant, what) in VARIANTS {
        let words = [stress.program.as_os_str().to_owned(), variant.into()];
        let job = Job::new(words)
            .limit(LIMIT_S)
            .env("GLIBC_TUNABLES", TUNABLES);
        let outcome = process::run(&job)?;
        report.note(outcome.out());
        if !outcome.success() {
            report.note(outcome.err());
        }
        report.check(
            format!("{variant}: {what}"),
            outcome.success(),
            format!("{}, {:.1} s", outcome.ending(), outcome.wall.as_secs_f64()),
        );
    }
    Ok(())
}
