//! Item 5: what threads, futexes, pipes, signals, processes and system calls cost,
//! beside native code and qemu-riscv64. The programs time themselves; the three
//! are run in turn, round after round on one CPU, and the least of each counts.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use rivix_testsuite::paths;
use rivix_testsuite::process::{self, Job};
use rivix_testsuite::toolchain::{Build, Machine};

use super::AcceptArgs;
use super::Report;
use crate::bench::Runner;

const ROUNDS: usize = 7;
const LIMIT_S: u64 = 240;

/// One figure: a program of `testsuite/bench`, and how many times native's time
/// it may take.
struct Row {
    title: &'static str,
    program: &'static str,
    args: &'static [&'static str],
    /// None: reported only.
    target: Option<f64>,
}

const fn row(
    title: &'static str,
    program: &'static str,
    args: &'static [&'static str],
    target: Option<f64>,
) -> Row {
    Row {
        title,
        program,
        args,
        target,
    }
}

const ROWS: [Row; 16] = [
    row(
        "thread create+join, a worker idle",
        "thread_join",
        &["idle"],
        Some(2.0),
    ),
    row(
        "thread create+join, none idle",
        "thread_join",
        &["cold"],
        None,
    ),
    row("futex ping-pong", "futex_turns", &[], Some(1.3)),
    row("pipe ping-pong", "pipe_turns", &[], Some(1.3)),
    row("signal round trip", "signal_trip", &[], Some(1.5)),
    row(
        "fork+exit+wait, 1 MiB, touching 0%",
        "fork_resident",
        &["1", "0"],
        Some(2.0),
    ),
    row(
        "fork+exit+wait, 1 MiB, touching 1%",
        "fork_resident",
        &["1", "1"],
        Some(2.0),
    ),
    row(
        "fork+exit+wait, 1 MiB, touching 100%",
        "fork_resident",
        &["1", "100"],
        None,
    ),
    row(
        "fork+exit+wait, 64 MiB, touching 0%",
        "fork_resident",
        &["64", "0"],
        Some(2.0),
    ),
    row(
        "fork+exit+wait, 64 MiB, touching 1%",
        "fork_resident",
        &["64", "1"],
        Some(2.0),
    ),
    row(
        "fork+exit+wait, 64 MiB, touching 100%",
        "fork_resident",
        &["64", "100"],
        None,
    ),
    row(
        "fork+exit+wait, 1 GiB, touching 0%",
        "fork_resident",
        &["1024", "0"],
        Some(2.0),
    ),
    row(
        "fork+exit+wait, 1 GiB, touching 1%",
        "fork_resident",
        &["1024", "1"],
        Some(2.0),
    ),
    row(
        "fork+exit+wait, 1 GiB, touching 100%",
        "fork_resident",
        &["1024", "100"],
        None,
    ),
    row("posix_spawn+wait", "spawn_wait", &[], Some(3.0)),
    row("system call, uncontended", "plain_syscall", &[], Some(1.0)),
];

/// What one run printed.
#[derive(Clone, Debug, PartialEq)]
struct Printed {
    ns: f64,
    /// All but the time: the same under every kernel.
    rest: String,
}

/// The time is the word before `ns` or `us`.
fn parse(line: &str) -> Option<Printed> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let at = words.iter().position(|w| matches!(*w, "ns" | "us"))?;
    let value: f64 = words.get(at.checked_sub(1)?)?.parse().ok()?;
    let times = if words[at] == "us" { 1e3 } else { 1.0 };
    let rest = words[..at - 1].iter().chain(&words[at + 1..]);
    Some(Printed {
        ns: value * times,
        rest: rest.copied().collect::<Vec<_>>().join(" "),
    })
}

/// The least time of a row under one runner, or why there is none.
type Figure = Result<Printed, String>;

fn run_once(runner: &Runner, program: &Path, args: &[&str]) -> Result<Figure> {
    let words = runner
        .prefix
        .iter()
        .map(Into::into)
        .chain([program.as_os_str().to_owned()])
        .chain(args.iter().map(Into::into));
    let cpu = std::thread::available_parallelism().map_or(0, |n| n.get() - 1);
    let job = Job::new::<std::ffi::OsString>(words)
        .limit(LIMIT_S)
        .cpu(cpu);
    let outcome = process::run(&job)?;
    let told = outcome.out();
    let printed = told.lines().next().and_then(parse);
    Ok(match printed {
        Some(printed) if outcome.success() => Ok(printed),
        _ => {
            let err = outcome.err();
            let last = err.lines().last().unwrap_or("");
            Err(format!("{} {last}", outcome.ending()))
        }
    })
}

