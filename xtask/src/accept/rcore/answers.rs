//! Item 2: what each call answers to wrong, extreme and late questions: a row each,
//! and the same rows again and again.

use anyhow::Result;
use rivix_testsuite::teaching::{Abi, EDGES, Program, UCORE_ONLY};

use super::AcceptArgs;
use super::Report;
use super::programs;

/// One run in so many of item 1's.
const SHARE: usize = 10;

pub(crate) fn show(report: &mut Report, args: &AcceptArgs) -> Result<()> {
    for abi in Abi::ALL {
        let own: &[&str] = match abi {
            Abi::Rcore => &[],
            Abi::Ucore => &UCORE_ONLY,
        };
        for name in EDGES.iter().chain(own) {
            let program = Program::build(name, abi)?;
            rows(report, &program)?;
            programs::repeat(report, &program, (args.runs / SHARE).max(1))?;
        }
    }
    Ok(())
}

/// A check for each line that one run prints.
fn rows(report: &mut Report, program: &Program) -> Result<()> {
    let outcome = program.outcome(program.abi.name())?;
    let told = outcome.out();
    let lines: Vec<&str> = told.lines().collect();
    let wanted = &program.expected.lines;
    for index in 0..lines.len().max(wanted.len()) {
        let got = lines.get(index).copied().unwrap_or("nothing");
        let want = wanted.get(index).map_or("nothing", |line| line);
        let (what, value) = got.rsplit_once(": ").unwrap_or((got, "as expected"));
        let value = match got == want {
            true => value.to_owned(),
            false => format!("{value}, not {want:?}"),
        };
        report.check(format!("{}: {what}", program.title()), got == want, value);
    }
    Ok(())
}
