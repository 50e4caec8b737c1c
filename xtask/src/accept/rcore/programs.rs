//! Item 1: programs of threads, locks and their like, many times, exact each time.

use anyhow::Result;
use rivix_testsuite::teaching::{Abi, Program, THREADS};

use super::AcceptArgs;
use super::Report;
use crate::stress;

pub(crate) fn show(report: &mut Report, args: &AcceptArgs) -> Result<()> {
    for name in THREADS {
        for abi in Abi::ALL {
            repeat(report, &Program::build(name, abi)?, args.runs)?;
        }
    }
    Ok(())
}

/// All runs of one program, as one check.
pub(crate) fn repeat(report: &mut Report, program: &Program, runs: usize) -> Result<()> {
    let tally = stress::repeat_run(1, runs, |_| program.run())?;
    for (run, complaint) in &tally.bad {
        report.note(format!("run {run}: {complaint}"));
    }
    report.check(
        program.title(),
        tally.good == runs && tally.bad.is_empty(),
        format!(
            "{} of {runs} runs exact, slowest {:.2} s",
            tally.good,
            tally.slowest.as_secs_f64()
        ),
    );
    Ok(())
}
