//! Item 1: from a clean clone, without a cross compiler, the demo runs; and the
//! whole test run passes in time.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, ensure};
use rivix_testsuite::paths;
use rivix_testsuite::process::{self, Job, Outcome};

use super::AcceptArgs;
use super::report::Report;
use crate::shell;

const LIMIT_S: u64 = 20 * 60;

pub(crate) fn show(report: &mut Report, _: &AcceptArgs) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let clone = folder.path().join("rivix");
    let root = paths::root();
    ensure!(
        shell::step(
            Command::new("git")
                .args(["clone", "--quiet"])
                .arg(&root)
                .arg(&clone)
        )?,
        "git clone failed"
    );
    let changes = Command::new("git")
        .args(["status", "--porcelain"])
        .current_dir(&root)
        .output()?;
    if !changes.stdout.is_empty() {
        report.note("(uncommitted changes are not in the clone)");
    }
    let bare = folder.path().join("bin");
    let path = path_without_cross_tools(&bare)?;
    let target = folder.path().join("target");
    let cargo = |words: &[&str]| {
        let words = std::iter::once("cargo").chain(words.iter().copied());
        Job::new(words)
            .cwd(&clone)
            .env("CARGO_TARGET_DIR", &target)
            .limit(LIMIT_S + 60)
    };
    let demo = process::run(&cargo(&["run", "--release"]).env("PATH", path))?;
    let has_cross = bare.join("riscv64-linux-gnu-gcc").exists();
    report.check(
        "no cross compiler in sight",
        !has_cross,
        if has_cross {
            "there is one"
        } else {
            "none in PATH"
        },
    );
    report.check(
        "`cargo run --release` runs the demo",
        demo.success() && !demo.stdout.is_empty(),
        format!(
            "{} after {:.0} s, building included",
            demo.ending(),
            demo.wall.as_secs_f64()
        ),
    );
    report.note(if demo.success() {
        demo.out()
    } else {
        tail(&demo)
    });
    let start = Instant::now();
    let test = process::run(&cargo(&["xtask", "test"]))?;
    let seconds = start.elapsed().as_secs();
    let out = test.out();
    let last = out.lines().last().unwrap_or("");
    report.check(
        "`cargo xtask test` passes",
        test.success() && last.contains("passed"),
        format!("{}; {last}", test.ending()),
    );
    report.check(
        "... in under 20 minutes",
        seconds < LIMIT_S,
        format!("{seconds} s"),
    );
    if !test.success() {
        report.note(tail(&test));
    }
    Ok(())
}

fn tail(outcome: &Outcome) -> String {
    let text = format!("{}\n{}", outcome.out(), outcome.err());
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}

/// A PATH whose system folders are replaced by links to all they hold but the
/// cross tools and qemu.
fn path_without_cross_tools(bare: &Path) -> Result<String> {
    fs::create_dir_all(bare)?;
    let path = std::env::var("PATH").unwrap_or_default();
    let mut kept = vec![bare.display().to_string()];
    for dir in path.split(':').filter(|d| !d.is_empty()) {
        let Ok(entries) = fs::read_dir(dir) else {
            continue;
        };
        let entries: Vec<_> = entries.flatten().collect();
        let is_cross =
            |name: &str| name.starts_with("riscv64-") || name.starts_with("qemu-riscv64");
        if !entries
            .iter()
            .any(|e| is_cross(&e.file_name().to_string_lossy()))
        {
            kept.push(dir.to_owned());
            continue;
        }
        for entry in entries {
            let name = entry.file_name();
            if !is_cross(&name.to_string_lossy()) && !bare.join(&name).exists() {
                symlink(entry.path(), bare.join(&name))?;
            }
        }
    }
    Ok(kept.join(":"))
}
