//! The runner: `cargo run -p rivix-testsuite -- run`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use rivix_testsuite::column::Column;
use rivix_testsuite::expect::Expectations;
use rivix_testsuite::paths;
use rivix_testsuite::report::{self, Counts};
use rivix_testsuite::suite::{self, Settings, User};
use rivix_testsuite::toolchain::{self, Machine};

#[derive(Parser)]
#[command(about = "Runs the guest programs under several kernels and compares them")]
struct Cli {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Run tests and print the table
    Run(RunArgs),
    /// Compile every program for both machines
    Build,
}

#[derive(Args)]
struct RunArgs {
    /// Only tests whose family/program::test contains this (several: one of these)
    #[arg(long, value_delimiter = ',')]
    filter: Vec<String>,
    /// Which columns: host, qemu, rivix
    #[arg(long, value_delimiter = ',', default_values = ["host", "qemu", "rivix"])]
    columns: Vec<String>,
    /// Another command that runs riscv64 programs, as one more column
    #[arg(long, value_name = "CMD")]
    against: Vec<String>,
    /// Write the results as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the results as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Programs run at a time
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Run the tests as this user, with its own working folders; without root, as who runs this
    #[arg(long, value_name = "UID")]
    uid: Option<u32>,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Action::Run(args) => run(&args),
        Action::Build => build().map(|()| true),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("testsuite: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn build() -> Result<()> {
    let programs = suite::programs()?;
    suite::build_all(&programs, &[Machine::Host, Machine::Riscv64], 2);
    for program in &programs {
        for machine in [Machine::Host, Machine::Riscv64] {
            if machine == Machine::Riscv64 || program.source.extension().is_some_and(|e| e != "S") {
                toolchain::Build::new(&program.source, machine).program()?;
            }
        }
    }
    println!("{} programs built", programs.len());
    Ok(())
}

fn run(args: &RunArgs) -> Result<bool> {
    let mut columns = Vec::new();
    for name in &args.columns {
        columns.push(match name.as_str() {
            "host" => Column::host(),
            "qemu" => Column::qemu(),
            "rivix" => Column::rivix(),
            other => {
                bail!("{other:?} is no column: host, qemu and rivix are; --against CMD adds others")
            }
        });
    }
    for (index, line) in args.against.iter().enumerate() {
        let mut column = Column::against(line);
        if index > 0 {
            column.name = format!("against{}", index + 1);
        }
        columns.push(column);
    }
    if columns.iter().any(|c| c.machine == Machine::Riscv64)
        && !toolchain::has_compiler(Machine::Riscv64)
    {
        bail!("no riscv64 compiler: `cargo xtask setup` installs it, or says how");
    }
    for column in &columns {
        if !column.is_there() {
            let remedy = match column.name.as_str() {
                "qemu" => "`cargo xtask setup` installs it; or leave it out: --columns host,rivix",
                "rivix" => "build it with `cargo build --release`, or name one in RIVIX",
                _ => "is the command right?",
            };
            bail!("column {} cannot be started: {remedy}", column.name);
        }
    }
    let list = paths::testsuite().join("expectations.tsv");
    let text = std::fs::read_to_string(&list)
        .with_context(|| format!("cannot read {}", list.display()))?;
    let expectations = Expectations::parse(&text)?;
    let programs = suite::programs()?;
    let settings = Settings {
        filters: args.filter.clone(),
        jobs: args.jobs,
        user: args.uid.and_then(User::unprivileged),
    };
    suite::build_all(&programs, &[Machine::Host, Machine::Riscv64], args.jobs);
    let cells = suite::run(&programs, &columns, &settings, &expectations)?;
    print!("{}", report::table(&cells, &columns));
    let stale = if args.filter.is_empty() {
        stale(&expectations, &cells)
    } else {
        Vec::new()
    };
    for name in &stale {
        println!("STALE {name}: listed in expectations.tsv, but no such test ran");
    }
    if let Some(path) = &args.json {
        std::fs::write(path, report::json(&cells)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(path) = &args.junit {
        std::fs::write(path, report::junit(&cells))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let Counts {
        passed,
        mut failed,
        skipped,
    } = report::counts(&cells);
    failed += stale.len();
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    Ok(failed == 0)
}

/// Listed failures whose column ran but whose test is gone.
fn stale(expectations: &Expectations, cells: &[suite::Cell]) -> Vec<String> {
    expectations
        .iter()
        .filter(|e| cells.iter().any(|c| c.column == e.column))
        .filter(|e| !cells.iter().any(|c| e.covers(&c.column, &c.test)))
        .map(|e| format!("{} {}", e.column, e.test))
        .collect()
}
