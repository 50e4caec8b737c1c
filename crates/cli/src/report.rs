//! `rivix info`, `rivix doctor`, and the counters of `--stats`.

use crate::Outcome;
use crate::args::InfoArgs;
use rivix::Stats;
use rivix::doctor::{self, Verdict};
use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

pub(crate) fn info(args: &InfoArgs) -> Outcome {
    let info = rivix::info::inspect(&args.program)?;
    print!("{info}");
    Ok(if info.is_runnable() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(126)
    })
}

pub(crate) fn doctor() -> Outcome {
    println!("rivix {}", rivix::info::version_line());
    let findings = doctor::examine();
    for finding in &findings {
        println!("{finding}");
    }
    let count = |verdict| findings.iter().filter(|f| f.verdict == verdict).count();
    let (failed, warned) = (count(Verdict::Fail), count(Verdict::Warn));
    if failed > 0 {
        println!("\nThis host cannot run guests: {failed} of the checks above failed.");
        return Ok(ExitCode::FAILURE);
    }
    match warned {
        0 => println!("\nThis host can run guests."),
        n => println!("\nThis host can run guests, with the limits of the {n} warnings above."),
    }
    Ok(ExitCode::SUCCESS)
}

/// The text of `--stats`.
pub(crate) fn stats(stats: &Stats, wall: Duration, cpu: Duration) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "rivix: {name:<22} {value}");
    };
    line(
        "time",
        format!(
            "{:.3} s wall, {:.3} s cpu",
            wall.as_secs_f64(),
            cpu.as_secs_f64()
        ),
    );
    line("system calls", stats.syscalls.to_string());
    for (name, count) in stats.busiest_syscalls(12) {
        line("", format!("{count:>10} {name}"));
    }
    for (number, count) in &stats.unknown_syscalls {
        let name = rivix::stats::syscall_name(*number).unwrap_or("no such call");
        line("answered ENOSYS", format!("{count:>10} {number} ({name})"));
    }
    for (number, count) in &stats.unknown_teaching_calls {
        line(
            "answered -1",
            format!("{count:>10} {number} (no such call)"),
        );
    }
    line(
        "processes",
        format!(
            "{} created, {} now, {} execs",
            stats.processes_created, stats.processes_now, stats.execs
        ),
    );
    line(
        "threads",
        format!(
            "{} created, {} at once, {} now",
            stats.threads_created, stats.threads_peak, stats.threads_now
        ),
    );
    line("signals delivered", stats.signals_delivered.to_string());
    line("guest faults", stats.faults.to_string());
    if stats.instructions > 0 {
        line("instructions", stats.instructions.to_string());
    }
    line(
        "host threads",
        format!(
            "{} now, {} of them idle, {} created",
            stats.host_threads, stats.host_threads_idle, stats.host_threads_created
        ),
    );
    for pool in &stats.pools {
        let panics = match pool.panics {
            0 => String::new(),
            n => format!(", {n} panicked"),
        };
        line(
            "",
            format!(
                "{}, class {}: {} workers ({} idle, {} running), {} queued, {} created, {} refused, {} units{panics}",
                pool.name,
                pool.class,
                pool.workers,
                pool.idle,
                pool.running,
                pool.queued,
                pool.created,
                pool.refused,
                pool.units
            ),
        );
    }
    for lane in &stats.lanes {
        let state = if lane.is_open { "open" } else { "ended" };
        line(
            "lane",
            format!(
                "{}, {state}: {} units in {} batches, {} dropped, {} panicked",
                lane.name, lane.units, lane.batches, lane.dropped, lane.panics
            ),
        );
    }
    for (name, runs, is_busy) in &stats.jobs {
        let state = if *is_busy { "busy" } else { "idle" };
        line("job", format!("{name}, {state}: {runs} runs"));
    }
    line("kernel tasks", format!("{} now", stats.kernel_tasks_now));
    line("host descriptors", stats.host_fds.to_string());
    line("windows", stats.windows.to_string());
    line("host mappings", stats.host_mappings.to_string());
    if stats.shared_file_futexes > 0 {
        line(
            "futexes on host files",
            stats.shared_file_futexes.to_string(),
        );
    }
    if stats.panics > 0 {
        line("defects of rivix", stats.panics.to_string());
    }
    text
}
