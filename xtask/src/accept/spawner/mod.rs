//! `cargo xtask accept spawner`: what the spawner promises.

mod idle;
mod intents;
mod stress;

use anyhow::Result;

use super::AcceptArgs;
use super::report::Report;
use crate::{sanitize, spawner_bench};

pub(crate) const ITEMS: [super::Item; 6] = [
    (
        "every test intent is a named test, and passes",
        intents::show,
    ),
    ("models, and the faults seeded into them", super::models),
    ("memory under Miri or the sanitizers", watched),
    ("figures beside the peers'", figures),
    ("100,000 spawns from 16 threads", stress::show),
    ("an idle runtime uses no CPU", idle::show),
];

fn figures(report: &mut Report, _: &AcceptArgs) -> Result<()> {
    let figures = spawner_bench::run(false, None, None)?;
    report.check(
        "every target is met",
        figures.missed == 0 && figures.met > 0,
        format!("{} met, {} missed", figures.met, figures.missed),
    );
    Ok(())
}

fn watched(report: &mut Report, _: &AcceptArgs) -> Result<()> {
    let good = sanitize::run(&sanitize::SanitizeArgs::default())?;
    report.check(
        "slot storage, scoped calls and stress show no fault",
        good,
        "the lines above say what ran",
    );
    Ok(())
}
