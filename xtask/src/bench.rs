//! `cargo xtask bench`: native code, qemu-riscv64 and rivix, interleaved round
//! by round on one CPU. The figure of a program is the least CPU time (user and
//! system) over the rounds, as a ratio to native's least in the same run: CPU
//! time is steady where wall time is not. A figure counts only when the checksum
//! equals native's. Nothing here passes or fails by time.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use rivix_testsuite::column;
use rivix_testsuite::paths;
use rivix_testsuite::process::{self, Job};
use rivix_testsuite::toolchain::{Build, Machine};
use serde::Serialize;

use crate::{setup, shell, spawner_bench};

pub(crate) const INTEGER: [&str; 7] = [
    "sieve", "fib", "sha256", "qsort", "bcvm", "dhry", "coremark",
];
pub(crate) const FLOAT: [&str; 3] = ["nbody", "mandel", "matmul"];
const MEMORY: [&str; 4] = ["chase", "memcp", "strs", "malloc"];
const SYSCALLS: [&str; 6] = ["getppid", "read1", "clock", "mmap", "raise", "segv"];
const THREADS: [&str; 6] = ["pingpong", "futex", "create", "fork", "mutex", "amoadd"];
/// Start-up: wall time matters here, and memory.
const STARTUP: [&str; 1] = ["hello"];

/// Benchmarks other than the guest programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Subject {
    /// The spawner beside std, tokio, rayon and channels
    Spawner,
}

#[derive(Args)]
pub(crate) struct BenchArgs {
    /// Another subject than the guest programs
    subject: Option<Subject>,
    /// A fifth of the size and two rounds
    #[arg(long)]
    quick: bool,
    /// Rounds; the least of them counts
    #[arg(long)]
    rounds: Option<usize>,
    /// Only programs whose name contains this
    #[arg(long)]
    filter: Option<String>,
    /// Also time the build whose handlers are driven by a loop (debug profile)
    #[arg(long)]
    debug_driver: bool,
    /// Keep the results here instead of below target/
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// One way to run a benchmark.
#[derive(Clone, Debug)]
pub(crate) struct Runner {
    pub(crate) name: &'static str,
    pub(crate) machine: Machine,
    pub(crate) prefix: Vec<String>,
    /// Slow ways run a smaller size, against native at that size.
    pub(crate) percent: u32,
}

impl Runner {
    pub(crate) fn native() -> Runner {
        Runner {
            name: "native",
            machine: Machine::Host,
            prefix: Vec::new(),
            percent: 100,
        }
    }

    pub(crate) fn qemu() -> Runner {
        Runner {
            name: "qemu",
            machine: Machine::Riscv64,
            prefix: vec!["qemu-riscv64".into()],
            percent: 100,
        }
    }

    pub(crate) fn rivix() -> Runner {
        Runner::of("rivix", column::rivix_program(), 100)
    }

    /// The debug profile drives the handlers by a loop.
    pub(crate) fn rivix_debug() -> Runner {
        Runner::of("rivix-debug", paths::target().join("debug/rivix"), 10)
    }

    fn of(name: &'static str, program: PathBuf, percent: u32) -> Runner {
        let prefix = [program.to_string_lossy().as_ref(), "run", "--quiet", "--"]
            .map(str::to_owned)
            .to_vec();
        Runner {
            name,
            machine: Machine::Riscv64,
            prefix,
            percent,
        }
    }
}

/// The least of what was measured, per program, runner and size.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Figure {
    pub(crate) cpu_s: f64,
    pub(crate) wall_s: f64,
    pub(crate) max_rss_kib: u64,
    pub(crate) output: String,
    /// Why there is no figure.
    pub(crate) problem: Option<String>,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Results {
    /// program → runner (with `@percent` when not 100) → figure
    pub(crate) figures: BTreeMap<String, BTreeMap<String, Figure>>,
}

impl Results {
    fn figure(&self, program: &str, runner: &str) -> Option<&Figure> {
        self.figures.get(program)?.get(runner)
    }

