//! `rivix run`.

use crate::args::RunArgs;
use crate::failure::{self, Failure};
use crate::signals::{self, Target};
use crate::{Outcome, leaks, log, report};
use rivix::{Child, ExitReason, ExitStatus, Sandbox, Stdio};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{LineWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Of timeout(1).
const EXIT_DEADLINE: u8 = 124;

pub(crate) fn run(args: RunArgs) -> Outcome {
    log::start(args.quiet)?;
    let began = Instant::now();
    let sandbox = Arc::new(sandbox(&args)?);
    let before = leaks::Baseline::of(&sandbox);
    let ignored = signals::hold();
    let child = sandbox
        .command(&args.program)
        .args(&args.args)
        .stdin(Stdio::inherit())
        .stdout(Stdio::inherit())
        .stderr(Stdio::inherit())
        .ignore_signals(ignored)
        .spawn()?;

    // Not before: a sandbox that cannot begin is no test of one that runs.
    rivix::testing::fail_thread_creations(args.fail_threads);
    let child = Arc::new(child);
    forward_signals(&sandbox, &child)?;
    let status = child.join();
    let stray = args.check_leaks.then(|| leaks::stray(&sandbox));
    // The counters are read when everything has ended, so that they are whole.
    let is_over = sandbox.shutdown();
    if args.stats {
        let text = report::stats(&sandbox.stats(), began.elapsed(), cpu_time());
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
    if let Some(stray) = stray
        && !leaks::report(before, stray, &sandbox, is_over)
    {
        return Ok(ExitCode::from(125));
    }
    Ok(finish(&args, &status))
}

fn sandbox(args: &RunArgs) -> Result<Sandbox, Failure> {
    let mut builder = Sandbox::builder()
        .root(&args.root)
        .engine(args.engine.parse()?)
        .abi(args.abi.parse()?)
        .count_calls(args.stats);
    if signals::is_under_job_control() {
        // The guest stopped as job control asked: so does this process, until
        // SIGCONT, which is passed on.
        builder = builder.on_stop(|_| signals::stop_self());
    }
    if !args.clear_env {
        builder = builder.envs(std::env::vars_os().filter(|(key, _)| is_name(key)));
    }
    for entry in &args.env {
        let (key, value) = split_variable(entry)?;
        builder = builder.env(key, value);
    }
    builder = builder.cwd(working_directory(args)?);
    if let Some(after) = args.deadline {
        builder = builder.deadline(after);
    }
    if let Some(path) = &args.strace {
        builder = match trace_file(path)? {
            Some(file) => builder.strace(LineWriter::new(file)),
            None => builder.strace(std::io::stderr()),
        };
    }
    Ok(builder.build()?)
}

/// An inherited environment may hold entries no program would set.
fn is_name(key: &OsStr) -> bool {
    !key.is_empty() && !key.as_bytes().contains(&b'=')
}

fn split_variable(entry: &OsStr) -> Result<(&OsStr, &OsStr), Failure> {
    let bad = |what| {
        let thing = format!("--env {}", entry.to_string_lossy());
        Failure::new(&thing, what, "write it as --env KEY=VALUE")
    };
    let bytes = entry.as_bytes();
    let at = bytes
        .iter()
        .position(|&b| b == b'=')
        .ok_or_else(|| bad("has no ="))?;
    if at == 0 {
        return Err(bad("has no name before the ="));
    }
    Ok((
        OsStr::from_bytes(&bytes[..at]),
        OsStr::from_bytes(&bytes[at + 1..]),
    ))
}

/// With the caller's own files, the caller's own directory.
fn working_directory(args: &RunArgs) -> Result<PathBuf, Failure> {
    if let Some(cwd) = &args.cwd {
        return Ok(cwd.clone());
    }
    if args.root != Path::new("/") {
        return Ok("/".into());
    }
    std::env::current_dir().map_err(|error| {
        Failure::new(
            "working directory",
            error,
            "go to one that exists, or give --cwd",
        )
    })
}

/// None: stderr.
fn trace_file(path: &Path) -> Result<Option<File>, Failure> {
    if path == Path::new("-") {
        return Ok(None);
    }
    let file = File::create(path).map_err(|error| {
        Failure::of_path(
            path,
            format!("cannot be written as the --strace file: {error}"),
            "name a file in a directory you may write",
        )
    })?;
    Ok(Some(file))
}

fn forward_signals(sandbox: &Arc<Sandbox>, child: &Arc<Child>) -> Result<(), Failure> {
    let (sandbox, child) = (Arc::downgrade(sandbox), child.clone());
    signals::forward(move |signal, target| {
        // A process that has just ended needs no signal.
        let _ = match (target, sandbox.upgrade()) {
            (Target::Foreground, Some(sandbox)) if child.has_terminal() => {
                sandbox.signal_foreground(signal)
            }
            (Target::Foreground | Target::Job, _) => child.signal_group(signal),
            (Target::Process, _) => child.signal(signal),
        };
    })
    .map_err(|error| {
        Failure::new(
            "signal thread",
            error,
            "raise the limit of processes (ulimit -u)",
        )
    })
}

/// Ends as the guest ended.
fn finish(args: &RunArgs, status: &ExitStatus) -> ExitCode {
    match status.reason() {
        ExitReason::Deadline => {
            if !args.quiet {
                let program = args.program.to_string_lossy();
                let after = args.deadline.unwrap_or_default();
                failure::say(&format!(
                    "{program}: killed when its deadline of {after:?} passed; give it more with --deadline"
                ));
            }
            return ExitCode::from(EXIT_DEADLINE);
        }
        ExitReason::Internal(what) => {
            failure::say(&format!(
                "{}: killed by a defect of rivix: {what}; please report it with RIVIX_LOG=debug",
                args.program.to_string_lossy()
            ));
            return ExitCode::from(125);
        }
        _ => {}
    }
    match (status.code(), status.signal()) {
        (Some(code), _) => ExitCode::from(code as u8),
        (None, Some(signal)) => {
            signals::die_by(signal);
            // Not reached unless the host refuses: as a shell reports it.
            ExitCode::from(128u8.wrapping_add(signal as u8))
        }
        (None, None) => ExitCode::from(125),
    }
}

/// CPU time of this process.
fn cpu_time() -> Duration {
    use nix::sys::resource::{UsageWho, getrusage};
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else {
        return Duration::ZERO;
    };
    let micros = |time: nix::sys::time::TimeVal| {
        Duration::from_secs(time.tv_sec().max(0) as u64)
            + Duration::from_micros(time.tv_usec().max(0) as u64)
    };
    micros(usage.user_time()) + micros(usage.system_time())
}
