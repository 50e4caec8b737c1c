//! `cargo xtask stress`: programs that use threads, processes and signals as hard
//! as they can (`testsuite/stress`), run again and again with other seeds.
//!
//! A run is good when the program says that nothing was lost, it ends in time (a
//! wake-up that is lost is a run that does not end), and `rivix run --check-leaks`
//! finds nothing left over: no process, thread, id, window, mapping, descriptor or
//! host thread.

mod build;
pub(crate) mod kick;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use rivix_testsuite::column;
use rivix_testsuite::process::{self, Job, Outcome};
use rivix_testsuite::toolchain::Machine;

use crate::{setup, shell};
pub(crate) use build::{Kind, program};

/// One stress program in one build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// Of a million creations of host threads so many fail.
    fail_threads: u32,
    pub(crate) what: &'static str,
}

const fn program_of(name: &'static str, kind: Kind, what: &'static str) -> Program {
    Program {
        name,
        kind,
        fail_threads: 0,
        what,
    }
}

const FORK_STORM: &str = "16 threads of fork, exec and wait under a signal storm";
const END_STORM: &str =
    "threads made against exit_group against execve, one host thread in ten refused";
const REQUEUE: &str = "requeues, PI locks, PI condition variables";
const ROBUST: &str = "owners' deaths at every point of the robust lock protocol";
const SYNC: &str = "cancellation, barriers, rwlocks, condition variables";

/// What is promised to survive.
pub(crate) const PROGRAMS: [Program; 7] = [
    program_of("forkstorm", Kind::Glibc, FORK_STORM),
    Program {
        fail_threads: 100_000,
        ..program_of("endstorm", Kind::Glibc, END_STORM)
    },
    program_of("requeue", Kind::Glibc, REQUEUE),
    program_of("robust", Kind::Glibc, ROBUST),
    program_of("sync", Kind::Glibc, SYNC),
    program_of("sync", Kind::Musl, SYNC),
    program_of("go", Kind::Go, "Go's scheduler under SIGURG pre-emption"),
];

/// What longer runs do besides.
const MORE: [Program; 5] = [
    program_of("mixed", Kind::Glibc, "everything at once, for five seconds"),
    program_of("forkstorm", Kind::Musl, FORK_STORM),
    program_of("endstorm", Kind::Glibc, "as above, no thread refused"),
    program_of("endstorm", Kind::Musl, "as above, no thread refused"),
    program_of("requeue", Kind::Musl, REQUEUE),
];

/// One run takes a second or so; one that takes this long does not end.
const LIMIT_S: u64 = 90;
/// Of each program that needs nothing fetched, in `cargo xtask test`.
const BOUNDED_RUNS: usize = 4;

#[derive(Args)]
pub(crate) struct StressArgs {
    /// How long
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// So many runs of each program instead
    #[arg(long)]
    runs: Option<usize>,
    /// Only programs whose name contains this
    #[arg(long)]
    program: Option<String>,
    /// The first run's seed, to repeat a run
    #[arg(long)]
    seed: Option<u64>,
    /// Run them on the host's kernel instead, those that it can
    #[arg(long)]
    host: bool,
}

/// A program and where it is.
pub(crate) struct Built {
    pub(crate) program: Program,
    path: PathBuf,
    is_host: bool,
}

impl Program {
    pub(crate) fn build(self, is_host: bool) -> Result<Built> {
        let machine = match is_host {
            true => Machine::Host,
            false => Machine::Riscv64,
        };
        Ok(Built {
            path: program(self.name, self.kind, machine)?,
            program: self,
            is_host,
        })
    }

    pub(crate) fn title(&self) -> String {
        let refused = match self.fail_threads {
            0 => "",
            _ => ", threads refused",
        };
        format!("{} ({}{refused})", self.name, self.kind.name())
    }
}

impl Built {
    fn job(&self, seed: u64) -> Job {
        let mut words: Vec<std::ffi::OsString> = Vec::new();
        if !self.is_host {
            words.push(column::rivix_program().into());
            words.extend(["run", "--quiet", "--check-leaks"].map(Into::into));
            if self.program.fail_threads > 0 {
                words.push("--fail-threads".into());
                words.push(self.program.fail_threads.to_string().into());
            }
            words.push("--".into());
        }
        words.push(self.path.clone().into());
        words.push(seed.to_string().into());
        Job::new(words).limit(LIMIT_S)
    }

