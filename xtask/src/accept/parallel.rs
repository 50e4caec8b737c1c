//! Item 4: two compute threads get at least 0.9 of native's own two-thread
//! speed-up, measured in the same run.

use anyhow::{Context, Result, ensure};
use rivix_testsuite::paths;
use rivix_testsuite::process::{self, Job};
use rivix_testsuite::toolchain::{Build, Machine};

use super::AcceptArgs;
use super::report::Report;
use crate::bench::Runner;

const ROUNDS: usize = 9;

pub(crate) fn show(report: &mut Report, _: &AcceptArgs) -> Result<()> {
    let source = paths::testsuite().join("guests/parallel.c");
    // The guest computes less, so that both take about as long.
    let native = [
        Build::new(&source, Machine::Host)
            .program()?
            .to_string_lossy()
            .into_owned(),
        "100".into(),
    ];
    let guest = Build::new(&source, Machine::Riscv64)
        .program()?
        .to_string_lossy()
        .into_owned();
    let rivix: Vec<String> = Runner::rivix()
        .prefix
        .into_iter()
        .chain([guest, "20".into()])
        .collect();
    let mut best = [[f64::MAX; 2]; 2];
    for _ in 0..ROUNDS {
        for (who, words) in [&native[..], &rivix[..]].into_iter().enumerate() {
            for threads in [1, 2] {
                let job = Job::new(words.iter().cloned().chain([threads.to_string()])).limit(120);
                let outcome = process::run(&job)?;
                ensure!(
                    outcome.success(),
                    "{}: {} {}",
                    job.line(),
                    outcome.ending(),
                    outcome.err()
                );
                let seconds: f64 = outcome
                    .out()
                    .trim()
                    .parse()
                    .context("the program prints seconds")?;
                best[who][threads - 1] = best[who][threads - 1].min(seconds);
            }
        }
    }
    let [native, rivix] = best.map(|[one, two]| (one, two, one / two));
    for (name, (one, two, speedup)) in [("native", native), ("rivix", rivix)] {
        report.note(format!(
            "{name}: one thread {one:.3} s, two threads {two:.3} s, speed-up {speedup:.2}"
        ));
    }
    let share = rivix.2 / native.2;
    report.check(
        "rivix's two-thread speed-up over native's is at least 0.9",
        share >= 0.9,
        format!("{share:.2}"),
    );
    Ok(())
}
