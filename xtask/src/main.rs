//! What developers run: `cargo xtask <task>`.

mod accept;
mod bench;
mod binaries;
mod ci;
mod debian;
mod fuzz;
mod guests;
mod model;
mod sanitize;
mod setup;
mod shell;
mod spawner_bench;
mod stress;
mod tail_calls;
mod test;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Tasks of Rivix's developers", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what the test suite needs: a riscv64 cross compiler and qemu-user
    Setup,
    /// Run everything that is tested: unit, ISA and doc tests and the guest programs
    Test(test::TestArgs),
    /// Formatting, lints, documentation, generated files, tail calls, then `test`
    Ci,
    /// Check that the interpreter's handlers in the release binary end in jumps
    CheckTailCalls {
        /// Another binary than target/release/rivix
        binary: Option<std::path::PathBuf>,
    },
    /// Time native code, qemu-riscv64 and rivix side by side; or the spawner and its peers
    Bench(bench::BenchArgs),
    /// Check the small protocols and whole pools under loom and shuttle
    Model(model::ModelArgs),
    /// Watch unsafe code and stress under Miri or the sanitizers
    Sanitize(sanitize::SanitizeArgs),
    /// Show that a milestone's promises hold, one measured item after another
    Accept(accept::AcceptArgs),
    /// Run the stress programs of threads, processes and signals with new seeds
    Stress(stress::StressArgs),
    /// Rebuild the committed guest binaries (vdso, demo) from their sources
    BuildGuests {
        /// Only check that binaries and sources agree
        #[arg(long)]
        check: bool,
    },
    /// Attack a part with random input for a time
    Fuzz {
        /// What to attack: loader
        target: String,
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// Repeat the run that used this seed
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Fetch Debian's static shells for riscv64 and amd64
    DebianGuests,
}

fn main() -> ExitCode {
    let result: Result<bool> = match Cli::parse().task {
        Task::Setup => setup::run().map(|()| true),
        Task::Test(args) => test::run(&args),
        Task::Ci => ci::run(),
        Task::CheckTailCalls { binary } => tail_calls::run(binary),
        Task::Bench(args) => bench::run(&args),
        Task::Model(args) => model::run(&args),
        Task::Sanitize(args) => sanitize::run(&args),
        Task::Stress(args) => stress::run(&args),
        Task::Accept(args) => accept::run(&args),
        Task::BuildGuests { check } => guests::build(check).map(|()| true),
        Task::Fuzz {
            target,
            seconds,
            seed,
        } => fuzz::run(&target, seconds, seed).map(|()| true),
        Task::DebianGuests => debian::guests().map(|guests| {
            println!("{}", guests.top.display());
            true
        }),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(2)
        }
    }
}