/// Keeps the better of two figures of one row and runner.
fn keep(best: &mut Option<Figure>, new: Figure) {
    match (best.as_mut(), new) {
        (None, new) => *best = Some(new),
        // Once wrong, wrong.
        (Some(Err(_)), _) => {}
        (Some(_), Err(why)) => *best = Some(Err(why)),
        (Some(Ok(old)), Ok(new)) if old.rest != new.rest => {
            *best = Some(Err(format!("{} and {} in two runs", old.rest, new.rest)));
        }
        (Some(Ok(old)), Ok(new)) => old.ns = old.ns.min(new.ns),
    }
}

pub(crate) fn show(report: &mut Report, _: &AcceptArgs) -> Result<()> {
    let runners = [Runner::native(), Runner::qemu(), Runner::rivix()];
    let mut programs = BTreeMap::new();
    for row in &ROWS {
        let source = paths::testsuite()
            .join("bench")
            .join(format!("{}.c", row.program));
        for machine in [Machine::Host, Machine::Riscv64] {
            let built = Build::new(&source, machine).program()?;
            programs.insert((row.program, machine == Machine::Host), built);
        }
    }
    let mut figures: Vec<[Option<Figure>; 3]> = ROWS.iter().map(|_| [const { None }; 3]).collect();
    for round in 0..ROUNDS {
        for (row, figures) in ROWS.iter().zip(&mut figures) {
            for (runner, best) in runners.iter().zip(figures) {
                let program = programs
                    .get(&(row.program, runner.machine == Machine::Host))
                    .context("a program that was not built")?;
                // What does not run once is not tried again.
                if !matches!(best, Some(Err(_))) {
                    keep(best, run_once(runner, program, row.args)?);
                }
            }
        }
        eprintln!("round {} of {ROUNDS} done", round + 1);
    }
    for (row, figures) in ROWS.iter().zip(&figures) {
        let [native, qemu, rivix] = figures.each_ref().map(Option::as_ref);
        judge(report, row, native, qemu, rivix);
    }
    Ok(())
}

fn judge(
    report: &mut Report,
    row: &Row,
    native: Option<&Figure>,
    qemu: Option<&Figure>,
    rivix: Option<&Figure>,
) {
    let shown = |figure: Option<&Figure>, native: Option<&Printed>| match figure {
        None => "not run".to_owned(),
        Some(Err(why)) => why.trim().to_owned(),
        Some(Ok(printed)) => {
            let us = printed.ns / 1e3;
            let times = native.map_or(0.0, |n| printed.ns / n.ns.max(1e-3));
            format!("{us:.2} us, {times:.2} times")
        }
    };
    let base = native.and_then(|figure| figure.as_ref().ok());
    let measured = format!(
        "native {:.2} us; qemu {}; rivix {}",
        base.map_or(0.0, |n| n.ns / 1e3),
        shown(qemu, base),
        shown(rivix, base)
    );
    let ratio = match (base, rivix) {
        (Some(base), Some(Ok(own))) if base.rest == own.rest => Some(own.ns / base.ns.max(1e-3)),
        _ => None,
    };
    match row.target {
        Some(target) => report.check(
            format!("{}: at most {target} times native", row.title),
            ratio.is_some_and(|ratio| ratio <= target),
            measured,
        ),
        None => report.check(
            format!("{}: reported", row.title),
            ratio.is_some(),
            measured,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_a_time_and_a_rest() {
        let printed = |ns, rest: &str| {
            Some(Printed {
                ns,
                rest: rest.into(),
            })
        };
        assert_eq!(
            parse("futex_turns 12.5 ns 00ff"),
            printed(12.5, "futex_turns 00ff")
        );
        assert_eq!(parse("fork 3 us 7"), printed(3000.0, "fork 7"));
        assert_eq!(parse("ns"), None);
        assert_eq!(parse("a b c"), None);
    }

    #[test]
    fn the_least_counts_and_a_wrong_run_spoils_it() {
        let figure = |ns, rest: &str| -> Figure {
            Ok(Printed {
                ns,
                rest: rest.into(),
            })
        };
        let mut best = None;
        for ns in [5.0, 3.0, 4.0] {
            keep(&mut best, figure(ns, "p 1"));
        }
        assert_eq!(best, Some(figure(3.0, "p 1")));
        keep(&mut best, figure(2.0, "p 2"));
        assert!(matches!(best, Some(Err(_))));
        keep(&mut best, figure(2.0, "p 1"));
        assert!(matches!(best, Some(Err(_))));
    }

    #[test]
    fn a_target_is_met_or_missed() {
        let row = row("x", "x", &[], Some(2.0));
        let figure = |ns| -> Figure {
            Ok(Printed {
                ns,
                rest: "x 1".into(),
            })
        };
        #[track_caller]
        fn check(row: &Row, native: Figure, rivix: Figure, is_met: bool) {
            let mut report = Report::default();
            judge(&mut report, row, Some(&native), None, Some(&rivix));
            assert_eq!(report.failed == 0, is_met);
        }
        check(&row, figure(10.0), figure(19.0), true);
        check(&row, figure(10.0), figure(21.0), false);
        check(&row, figure(10.0), Err("exit 1".into()), false);
    }
}
