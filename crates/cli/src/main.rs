//! The `rivix` program: the library's command line.
//!
//! Statuses: the guest's own; 124 when its deadline passed, as timeout(1) does;
//! 125 when Rivix failed, 126 when PROG cannot be executed, 127 when it is not
//! found, as env(1) does. A guest that a signal ended ends `rivix` by that signal.
//!
//! **Invariant C1:** `unsafe` here only calls the host's C library about signals,
//! with pointers to live local objects of the type the call expects.

mod args;
mod demo;
mod duration;
mod failure;
mod leaks;
mod log;
mod report;
mod run;
mod signals;

use args::{Cli, Task};
use clap::Parser;
use failure::Failure;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return failure::usage(&error),
    };
    let outcome = match cli.task {
        None => demo::run(),
        Some(Task::Run(args)) => run::run(*args),
        Some(Task::Info(args)) => report::info(&args),
        Some(Task::Doctor) => report::doctor(),
    };
    match outcome {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

/// A command's result: the status to end with, or what went wrong.
type Outcome = Result<ExitCode, Failure>;
