//! Item 4: everything at once for ten minutes, and what the host process holds
//! before, meanwhile and after. The guest pauses between rounds, when nothing of
//! its work is left; what is held then must not grow.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rivix_testsuite::column;
use rivix_testsuite::toolchain::Machine;

use super::AcceptArgs;
use super::Report;
use crate::stress::{Kind, program};

/// Process lifetimes there have to be in ten minutes.
const LIFETIMES: u64 = 100_000;
const FULL_S: u64 = 600;
/// Rounds before anything is compared: pools fill, the allocator settles.
const WARM_UP: usize = 3;
/// What pools may keep more or less of at one moment than at another.
const SLACK_THREADS: u64 = 4;
const SLACK_FDS: u64 = 4;
const SLACK_WINDOWS: u64 = 4;
/// The allocator has an arena of two mappings more now and then, eight for each
/// processor at most.
const SLACK_MAPPINGS: u64 = 48;
const SLACK_KIB: u64 = 8 << 10;
/// The C library keeps stacks of ended threads, two mappings each, up to 40 MiB and
/// to as many as there ever were threads at once: a record broken again and again.
const NO_KEPT_STACKS: (&str, &str) = ("GLIBC_TUNABLES", "glibc.pthread.stack_cache_size=0");

/// What a host process holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Held {
    threads: u64,
    fds: u64,
    /// Address space in units of a guest's window, 2^38 bytes.
    windows: u64,
    mappings: u64,
    resident_kib: u64,
}

impl Held {
    fn by(pid: u32) -> Result<Held> {
        let count = |what: &str| -> Result<u64> {
            Ok(fs::read_dir(format!("/proc/{pid}/{what}"))?.count() as u64)
        };
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let kib = |name: &str| -> Result<u64> {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .with_context(|| format!("no {name} in status"))?;
            let number = line.trim_start_matches(':').split_whitespace().next();
            Ok(number.context("an empty line")?.parse()?)
        };
        let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
        Ok(Held {
            threads: count("task")?,
            fds: count("fd")?,
            windows: kib("VmSize")? >> 28,
            mappings: maps.lines().count() as u64,
            resident_kib: kib("VmRSS")?,
        })
    }

    /// Each amount with a name and by how much more is no growth.
    fn amounts(self) -> [(&'static str, u64, u64); 5] {
        [
            ("threads", self.threads, SLACK_THREADS),
            ("descriptors", self.fds, SLACK_FDS),
            ("windows", self.windows, SLACK_WINDOWS),
            ("mappings", self.mappings, SLACK_MAPPINGS),
            ("resident KiB", self.resident_kib, SLACK_KIB),
        ]
    }
}

pub(crate) fn show(report: &mut Report, args: &AcceptArgs) -> Result<()> {
    let guest = program("mixed", Kind::Glibc, Machine::Riscv64)?;
    let mut child = Command::new(column::rivix_program())
        // The guest's own C library keeps what it always does.
        .args(["run", "--quiet", "--check-leaks", "--clear-env", "--"])
        .arg(&guest)
        .arg("1")
        .arg(args.stress_seconds.to_string())
        .env(NO_KEPT_STACKS.0, NO_KEPT_STACKS.1)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start rivix")?;
    let watched = watch(report, args, &mut child);
    if watched.is_err() {
        let _ = child.kill();
    }
    let status = child.wait()?;
    let mut complaints = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_string(&mut complaints)?;
    }
    report.note(complaints.trim());
    report.check(
        "the guest found nothing lost, and nothing is left over at the end",
        status.success(),
        status,
    );
    watched
}

