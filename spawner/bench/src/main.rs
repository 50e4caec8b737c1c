//! The spawner's figures beside its peers', measured in one run: samples of all
//! subjects of a row are taken in turn, so that what the host does meanwhile
//! happens to all of them. Targets are printed beside; nothing here passes or
//! fails by time.
//!
//! "One CPU" rows run in a child process that may use one CPU only: there a
//! hand-over costs a switch; on several it costs a wake-up of another CPU.

mod allocations;
mod fairness;
mod guest;
mod keep;
mod lane;
mod measure;
mod spawn;
mod throughput;

use anyhow::{Context, Result};
use clap::Parser;
use measure::Row;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

#[derive(Parser)]
pub(crate) struct Settings {
    /// A fifth of the samples
    #[arg(long)]
    quick: bool,
    /// Only rows whose name contains this
    #[arg(long)]
    filter: Option<String>,
    /// Keep the figures here, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The rivix program, and the guest and native builds of the clone program
    #[arg(long)]
    rivix: Option<PathBuf>,
    #[arg(long)]
    guest: Option<PathBuf>,
    #[arg(long)]
    native: Option<PathBuf>,
    /// What a child process of this program does
    #[arg(long, hide = true)]
    child: Option<String>,
}

impl Settings {
    pub(crate) fn rounds(&self) -> usize {
        5
    }

    pub(crate) fn scaled(&self, count: usize) -> usize {
        if self.quick { count / 5 } else { count }
    }

    pub(crate) fn wants(&self, name: &str) -> bool {
        let filter = self.filter.as_deref();
        filter.is_none_or(|filter| name.contains(filter))
    }
}

fn main() -> ExitCode {
    match run(&Settings::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("spawner-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(settings: &Settings) -> Result<()> {
    match settings.child.as_deref() {
        Some("one-cpu") => {
            let mut cpus = nix::sched::CpuSet::new();
            cpus.set(0)?;
            nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &cpus)?;
            let mut rows = Vec::new();
            spawn::rows(settings, "one CPU", &mut rows);
            println!("{}", serde_json::to_string(&rows)?);
            return Ok(());
        }
        Some(child) => return keep::child(child),
        None => {}
    }
    let host = nix::sys::utsname::uname()?;
    println!(
        "{} cores, {}, {} {}",
        std::thread::available_parallelism()?,
        cpu_model().unwrap_or_else(|| "a CPU without a name".into()),
        host.sysname().to_string_lossy(),
        host.release().to_string_lossy()
    );
    let mut rows = Vec::new();
    spawn::rows(settings, "unpinned", &mut rows);
    rows.extend(on_one_cpu(settings)?);
    lane::rows(settings, &mut rows);
    throughput::rows(settings, &mut rows);
    fairness::rows(settings, &mut rows);
    keep::rows(settings, &mut rows)?;
    guest::rows(settings, &mut rows)?;
    for row in &rows {
        row.print();
    }
    let targets = rows.iter().flat_map(|row| &row.targets);
    let (met, missed): (Vec<_>, Vec<_>) = targets.partition(|target| target.is_met);
    println!("\n{} targets met, {} missed", met.len(), missed.len());
    if let Some(file) = &settings.json {
        std::fs::write(file, serde_json::to_string_pretty(&rows)?)
            .with_context(|| format!("cannot write {}", file.display()))?;
        println!("kept in {}", file.display());
    }
    Ok(())
}

/// The latency rows, measured by a child that may use one CPU only.
fn on_one_cpu(settings: &Settings) -> Result<Vec<Row>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--child", "one-cpu"]);
    if settings.quick {
        command.arg("--quick");
    }
    if let Some(filter) = &settings.filter {
        command.args(["--filter", filter]);
    }
    let output = command.output()?;
    anyhow::ensure!(
        output.status.success(),
        "the child on one CPU: {} {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).context("the child's rows")
}

fn cpu_model() -> Option<String> {
    let info = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
