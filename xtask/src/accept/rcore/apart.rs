//! Item 3: the same binaries as Linux processes: none of the calls is known there;
//! and Linux processes beside, before and after others in one host process.

use anyhow::Result;
use rivix_testsuite::teaching::{Abi, PERSONALITY, Program};

use super::AcceptArgs;
use super::Report;
use crate::accept::library;

pub(crate) fn show(report: &mut Report, _: &AcceptArgs) -> Result<()> {
    for abi in Abi::ALL {
        let program = Program::build(PERSONALITY, abi)?;
        for (kernel, word) in [(abi.name(), "known"), ("linux", "unknown")] {
            let outcome = program.outcome(kernel)?;
            let told = outcome.out();
            let (good, others): (Vec<_>, Vec<_>) = told
                .lines()
                .partition(|line| line.rsplit_once(": ").is_some_and(|(_, w)| w == word));
            for line in others {
                report.note(line);
            }
            let count = program.expected.lines.len();
            report.check(
                format!("{} under --abi {kernel}", program.title()),
                outcome.success() && good.len() == count,
                format!("{} of {count} calls {word}", good.len()),
            );
        }
    }
    library::tests(
        report,
        "a Linux and other sandboxes in one host process",
        &["--test", "personalities"],
    )
}
