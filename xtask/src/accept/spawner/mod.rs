//! `cargo xtask accept spawner`: what the spawner promises.

mod idle;
mod intents;
mod stress;

use anyhow::Result;

use super::AcceptArgs;
use super::report::Report;
use crate::{model, spawner_bench};

pub(crate) const ITEMS: [super::Item; 5] = [
    (
        "every test intent is a named test, and passes",
        intents::show,
    ),
    ("models, and the faults seeded into them", models),
    ("figures beside the peers'", figures),
    ("100,000 spawns from 16 threads", stress::show),
    ("an idle runtime uses no CPU", idle::show),
];

fn models(report: &mut Report, _: &AcceptArgs) -> Result<()> {
    let good = model::run(&model::ModelArgs {
        mutants: true,
        ..model::ModelArgs::default()
    })?;
    report.check(
        "every model passes, and fails with each of its seeded faults",
        good,
        "the lines above",
    );
    Ok(())
}

fn figures(report: &mut Report, _: &AcceptArgs) -> Result<()> {
    let figures = spawner_bench::run(false, None, None)?;
    report.check(
        "every target is met",
        figures.missed == 0 && figures.met > 0,
        format!("{} met, {} missed", figures.met, figures.missed),
    );
    Ok(())
}