    /// One run: how long it took, or what went wrong and the command that did.
    pub(crate) fn run(&self, seed: u64) -> Result<Result<Duration, String>> {
        let job = self.job(seed);
        let judged = self.judge(&process::run(&job)?);
        Ok(judged.map_err(|complaint| format!("{complaint}; it was: {}", job.line())))
    }

    fn judge(&self, outcome: &Outcome) -> Result<Duration, String> {
        let told = outcome.out();
        let counts = format!("{}: ", self.program.name);
        let has_leaks_line = self.is_host
            || outcome
                .err()
                .contains("left over: 0 processes, 0 threads, 0 ids,");
        if outcome.success() && told.starts_with(&counts) && has_leaks_line {
            return Ok(outcome.wall);
        }
        let err = outcome.err();
        let lines: Vec<_> = told.lines().chain(err.lines()).collect();
        let last = &lines[lines.len().saturating_sub(6)..];
        Err(format!("{}; {}", outcome.ending(), last.join(" | ")))
    }
}

/// What became of a program's runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) good: usize,
    /// Seed and complaint.
    pub(crate) bad: Vec<(u64, String)>,
    pub(crate) slowest: Duration,
}

impl Tally {
    fn add(&mut self, seed: u64, result: Result<Duration, String>) {
        match result {
            Ok(wall) => {
                self.good += 1;
                self.slowest = self.slowest.max(wall);
            }
            Err(complaint) => self.bad.push((seed, complaint)),
        }
    }
}

/// Runs of one program, with the seeds from `first` on, as many at once as there
/// are processors. After a few bad ones it gives up.
pub(crate) fn repeat(built: &Built, first: u64, runs: usize) -> Result<Tally> {
    repeat_run(first, runs, |seed| built.run(seed))
}

/// The same for anything that has runs: `run` tells how long one took, or what was
/// wrong with it.
pub(crate) fn repeat_run(
    first: u64,
    runs: usize,
    run: impl Fn(u64) -> Result<Result<Duration, String>> + Sync,
) -> Result<Tally> {
    const ENOUGH: usize = 3;
    let next = AtomicUsize::new(0);
    let is_enough = AtomicBool::new(false);
    let tally = Mutex::new(Tally::default());
    let at_once = std::thread::available_parallelism().map_or(1, usize::from);
    let (send, errors) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            let send = send.clone();
            let (next, is_enough, tally, run) = (&next, &is_enough, &tally, &run);
            scope.spawn(move || {
                while !is_enough.load(Ordering::Relaxed) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= runs {
                        break;
                    }
                    let seed = first.wrapping_add(index as u64);
                    match run(seed) {
                        Ok(result) => {
                            let mut tally = tally.lock().unwrap_or_else(|e| e.into_inner());
                            tally.add(seed, result);
                            if tally.bad.len() >= ENOUGH {
                                is_enough.store(true, Ordering::Relaxed);
                            }
                        }
                        Err(error) => {
                            let _ = send.send(error);
                            break;
                        }
                    }
                }
            });
        }
    });
    drop(send);
    if let Ok(error) = errors.recv() {
        return Err(error);
    }
    Ok(tally.into_inner().unwrap_or_else(|e| e.into_inner()))
}

fn random_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    let state = std::collections::hash_map::RandomState::new();
    state.build_hasher().finish() >> 24
}

