//! Item 2: every stress program many times: no hang, nothing lost, nothing left.

use anyhow::Result;

use super::AcceptArgs;
use super::Report;
use crate::stress::{PROGRAMS, repeat};

pub(crate) fn show(report: &mut Report, args: &AcceptArgs) -> Result<()> {
    for program in PROGRAMS {
        let what = format!("{}: {}", program.title(), program.what);
        let built = match program.build(false) {
            Ok(built) => built,
            Err(error) => {
                report.check(what, false, format!("{error:#}"));
                continue;
            }
        };
        let tally = repeat(&built, 1, args.runs)?;
        for (seed, complaint) in &tally.bad {
            report.note(format!("seed {seed}: {complaint}"));
        }
        report.check(
            what,
            tally.good == args.runs && tally.bad.is_empty(),
            format!(
                "{} of {} runs good, slowest {:.2} s",
                tally.good,
                args.runs,
                tally.slowest.as_secs_f64()
            ),
        );
    }
    Ok(())
}