    /// How many times native's time, if the checksums agree.
    pub(crate) fn ratio(&self, program: &str, runner: &Runner, scale: u32) -> Result<f64, String> {
        let percent = runner.percent * scale / 100;
        let native = self
            .figure(program, &key("native", percent))
            .ok_or("not run")?;
        let own = self
            .figure(program, &key(runner.name, percent))
            .ok_or("not run")?;
        for figure in [native, own] {
            if let Some(problem) = &figure.problem {
                return Err(problem.clone());
            }
        }
        if native.output != own.output {
            return Err(format!(
                "checksum {:?} is not native's {:?}",
                own.output.trim(),
                native.output.trim()
            ));
        }
        Ok(own.cpu_s / native.cpu_s.max(1e-6))
    }
}

fn key(runner: &str, percent: u32) -> String {
    if percent == 100 {
        runner.to_owned()
    } else {
        format!("{runner}@{percent}")
    }
}

/// Runs all programs under all runners, round after round.
pub(crate) fn measure(
    programs: &[&str],
    runners: &[Runner],
    rounds: usize,
    scale: u32,
) -> Result<Results> {
    let mut binaries = BTreeMap::new();
    for program in programs {
        for machine in [Machine::Host, Machine::Riscv64] {
            let source = paths::testsuite()
                .join("bench")
                .join(format!("{program}.c"));
            binaries.insert(
                (*program, machine == Machine::Host),
                Build::new(&source, machine).program()?,
            );
        }
    }
    // Native runs at every size that some runner runs.
    let mut runs: Vec<Runner> = Vec::new();
    for runner in runners {
        let native = Runner {
            percent: runner.percent,
            ..Runner::native()
        };
        for run in [native, runner.clone()] {
            if !runs
                .iter()
                .any(|r| (r.name, r.percent) == (run.name, run.percent))
            {
                runs.push(run);
            }
        }
    }
    let cpu = last_cpu();
    let mut results = Results::default();
    for round in 0..rounds {
        for program in programs {
            for run in &runs {
                let percent = run.percent * scale / 100;
                let binary = binaries
                    .get(&(*program, run.machine == Machine::Host))
                    .context("a program that was not built")?;
                let binary = binary.to_string_lossy();
                let size = percent.to_string();
                let words = run
                    .prefix
                    .iter()
                    .map(String::as_str)
                    .chain([binary.as_ref(), size.as_str()]);
                let job = Job::new(words).limit(300).cpu(cpu);
                let outcome = process::run(&job)?;
                let figures = results.figures.entry((*program).to_owned()).or_default();
                let figure = figures
                    .entry(key(run.name, percent))
                    .or_insert_with(|| Figure {
                        cpu_s: f64::MAX,
                        wall_s: f64::MAX,
                        output: outcome.out(),
                        ..Figure::default()
                    });
                if !outcome.success() {
                    let last = outcome.err();
                    let last = last.lines().last().unwrap_or("").to_owned();
                    figure.problem = Some(format!("{} {last}", outcome.ending()));
                } else if outcome.out() != figure.output {
                    figure.problem = Some("two rounds printed different checksums".into());
                }
                figure.cpu_s = figure.cpu_s.min(outcome.cpu.as_secs_f64());
                figure.wall_s = figure.wall_s.min(outcome.wall.as_secs_f64());
                figure.max_rss_kib = figure.max_rss_kib.max(outcome.max_rss_kib);
            }
        }
        eprintln!("round {} of {rounds} done", round + 1);
    }
    Ok(results)
}

fn last_cpu() -> usize {
    std::thread::available_parallelism().map_or(0, |n| n.get() - 1)
}

pub(crate) fn geomean(values: &[f64]) -> f64 {
    let sum: f64 = values.iter().map(|v| v.ln()).sum();
    (sum / values.len().max(1) as f64).exp()
}

/// The table of one group: native in milliseconds, the others as ratios. Gives
/// each runner's geomean, where every program has a figure.
pub(crate) fn group_table(
    name: &str,
    programs: &[&str],
    runners: &[Runner],
    results: &Results,
    scale: u32,
) -> (String, Vec<Option<f64>>) {
    let mut out = format!("{name:14} {:>10}", "native ms");
    for runner in runners {
        let _ = write!(out, " {:>12}", runner.name);
    }
    out.push('\n');
    let mut ratios: Vec<Vec<f64>> = vec![Vec::new(); runners.len()];
    let mut notes = String::new();
    for program in programs {
        let native = results
            .figure(program, &key("native", scale))
            .map_or(0.0, |f| f.cpu_s);
        let _ = write!(out, "{program:14} {:>10.1}", native * 1e3);
        for (runner, ratios) in runners.iter().zip(&mut ratios) {
            match results.ratio(program, runner, scale) {
                Ok(ratio) => {
                    ratios.push(ratio);
                    let _ = write!(out, " {ratio:>12.2}");
                }
                Err(problem) => {
                    let _ = write!(out, " {:>12}", "-");
                    let _ = writeln!(notes, "  {program} {}: {problem}", runner.name);
                }
            }
        }
        out.push('\n');
    }
    let _ = write!(out, "{:14} {:>10}", "geomean", "");
    let mut means = Vec::new();
    for ratios in &ratios {
        let mean = (ratios.len() == programs.len()).then(|| geomean(ratios));
        let _ = match mean {
            Some(mean) => write!(out, " {mean:>12.2}"),
            None => write!(
                out,
                " {:>12}",
                format!("({} of {})", ratios.len(), programs.len())
            ),
        };
        means.push(mean);
    }
    out.push('\n');
    out.push_str(&notes);
    (out, means)
}

pub(crate) fn run(args: &BenchArgs) -> Result<bool> {
    setup::run()?;
    shell::build_rivix()?;
    if args.subject == Some(Subject::Spawner) {
        let figures = spawner_bench::run(args.quick, args.filter.as_deref(), args.json.as_deref())?;
        // As below: figures are read, not judged.
        return Ok(figures.met + figures.missed > 0);
    }
    let mut runners = vec![Runner::qemu(), Runner::rivix()];
    if args.debug_driver {
        anyhow::ensure!(
            shell::step(&mut shell::cargo(&["build", "--quiet", "-p", "rivix-cli"]))?,
            "debug build"
        );
        runners.push(Runner::rivix_debug());
    }
    let (scale, rounds) = if args.quick { (20, 2) } else { (100, 5) };
    let rounds = args.rounds.unwrap_or(rounds);
    let groups: [(&str, &[&str]); 5] = [
        ("integer", &INTEGER),
        ("floating point", &FLOAT),
        ("memory", &MEMORY),
        ("syscalls", &SYSCALLS),
        ("threads", &THREADS),
    ];
    let mut good = true;
    let mut all = Results::default();
    for (name, programs) in groups {
        let programs: Vec<_> = programs
            .iter()
            .copied()
            .filter(|p| args.filter.as_deref().is_none_or(|f| p.contains(f)))
            .collect();
        if programs.is_empty() {
            continue;
        }
        let mut results = measure(&programs, &runners, rounds, scale)?;
        let (table, _) = group_table(name, &programs, &runners, &results, scale);
        println!("{table}");
        good &= programs.iter().all(|p| {
            runners
                .iter()
                .all(|r| results.ratio(p, r, scale).is_ok() || r.name == "qemu")
        });
        all.figures.append(&mut results.figures);
    }
    if args.filter.is_none() {
        let mut results = measure(&STARTUP, &runners, if args.quick { 10 } else { 40 }, 100)?;
        println!(
            "{:14} {:>10} {:>12} {:>10}",
            "start-up", "wall ms", "x native", "RSS MiB"
        );
        let base = results
            .figure("hello", "native")
            .map_or(Duration::ZERO, |f| Duration::from_secs_f64(f.wall_s));
        for runner in std::iter::once(&Runner::native()).chain(&runners) {
            if let Some(figure) = results.figure("hello", &key(runner.name, runner.percent)) {
                let times = figure.wall_s / base.as_secs_f64().max(1e-9);
                let rss = figure.max_rss_kib as f64 / 1024.0;
                println!(
                    "{:14} {:>10.2} {times:>12.1} {rss:>10.1}",
                    runner.name,
                    figure.wall_s * 1e3
                );
            }
        }
        all.figures.append(&mut results.figures);
    }
    let file = args
        .json
        .clone()
        .unwrap_or_else(|| paths::target().join("bench/latest.json"));
    if let Some(dir) = file.parent() {
        std::fs::create_dir_all(dir)?;
    }
    std::fs::write(&file, serde_json::to_string_pretty(&all)?)
        .with_context(|| format!("cannot write {}", file.display()))?;
    println!("kept in {}", file.display());
    Ok(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_need_equal_checksums() {
        let figure = |cpu_s: f64, output: &str| Figure {
            cpu_s,
            output: output.into(),
            ..Figure::default()
        };
        let mut results = Results::default();
        let program = results.figures.entry("p".into()).or_default();
        program.insert("native".into(), figure(0.5, "p 1\n"));
        program.insert("rivix".into(), figure(4.0, "p 1\n"));
        program.insert("qemu".into(), figure(1.0, "p 2\n"));
        assert_eq!(results.ratio("p", &Runner::rivix(), 100), Ok(8.0));
        assert!(
            results
                .ratio("p", &Runner::qemu(), 100)
                .is_err_and(|e| e.contains("checksum"))
        );
        assert!(results.ratio("q", &Runner::qemu(), 100).is_err());
        assert!((geomean(&[2.0, 8.0]) - 4.0).abs() < 1e-12);
    }
}