pub(crate) fn run(args: &StressArgs) -> Result<bool> {
    setup::run()?;
    if !args.host {
        shell::build_rivix()?;
    }
    let mut programs = Vec::new();
    for program in PROGRAMS.into_iter().chain(MORE) {
        let is_wanted = |text: &str| program.title().contains(text);
        let can = !args.host || program.kind == Kind::Glibc;
        if can && args.program.as_deref().is_none_or(is_wanted) {
            programs.push(program.build(args.host)?);
        }
    }
    anyhow::ensure!(!programs.is_empty(), "no stress program is called so");
    let first = args.seed.unwrap_or_else(random_seed);
    println!("seeds from {first} on");
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    let end = Instant::now() + Duration::from_secs(args.minutes * 60);
    // Some runs of each in turn, so that a short time covers all of them.
    const SLICE: usize = 10;
    let mut done = 0;
    while match args.runs {
        Some(runs) => done < runs,
        None => Instant::now() < end,
    } {
        let slice = args.runs.map_or(SLICE, |runs| SLICE.min(runs - done));
        for built in &programs {
            let result = repeat(built, first.wrapping_add(done as u64), slice)?;
            let tally = tallies.entry(built.program.title()).or_default();
            for (seed, complaint) in &result.bad {
                println!("FAILED {} seed {seed}: {complaint}", built.program.title());
            }
            tally.good += result.good;
            tally.slowest = tally.slowest.max(result.slowest);
            tally.bad.extend(result.bad);
            if args.runs.is_none() && Instant::now() > end {
                break;
            }
        }
        done += slice;
    }
    print(&tallies);
    let (passed, failed) = sums(&tallies);
    println!("{passed} passed, {failed} failed");
    Ok(failed == 0 && passed > 0)
}

fn print(tallies: &BTreeMap<String, Tally>) {
    println!(
        "{:36} {:>6} {:>6} {:>10}",
        "program", "good", "bad", "slowest s"
    );
    for (title, tally) in tallies {
        let slowest = tally.slowest.as_secs_f64();
        println!(
            "{title:36} {:>6} {:>6} {slowest:>10.2}",
            tally.good,
            tally.bad.len()
        );
    }
}

fn sums(tallies: &BTreeMap<String, Tally>) -> (usize, usize) {
    let good = tallies.values().map(|t| t.good).sum();
    (good, tallies.values().map(|t| t.bad.len()).sum())
}

/// Some runs of each program that needs nothing fetched: good ones and bad ones.
pub(crate) fn bounded() -> Result<(usize, usize)> {
    let mut tallies = BTreeMap::new();
    for program in unfetched() {
        tallies.insert(program.title(), bounded_runs(program)?);
    }
    tallies.insert("kick (a run of each kind)".to_owned(), kick::bounded()?);
    for (title, tally) in &tallies {
        for (seed, complaint) in &tally.bad {
            println!("FAILED {title} seed {seed}: {complaint}");
        }
    }
    print(&tallies);
    Ok(sums(&tallies))
}

/// The same of one program, if there is one of that name.
pub(crate) fn bounded_of(name: &str) -> Result<Option<Tally>> {
    if name == "kick" {
        return kick::bounded().map(Some);
    }
    unfetched()
        .find(|program| program.name == name)
        .map(bounded_runs)
        .transpose()
}

fn unfetched() -> impl Iterator<Item = Program> {
    PROGRAMS.into_iter().filter(|p| p.kind == Kind::Glibc)
}

fn bounded_runs(program: Program) -> Result<Tally> {
    repeat(&program.build(false)?, random_seed(), BOUNDED_RUNS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    fn outcome(code: i32, out: &str, err: &str) -> Outcome {
        Outcome {
            status: std::process::ExitStatus::from_raw(code << 8),
            stdout: out.into(),
            stderr: err.into(),
            timed_out: false,
            wall: Duration::from_millis(1),
            cpu: Duration::ZERO,
            max_rss_kib: 0,
        }
    }

    #[test]
    fn a_run_is_good_only_with_its_counts_and_nothing_left() {
        let built = Built {
            program: PROGRAMS[0],
            path: PathBuf::new(),
            is_host: false,
        };
        let clean = "rivix: left over: 0 processes, 0 threads, 0 ids, 0 windows";
        #[track_caller]
        fn check(built: &Built, outcome: Outcome, is_good: bool) {
            assert_eq!(built.judge(&outcome).is_ok(), is_good, "{outcome:?}");
        }
        check(&built, outcome(0, "forkstorm: 96 forks", clean), true);
        check(&built, outcome(125, "forkstorm: 96 forks", clean), false);
        check(&built, outcome(0, "", clean), false);
        check(&built, outcome(0, "forkstorm: 96 forks", ""), false);
        let mut late = outcome(0, "forkstorm: 96 forks", clean);
        late.timed_out = true;
        check(&built, late, false);
    }
}
