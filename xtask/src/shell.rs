//! Running other programs, cargo above all.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use rivix_testsuite::paths;

/// Cargo itself, at the top of the repository.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(paths::root());
    command
}

/// A command as a person would type it.
pub(crate) fn line_of(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|w| w.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Says what runs, runs it, and tells whether it succeeded.
pub(crate) fn step(command: &mut Command) -> Result<bool> {
    println!("+ {}", line_of(command));
    std::io::stdout().flush()?;
    let status = command
        .status()
        .with_context(|| format!("cannot run {}", line_of(command)))?;
    Ok(status.success())
}

/// Like [`step`], also handing every line of stdout to `each`.
pub(crate) fn step_lines(command: &mut Command, mut each: impl FnMut(&str)) -> Result<bool> {
    println!("+ {}", line_of(command));
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {}", line_of(command)))?;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            each(&line);
        }
    }
    Ok(child.wait()?.success())
}

/// Builds the release `rivix`, unless `RIVIX` names one.
pub(crate) fn build_rivix() -> Result<()> {
    if std::env::var_os("RIVIX").is_some() {
        return Ok(());
    }
    anyhow::ensure!(
        step(&mut cargo(&[
            "build",
            "--quiet",
            "--release",
            "-p",
            "rivix-cli"
        ]))?,
        "rivix does not build"
    );
    Ok(())
}
