//! `cargo xtask test`: everything, and one line of counts at the end.

use std::time::Instant;

use anyhow::Result;
use clap::Args;

use crate::{model, setup, shell, stress};

#[derive(Args, Default)]
pub(crate) struct TestArgs {
    /// Do not look for (or install) compilers and qemu first
    #[arg(long)]
    no_setup: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
    skipped: u64,
}

pub(crate) fn run(args: &TestArgs) -> Result<bool> {
    let start = Instant::now();
    if !args.no_setup {
        setup::run()?;
    }
    let mut total = Counts::default();
    let mut good = true;
    let mut part =
        |name: &str, arguments: &[&str], read: fn(&str) -> Option<Counts>| -> Result<()> {
            let before = total;
            let success = shell::step_lines(&mut shell::cargo(arguments), |line| {
                if let Some(counts) = read(line) {
                    total.passed += counts.passed;
                    total.failed += counts.failed;
                    total.skipped += counts.skipped;
                }
            })?;
            if !success {
                good = false;
                // A build error or a crash is a failure even though nobody counted it.
                if total.failed == before.failed {
                    total.failed += 1;
                    println!("{name}: failed before its tests could be counted");
                }
            }
            Ok(())
        };
    shell::build_rivix()?;
    part(
        "cargo test",
        &["test", "--workspace", "--no-fail-fast"],
        cargo_counts,
    )?;
    part(
        "testsuite",
        &["run", "--quiet", "-p", "rivix-testsuite", "--", "run"],
        suite_counts,
    )?;
    match model::bounded() {
        Ok(tally) => {
            total.passed += tally.passed as u64;
            total.failed += tally.failed as u64;
        }
        Err(error) => {
            total.failed += 1;
            println!("models: {error:#}");
        }
    }
    match stress::bounded() {
        Ok((passed, failed)) => {
            total.passed += passed as u64;
            total.failed += failed as u64;
        }
        Err(error) => {
            total.failed += 1;
            println!("stress: {error:#}");
        }
    }
    println!("all tests took {:.0} s", start.elapsed().as_secs_f64());
    let Counts {
        passed,
        failed,
        skipped,
    } = total;
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    Ok(good && failed == 0)
}

/// `test result: ok. 8 passed; 0 failed; 1 ignored; ...`
fn cargo_counts(line: &str) -> Option<Counts> {
    let rest = line.trim().strip_prefix("test result: ")?;
    let (_, rest) = rest.split_once(". ")?;
    let number = |word: &str| {
        let part = rest.split(';').find(|p| p.trim().ends_with(word))?;
        part.split_whitespace().next()?.parse().ok()
    };
    Some(Counts {
        passed: number("passed")?,
        failed: number("failed")?,
        skipped: number("ignored")?,
    })
}

/// `9 passed, 0 failed, 1 skipped`
fn suite_counts(line: &str) -> Option<Counts> {
    let mut numbers = line
        .split(", ")
        .zip(["passed", "failed", "skipped"])
        .map(|(part, word)| {
            let (number, found) = part.split_once(' ')?;
            (found == word).then(|| number.parse().ok()).flatten()
        });
    Some(Counts {
        passed: numbers.next()??,
        failed: numbers.next()??,
        skipped: numbers.next().flatten().unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines() {
        #[track_caller]
        fn check(read: fn(&str) -> Option<Counts>, line: &str, expect: Option<(u64, u64, u64)>) {
            let expect = expect.map(|(passed, failed, skipped)| Counts {
                passed,
                failed,
                skipped,
            });
            assert_eq!(read(line), expect, "{line:?}");
        }
        check(
            cargo_counts,
            "test result: ok. 8 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.83s",
            Some((8, 0, 1)),
        );
        check(
            cargo_counts,
            "test result: FAILED. 7 passed; 2 failed; 0 ignored; 0 measured",
            Some((7, 2, 0)),
        );
        check(cargo_counts, "test a ... ok", None);
        check(
            suite_counts,
            "9 passed, 0 failed, 1 skipped",
            Some((9, 0, 1)),
        );
        check(suite_counts, "9 passed, 3 failed", Some((9, 3, 0)));
        check(suite_counts, "file/pipe2::a pass pass", None);
        check(suite_counts, "", None);
    }
}
