//! An idle runtime uses no CPU: a guest in `sleep 62`, looked at twice, 60 s
//! apart.
//!
//! The kernel counts a thread's time on a processor in nanoseconds, and each of
//! its sleeps (`voluntary_ctxt_switches`); both are read for every thread. A
//! thread that polls, however cheaply, shows as sleeps.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::AcceptArgs;
use super::Report;
use crate::bench::Runner;
use crate::debian;

/// The readings, in seconds after the start. The second is a moment before
/// second 62, when the guest's sleep ends.
const READINGS: [f64; 2] = [2.0, 61.98];
const MOST_CPU: Duration = Duration::from_millis(1);
/// A worker may once in a while see its idle time run out; two sleeps in a
/// minute are no period.
const MOST_SLEEPS: u64 = 2;

/// One thread at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Thread {
    name: String,
    cpu: Duration,
    sleeps: u64,
    preempted: u64,
}

pub(crate) fn show(report: &mut Report, _: &AcceptArgs) -> Result<()> {
    let guests = debian::guests()?;
    let busybox = guests.busybox("riscv64");
    let words = Runner::rivix().prefix;
    let mut command = Command::new(&words[0]);
    command
        .args(&words[1..])
        .arg(&busybox)
        .args(["sleep", "62"]);
    report.note(crate::shell::line_of(&command));
    let start = Instant::now();
    let mut child = command.stdin(Stdio::null()).spawn()?;
    let mut readings = Vec::new();
    for at in READINGS {
        let at = start + Duration::from_secs_f64(at);
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
        readings.push((start.elapsed(), threads(child.id())));
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    let status = loop {
        match child.try_wait()? {
            Some(status) => break Some(status),
            None if Instant::now() > deadline => {
                child.kill()?;
                child.wait()?;
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    report.check(
        "the guest sleeps and ends with 0",
        status.is_some_and(|status| status.success()),
        format!(
            "{} after {:.2} s",
            status.map_or("still running".into(), |s| s.to_string()),
            start.elapsed().as_secs_f64()
        ),
    );
    let [(first_at, first), (second_at, second)] = &readings[..] else {
        anyhow::bail!("two readings");
    };
    judge(
        report,
        first.as_ref().ok().context("the first reading")?,
        second.as_ref().ok().context("the second reading")?,
        (*first_at, *second_at),
    );
    Ok(())
}

fn judge(
    report: &mut Report,
    first: &BTreeMap<u32, Thread>,
    second: &BTreeMap<u32, Thread>,
    (from, to): (Duration, Duration),
) {
    let mut cpu = Duration::ZERO;
    let mut most_sleeps = 0;
    let mut come = 0;
    for (tid, thread) in second {
        come += usize::from(!first.contains_key(tid));
        let before = first.get(tid).cloned().unwrap_or_default();
        let used = thread.cpu.saturating_sub(before.cpu);
        let sleeps = thread.sleeps.saturating_sub(before.sleeps);
        report.note(format!(
            "thread {tid} {:16} {:>9.1} us on a CPU, {sleeps} sleeps, {} preemptions",
            thread.name,
            used.as_secs_f64() * 1e6,
            thread.preempted.saturating_sub(before.preempted)
        ));
        cpu += used;
        most_sleeps = most_sleeps.max(sleeps);
    }
    let gone = first.keys().filter(|tid| !second.contains_key(tid)).count();
    report.check(
        format!(
            "at most {} us of CPU between {:.2} s and {:.2} s",
            MOST_CPU.as_micros(),
            from.as_secs_f64(),
            to.as_secs_f64()
        ),
        cpu <= MOST_CPU,
        format!(
            "{:.1} us in {} threads",
            cpu.as_secs_f64() * 1e6,
            second.len()
        ),
    );
    report.check(
        format!("no periodic wake-ups: no thread slept anew more than {MOST_SLEEPS} times"),
        most_sleeps <= MOST_SLEEPS,
        format!("at most {most_sleeps} in one thread"),
    );
    // What a thread used that has ended by the second reading is in no count.
    report.check(
        "no thread came or went meanwhile",
        come == 0 && gone == 0,
        format!("{come} came, {gone} went"),
    );
}

fn threads(pid: u32) -> Result<BTreeMap<u32, Thread>> {
    let mut threads = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
        let folder = entry?.path();
        let tid = folder.file_name().unwrap_or_default().to_string_lossy();
        match thread(&folder) {
            Ok(thread) => drop(threads.insert(tid.parse()?, thread)),
            // It ended after the folder was listed.
            Err(_) if !folder.exists() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(threads)
}

fn thread(folder: &Path) -> Result<Thread> {
    let schedstat = fs::read_to_string(folder.join("schedstat"))
        .context("the kernel counts no scheduling (CONFIG_SCHED_INFO)")?;
    let nanoseconds = schedstat
        .split_whitespace()
        .next()
        .context("an empty schedstat")?;
    let status = fs::read_to_string(folder.join("status"))?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.map(|rest| rest.trim_start_matches(':').trim().to_owned())
            .with_context(|| format!("no {name} in status"))
    };
    Ok(Thread {
        name: field("Name")?,
        cpu: Duration::from_nanos(nanoseconds.parse()?),
        sleeps: field("voluntary_ctxt_switches")?.parse()?,
        preempted: field("nonvoluntary_ctxt_switches")?.parse()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleeper_is_told_from_a_poller() {
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let other = {
            let stop = stop.clone();
            std::thread::Builder::new()
                .name("a-poller".into())
                .spawn(move || {
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                })
                .expect("a thread")
        };
        std::thread::sleep(Duration::from_millis(20));
        let find = || {
            let threads = threads(std::process::id()).expect("own threads");
            let found = threads.into_iter().find(|(_, t)| t.name == "a-poller");
            BTreeMap::from([found.expect("the poller")])
        };
        let first = find();
        std::thread::sleep(Duration::from_millis(200));
        let second = find();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        other.join().expect("the poller ends");
        let mut report = Report::default();
        let span = (Duration::ZERO, Duration::from_millis(200));
        judge(&mut report, &first, &second, span);
        assert!(report.failed >= 1, "a poller passed");
        let mut report = Report::default();
        judge(&mut report, &first, &first, span);
        assert_eq!(report.failed, 0, "a sleeper failed");
    }
}
