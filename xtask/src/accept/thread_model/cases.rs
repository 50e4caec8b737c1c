//! Item 1: the guest programs about threads, processes and signals, under three
//! kernels, as a user without privileges. The host's result is what is right.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use rivix_testsuite::column::Column;
use rivix_testsuite::expect::Expectations;
use rivix_testsuite::paths;
use rivix_testsuite::report as tables;
use rivix_testsuite::suite::{self, Cell, Judgement, Settings, User, Verdict};
use rivix_testsuite::toolchain::Machine;

use super::AcceptArgs;
use super::Report;

/// Folders of `testsuite/programs`, or programs of one.
const FAMILIES: [&str; 9] = [
    "thread/",
    "process/",
    "signal/",
    "time/",
    "tty/",
    "sched/",
    "misc/",
    "memory/fork_cow",
    "exec/",
];
/// Cases there have to be.
const ENOUGH: usize = 400;
/// nobody, as Debian numbers it.
const UID: u32 = 65534;

/// How the three columns of one test compare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Row<'a> {
    host: Option<&'a Verdict>,
    qemu: Option<&'a Verdict>,
    rivix: Option<&'a Verdict>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// The host passes, and so does rivix.
    Equal,
    /// Only for riscv64: the bytes expected are written in the test.
    Literal,
    /// Both say that they cannot: this host has not what it takes.
    Skipped,
    Different,
}

impl Row<'_> {
    fn standing(self) -> Standing {
        match (self.host, self.rivix) {
            (Some(Verdict::Pass), Some(Verdict::Pass)) => Standing::Equal,
            (None, Some(Verdict::Pass)) => Standing::Literal,
            (Some(Verdict::Skip(_)) | None, Some(Verdict::Skip(_))) => Standing::Skipped,
            // A test that the host leaves out may still be for riscv64.
            (Some(Verdict::Skip(_)), Some(Verdict::Pass)) => Standing::Literal,
            _ => Standing::Different,
        }
    }
}

pub(crate) fn show(report: &mut Report, _: &AcceptArgs) -> Result<()> {
    let user = User::unprivileged(UID);
    let as_whom = match user {
        Some(user) => user.to_string(),
        None => "who runs this, not root".to_owned(),
    };
    report.note(format!("as {as_whom}, in all columns"));
    let text = std::fs::read_to_string(paths::testsuite().join("expectations.tsv"))?;
    let expectations = Expectations::parse(&text)?;
    let programs: Vec<_> = suite::programs()?
        .into_iter()
        .filter(|p| {
            FAMILIES
                .iter()
                .any(|f| format!("{}::", p.name).starts_with(f))
        })
        .collect();
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    suite::build_all(&programs, &[Machine::Host, Machine::Riscv64], jobs);
    let columns = [Column::host(), Column::qemu(), Column::rivix()];
    for column in &columns {
        ensure!(column.is_there(), "column {} cannot run", column.name);
    }
    let settings = Settings {
        user,
        ..Settings::new(jobs)
    };
    let cells = suite::run(&programs, &columns, &settings, &expectations)?;
    report.note(tables::table(&cells, &columns));
    judge(report, &cells);
    Ok(())
}

fn rows(cells: &[Cell]) -> BTreeMap<&str, Row<'_>> {
    let mut rows: BTreeMap<&str, Row<'_>> = BTreeMap::new();
    for cell in cells {
        let row = rows.entry(&cell.test).or_default();
        match cell.column.as_str() {
            "host" => row.host = Some(&cell.verdict),
            "qemu" => row.qemu = Some(&cell.verdict),
            _ => row.rivix = Some(&cell.verdict),
        }
    }
    rows
}

fn judge(report: &mut Report, cells: &[Cell]) {
    let rows = rows(cells);
    let mut counts: BTreeMap<&str, [usize; 4]> = BTreeMap::new();
    let mut different = Vec::new();
    let (mut equal, mut literal, mut skipped, mut qemu_differs) = (0, 0, 0, 0);
    for (test, row) in &rows {
        let family = test.split('/').next().unwrap_or("");
        let count = counts.entry(family).or_default();
        match row.standing() {
            Standing::Equal => {
                equal += 1;
                count[0] += 1;
            }
            Standing::Literal => {
                literal += 1;
                count[1] += 1;
            }
            Standing::Skipped => {
                skipped += 1;
                count[2] += 1;
            }
            Standing::Different => different.push(format!("{test}: {row:?}")),
        }
        if row.rivix == Some(&Verdict::Pass) && row.qemu != Some(&Verdict::Pass) {
            qemu_differs += 1;
            count[3] += 1;
        }
    }
    report.note(format!(
        "{:12} {:>14} {:>14} {:>8} {:>14}",
        "family", "equal to host", "riscv64 alone", "skipped", "qemu differs"
    ));
    for (family, [equal, literal, skipped, qemu]) in &counts {
        report.note(format!(
            "{family:12} {equal:>14} {literal:>14} {skipped:>8} {qemu:>14}"
        ));
    }
    report.check(
        format!("at least {ENOUGH} cases that pass on the host's kernel and on rivix"),
        equal >= ENOUGH,
        format!("{equal}"),
    );
    report.check(
        "cases that only riscv64 has, against literal bytes",
        literal > 0,
        format!("{literal}"),
    );
    for line in &different {
        report.note(line);
    }
    report.check(
        "rivix equals the host in all of them",
        different.is_empty(),
        format!("{} differ, {skipped} skipped by both", different.len()),
    );
    let unlisted = cells
        .iter()
        .filter(|c| matches!(c.judgement, Judgement::Failed | Judgement::UnexpectedPass))
        .count();
    report.check(
        "where qemu differs is listed with a reason",
        unlisted == 0,
        format!("{qemu_differs} cases differ, {unlisted} unlisted"),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_stands_as_its_host_and_rivix_do() {
        let (pass, fail) = (Verdict::Pass, Verdict::Fail(String::new()));
        let skip = Verdict::Skip(String::new());
        #[track_caller]
        fn check(host: Option<&Verdict>, rivix: Option<&Verdict>, expect: Standing) {
            let row = Row {
                host,
                rivix,
                qemu: None,
            };
            assert_eq!(row.standing(), expect);
        }
        check(Some(&pass), Some(&pass), Standing::Equal);
        check(None, Some(&pass), Standing::Literal);
        check(Some(&skip), Some(&skip), Standing::Skipped);
        check(Some(&pass), Some(&skip), Standing::Different);
        check(Some(&pass), Some(&fail), Standing::Different);
        check(Some(&fail), Some(&fail), Standing::Different);
        check(Some(&fail), Some(&pass), Standing::Different);
        check(Some(&pass), None, Standing::Different);
        check(None, Some(&fail), Standing::Different);
    }
}
