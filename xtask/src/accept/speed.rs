//! Item 8: the interpreter against native code.

use anyhow::{Result, ensure};

use super::AcceptArgs;
use super::report::Report;
use crate::bench::{self, FLOAT, INTEGER, Runner};
use crate::shell;

const ROUNDS: usize = 3;

pub(crate) fn show(report: &mut Report, _: &AcceptArgs) -> Result<()> {
    ensure!(
        shell::step(&mut shell::cargo(&["build", "--quiet", "-p", "rivix-cli"]))?,
        "the debug build failed"
    );
    let runners = [Runner::qemu(), Runner::rivix(), Runner::rivix_debug()];
    let programs: Vec<_> = INTEGER.iter().chain(&FLOAT).copied().collect();
    let results = bench::measure(&programs, &runners, ROUNDS, 100)?;
    report.note(format!(
        "CPU time on one core, least of {ROUNDS} interleaved rounds, times native;"
    ));
    report.note("rivix is the release build (tail calls), rivix-debug the debug build (loop), at a tenth of the size");
    for (name, programs, most) in [
        ("integer", &INTEGER[..], 17.0),
        ("floating point", &FLOAT[..], 15.0),
    ] {
        let (table, means) = bench::group_table(name, programs, &runners, &results, 100);
        report.note(table);
        let mean = means.get(1).copied().flatten();
        report.check(
            format!("{name} geomean at most {most} times native, checksums equal"),
            mean.is_some_and(|m| m <= most),
            mean.map_or("not every program has a figure".into(), |m| {
                format!("{m:.2}")
            }),
        );
        let debug = means.get(2).copied().flatten();
        report.check(
            format!("{name}: the debug driver runs all, checksums equal"),
            debug.is_some(),
            debug.map_or("not every program has a figure".into(), |m| {
                format!("{m:.1} times native")
            }),
        );
    }
    Ok(())
}
