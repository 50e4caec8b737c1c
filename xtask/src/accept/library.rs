//! Item 7: the library's own tests: two sandboxes at once, deadlines, 1,000
//! create-run-drop cycles, the embedder's SIGSEGV handler.

use anyhow::Result;

use super::AcceptArgs;
use super::report::Report;
use crate::shell;

pub(crate) fn show(report: &mut Report, _: &AcceptArgs) -> Result<()> {
    tests(report, "the library's tests", &[])
}

/// Tests of the library, those that `which` selects, as one check.
pub(crate) fn tests(report: &mut Report, what: &str, which: &[&str]) -> Result<()> {
    let words = ["test", "--release", "-p", "rivix"];
    let words: Vec<&str> = words
        .iter()
        .chain(which)
        .chain(&["--", "--nocapture"])
        .copied()
        .collect();
    let mut tests = 0;
    let mut failed = Vec::new();
    let good = shell::step_lines(&mut shell::cargo(&words), |line| {
        if let Some(rest) = line.trim().strip_prefix("test ")
            && !rest.starts_with("result")
        {
            tests += usize::from(rest.ends_with("ok"));
            if rest.ends_with("FAILED") {
                failed.push(rest.to_owned());
            }
        }
    })?;
    report.check(
        what,
        good && tests > 0,
        format!("{tests} passed, {} failed", failed.len()),
    );
    for line in &failed {
        report.note(line);
    }
    Ok(())
}
