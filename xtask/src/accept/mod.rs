//! `cargo xtask accept <milestone>`: what a milestone promises, shown item by
//! item with the values measured.

mod clone;
mod faults;
mod inputs;
mod interactive;
mod library;
mod parallel;
mod rcore;
mod report;
mod shells;
mod spawner;
mod speed;
mod thread_model;
mod threads;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::{model, setup, shell};
use report::Report;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Milestone {
    StaticPrograms,
    Spawner,
    Threads,
    Rcore,
}

#[derive(Args)]
pub(crate) struct AcceptArgs {
    milestone: Milestone,
    /// Only these items
    #[arg(long, value_name = "N")]
    item: Vec<usize>,
    /// How long item 6 of static-programs fuzzes the loader
    #[arg(long, default_value_t = 300)]
    fuzz_seconds: u64,
    /// How often item 2 of threads runs each stress program, and item 1 of rcore
    /// each of its programs
    #[arg(long, default_value_t = 200)]
    runs: usize,
    /// Signals that item 3 of threads sends at each kind of blocking call
    #[arg(long, default_value_t = 1_000_000)]
    signals: u64,
    /// How long item 4 of threads mixes everything
    #[arg(long, default_value_t = 600)]
    stress_seconds: u64,
}

type Show = fn(&mut Report, &AcceptArgs) -> Result<()>;

/// One promise: its title, and what shows that it holds.
type Item = (&'static str, Show);

const STATIC_PROGRAMS: [Item; 8] = [
    ("clean clone: the demo runs, the tests pass", clone::show),
    ("Debian's static shells, unmodified", shells::show),
    ("threads in C++ and C, 50 runs each", threads::show),
    ("two threads run in parallel", parallel::show),
    ("faults", faults::show),
    ("bad input", inputs::show),
    ("the library", library::show),
    ("speed of the interpreter", speed::show),
];

pub(crate) fn run(args: &AcceptArgs) -> Result<bool> {
    let items: &[Item] = match args.milestone {
        Milestone::StaticPrograms => &STATIC_PROGRAMS,
        Milestone::Spawner => &spawner::ITEMS,
        Milestone::Threads => &thread_model::ITEMS,
        Milestone::Rcore => &rcore::ITEMS,
    };
    setup::run()?;
    shell::build_rivix()?;
    let mut verdicts = Vec::new();
    for (index, (title, show)) in items.iter().enumerate() {
        let number = index + 1;
        if !args.item.is_empty() && !args.item.contains(&number) {
            continue;
        }
        println!("== item {number}: {title}");
        let mut report = Report::default();
        if let Err(error) = show(&mut report, args) {
            report.check("the item ran to its end", false, format!("{error:#}"));
        }
        println!("item {number}: {}", report.summary());
        verdicts.push((number, *title, report));
    }
    println!("== summary");
    for (number, title, report) in &verdicts {
        println!("item {number}: {} ({title})", report.summary());
    }
    let good = verdicts.iter().all(|(_, _, report)| report.is_good());
    let passed: usize = verdicts.iter().map(|(_, _, r)| r.passed).sum();
    let failed: usize = verdicts.iter().map(|(_, _, r)| r.failed).sum();
    println!("{passed} passed, {failed} failed");
    Ok(good && !verdicts.is_empty())
}

/// Both milestones with protocols promise the same of them.
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
