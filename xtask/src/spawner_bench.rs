//! `cargo xtask bench spawner`: the spawner's figures beside those of std,
//! tokio, rayon and channels. The measuring program is a package of its own
//! (`spawner/bench`), which alone depends on the peers.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use rivix_testsuite::toolchain::{Build, Machine};
use rivix_testsuite::{column, paths};

use crate::{binaries, shell};

/// How many targets were met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) met: usize,
    pub(crate) missed: usize,
}

pub(crate) fn run(quick: bool, filter: Option<&str>, json: Option<&Path>) -> Result<Figures> {
    let arguments = ["build", "--quiet", "--release", "-p", "rivix-spawner-bench"];
    let built = binaries::build(&mut shell::cargo(&arguments), false)?;
    let bench = built
        .iter()
        .find(|binary| binary.package == "rivix-spawner-bench")
        .context("cargo built no benchmark")?;
    let source = paths::testsuite().join("guests/clone_latency.c");
    let file = json.map_or_else(
        || paths::target().join("bench/spawner.json"),
        Path::to_owned,
    );
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut command = std::process::Command::new(&bench.program);
    command.arg("--rivix").arg(column::rivix_program());
    for (option, machine) in [("--guest", Machine::Riscv64), ("--native", Machine::Host)] {
        command
            .arg(option)
            .arg(Build::new(&source, machine).program()?);
    }
    command.arg("--json").arg(&file);
    if quick {
        command.arg("--quick");
    }
    if let Some(filter) = filter {
        command.args(["--filter", filter]);
    }
    let mut figures = None;
    let success = shell::step_lines(&mut command, |line| figures = figures.or(read(line)))?;
    ensure!(success, "the benchmark failed");
    figures.context("the benchmark did not say how many targets were met")
}

/// `17 targets met, 3 missed`
fn read(line: &str) -> Option<Figures> {
    let (met, missed) = line.strip_suffix(" missed")?.split_once(" targets met, ")?;
    Some(Figures {
        met: met.parse().ok()?,
        missed: missed.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line() {
        let figures = Figures { met: 17, missed: 3 };
        assert_eq!(read("17 targets met, 3 missed"), Some(figures));
        assert_eq!(read("  MISSED at least tokio's"), None);
    }
}