fn watch(report: &mut Report, args: &AcceptArgs, child: &mut std::process::Child) -> Result<()> {
    let pid = child.id();
    let stdout = child.stdout.take().context("no standard output")?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    // Lines come through a channel, so that a guest that hangs is noticed.
    let (send, lines) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                break;
            }
        }
    });
    let began = Instant::now();
    let mut readings: Vec<(Duration, u64, Held)> = Vec::new();
    let mut last_line = String::new();
    report.note(format!(
        "{:>8} {:>10} {:>8} {:>12} {:>8} {:>9} {:>13}",
        "seconds", "lifetimes", "threads", "descriptors", "windows", "mappings", "resident KiB"
    ));
    let ended = loop {
        match lines.recv_timeout(Duration::from_secs(120)) {
            Ok(line) => {
                // Threads on their way out are gone by then.
                std::thread::sleep(Duration::from_millis(100));
                let held = Held::by(pid)?;
                let lifetimes = lifetimes_in(&line).with_context(|| line.clone())?;
                let at = began.elapsed();
                let is_told = readings.len() == WARM_UP
                    || readings.len().is_multiple_of(6)
                    || at.as_secs() >= args.stress_seconds;
                if is_told {
                    report.note(format!(
                        "{:>8} {lifetimes:>10} {:>8} {:>12} {:>8} {:>9} {:>13}",
                        at.as_secs(),
                        held.threads,
                        held.fds,
                        held.windows,
                        held.mappings,
                        held.resident_kib
                    ));
                }
                readings.push((at, lifetimes, held));
                last_line = line;
                if writeln!(stdin).is_err() {
                    break true;
                }
            }
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break true,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => break false,
        }
    };
    drop(stdin);
    if !ended {
        ensure!(child.kill().is_ok(), "cannot end rivix");
    }
    let _ = reader.join();
    report.check(
        "no round hangs",
        ended,
        format!("{} rounds", readings.len()),
    );
    judge(report, args.stress_seconds, &readings);
    report.note(last_line);
    Ok(())
}

/// `mixed: 4044 lifetimes, ...`
fn lifetimes_in(line: &str) -> Option<u64> {
    line.strip_prefix("mixed: ")?
        .split_once(" lifetimes")?
        .0
        .parse()
        .ok()
}

fn judge(report: &mut Report, seconds: u64, readings: &[(Duration, u64, Held)]) {
    let (Some(first), Some(last)) = (readings.get(WARM_UP), readings.last()) else {
        report.check(
            "there are rounds to compare",
            false,
            format!("{} rounds", readings.len()),
        );
        return;
    };
    // A shorter run, as one tries the harness with, has to do its share.
    let enough = LIFETIMES * seconds.min(FULL_S) / FULL_S;
    report.check(
        format!("at least {enough} process lifetimes in {seconds} s"),
        last.1 >= enough,
        last.1,
    );
    for ((name, before, slack), (_, after, _)) in
        first.2.amounts().into_iter().zip(last.2.amounts())
    {
        report.check(
            format!("{name}: flat"),
            after <= before + slack,
            format!("{before} before, {after} after"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_seen() {
        let held = |threads| Held {
            threads,
            fds: 10,
            windows: 3,
            mappings: 100,
            resident_kib: 9000,
        };
        let readings = |last| -> Vec<_> {
            let steady = (0..9).map(|n| (Duration::from_secs(n), n * 1000, held(12)));
            steady
                .chain([(Duration::from_secs(60), 200_000, held(last))])
                .collect()
        };
        let mut report = Report::default();
        judge(&mut report, 60, &readings(13));
        assert_eq!((report.passed, report.failed), (6, 0));
        let mut report = Report::default();
        judge(&mut report, 60, &readings(40));
        assert_eq!((report.passed, report.failed), (5, 1));
        let mut report = Report::default();
        judge(&mut report, 60, &readings(13)[..2]);
        assert_eq!((report.passed, report.failed), (0, 1));
    }

    #[test]
    fn a_line_tells_lifetimes() {
        let line = "mixed: 4044 lifetimes, 1062 threads, 1011 signals";
        assert_eq!(lifetimes_in(line), Some(4044));
        assert_eq!(lifetimes_in("else"), None);
    }

    #[test]
    fn this_process_holds_something() {
        let held = Held::by(std::process::id()).expect("own /proc");
        assert!(held.threads >= 1 && held.fds >= 3 && held.mappings > 10 && held.resident_kib > 0);
    }
}
