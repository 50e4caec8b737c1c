//! Item 5: faults are the right signals, an unhandled one ends only the guest,
//! and a hostile guest reaches neither its host nor its neighbour.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use rivix_testsuite::column::{self, Column};
use rivix_testsuite::expect::Expectations;
use rivix_testsuite::paths;
use rivix_testsuite::process::{self, Job};
use rivix_testsuite::report as tables;
use rivix_testsuite::suite::{self, Judgement, Settings, Verdict};
use rivix_testsuite::toolchain::{Build, Machine};

use super::AcceptArgs;
use super::report::Report;

pub(crate) fn show(report: &mut Report, _: &AcceptArgs) -> Result<()> {
    handled(report)?;
    unhandled(report)?;
    host_memory(report)
}

/// The suite's fault programs: signal, si_code, si_addr, pc, resuming, siglongjmp,
/// the window's last bytes and the alternating mprotects beside a second guest.
fn handled(report: &mut Report) -> Result<()> {
    let text = std::fs::read_to_string(paths::testsuite().join("expectations.tsv"))?;
    let expectations = Expectations::parse(&text)?;
    let columns = [Column::host(), Column::qemu(), Column::rivix()];
    let programs: Vec<_> = suite::programs()?
        .into_iter()
        .filter(|p| p.name.starts_with("fault/"))
        .collect();
    let cells = suite::run(&programs, &columns, &Settings::new(1), &expectations)?;
    for line in tables::table(&cells, &columns).lines() {
        report.note(line);
    }
    for cell in cells.iter().filter(|c| c.column == "rivix") {
        let detail = match &cell.verdict {
            Verdict::Pass => "as Linux does",
            Verdict::Fail(text) | Verdict::Skip(text) => text,
        };
        report.check(&cell.test, cell.judgement == Judgement::Passed, detail);
    }
    let host_good = cells
        .iter()
        .filter(|c| c.column == "host")
        .all(|c| c.judgement == Judgement::Passed);
    report.check(
        "the same programs on the host's kernel",
        host_good,
        if host_good { "all pass" } else { "see above" },
    );
    Ok(())
}

/// `rivix` ends as the guest did, by the same signal, and says nothing odd.
fn unhandled(report: &mut Report) -> Result<()> {
    let source = paths::testsuite().join("guests/die.c");
    let host = Build::new(&source, Machine::Host).program()?;
    let guest = Build::new(&source, Machine::Riscv64).program()?;
    let folder = tempfile::tempdir()?;
    for how in [
        "null",
        "rodata",
        "jump",
        "stack",
        "illegal",
        "misaligned",
        "ebreak",
        "truncated",
        "abort",
        "term",
        "kill",
        "exit",
    ] {
        let native = process::run(
            &Job::new([host.clone(), how.into()])
                .cwd(folder.path())
                .limit(30),
        )?;
        let words = [
            column::rivix_program(),
            "run".into(),
            "--quiet".into(),
            "--".into(),
            guest.clone(),
            how.into(),
        ];
        let ours = process::run(&Job::new(words).cwd(folder.path()).limit(30))?;
        // The core-dump flag depends on the host's limits, not on us.
        let same = native.status.signal() == ours.status.signal()
            && native.status.code() == ours.status.code();
        let quiet = !ours.err().contains("panicked");
        report.check(
            format!("unhandled: {how}"),
            same && quiet && !ours.timed_out,
            format!("rivix {}, host {}", ours.ending(), native.ending()),
        );
    }
    Ok(())
}

/// A guest that knows its host's process id tries every path to its memory, with
/// descriptors open on the host's /proc, and with a second procfs mounted where
/// we may mount one.
fn host_memory(report: &mut Report) -> Result<()> {
    let guest = Build::new(
        &paths::testsuite().join("guests/procmem.c"),
        Machine::Riscv64,
    )
    .program()?;
    let folder = tempfile::tempdir()?;
    let other = folder.path().join("other-proc");
    std::fs::create_dir(&other)?;
    let script = "mount -t proc proc \"$1\" 2>/dev/null; exec 7</proc 8</ 9</proc/self; \
                  exec \"$2\" run --quiet -- \"$3\" $$ \"$1\"";
    let may_mount = Command::new("unshare")
        .args(["-m", "true"])
        .output()
        .is_ok_and(|o| o.status.success());
    let prefix: &[&str] = if may_mount { &["unshare", "-m"] } else { &[] };
    let words = prefix.iter().map(PathBuf::from).chain([
        "sh".into(),
        "-c".into(),
        script.into(),
        "sh".into(),
        other,
        column::rivix_program(),
        guest,
    ]);
    let outcome = process::run(&Job::new(words).cwd(folder.path()).limit(60))?;
    let out = outcome.out();
    let last = out
        .lines()
        .last()
        .context("procmem printed nothing")
        .unwrap_or_default();
    report.check(
        "a guest opening its host's /proc/PID/mem by any path",
        outcome.success() && last.ends_with("reached 0"),
        last,
    );
    report.note(if may_mount {
        "(a second procfs was mounted)"
    } else {
        "(no second procfs: mounting is not allowed here)"
    });
    for line in out.lines().filter(|l| l.starts_with("reached")).take(10) {
        report.note(line);
    }
    if !outcome.success() {
        report.note(format!("{} {}", outcome.ending(), outcome.err()));
    }
    Ok(())
}
