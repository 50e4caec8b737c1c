//! Test programs: building them without running them, and the tests they hold.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use rivix_testsuite::process::{self, Job};
use serde::Deserialize;

/// One test program of one package.
#[derive(Clone, Debug)]
pub(crate) struct Binary {
    pub(crate) package: String,
    /// The target: `rivix_spawner` for a library's own tests, else the name of
    /// the file below `tests/`.
    pub(crate) target: String,
    pub(crate) program: PathBuf,
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    package_id: Option<String>,
    executable: Option<PathBuf>,
    target: Option<Target>,
    profile: Option<Profile>,
    message: Option<Rendered>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

#[derive(Deserialize)]
struct Rendered {
    rendered: Option<String>,
    level: String,
}

/// Runs a cargo command that builds and runs nothing (`test --no-run`,
/// `build`), and gives the programs it made: the test programs, or all.
pub(crate) fn build(command: &mut Command, tests_only: bool) -> Result<Vec<Binary>> {
    command.arg("--message-format=json");
    println!("+ {}", crate::shell::line_of(command));
    let output = command
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    let mut made = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Ok(message) = serde_json::from_str::<Message>(line) else {
            continue;
        };
        if let Some(text) = message.message.filter(|m| m.level == "error") {
            print!("{}", text.rendered.unwrap_or_default());
        }
        let is_test = message.profile.is_some_and(|p| p.test);
        if message.reason != "compiler-artifact" || (tests_only && !is_test) {
            continue;
        }
        if let (Some(program), Some(target), Some(id)) =
            (message.executable, message.target, message.package_id)
        {
            made.push(Binary {
                package: package_of(&id),
                target: target.name.replace('-', "_"),
                program,
            });
        }
    }
    ensure!(output.status.success(), "the build failed");
    Ok(made)
}

/// `path+file:///…/spawner#rivix-spawner@0.1.0`, or `…/xtask#0.1.0` when the
/// folder already bears the package's name.
fn package_of(id: &str) -> String {
    let (place, rest) = id.rsplit_once('#').unwrap_or(("", id));
    match rest.split_once('@') {
        Some((name, _)) => name.to_owned(),
        None => place.rsplit('/').next().unwrap_or(place).to_owned(),
    }
}

impl Binary {
    /// The tests that a plain run of it runs, by their full paths.
    pub(crate) fn tests(&self) -> Result<Vec<String>> {
        let ignored = self.list(&["--ignored"])?;
        let mut tests = self.list(&[])?;
        tests.retain(|test| !ignored.contains(test));
        Ok(tests)
    }

    fn list(&self, options: &[&str]) -> Result<Vec<String>> {
        let mut words = vec![self.program.as_os_str()];
        words.extend(["--list", "--format=terse"].map(OsStr::new));
        words.extend(options.iter().map(OsStr::new));
        let outcome = process::run(&Job::new(words).limit(60))?;
        ensure!(
            outcome.success(),
            "{} --list: {}",
            self.program.display(),
            outcome.ending()
        );
        Ok(outcome
            .out()
            .lines()
            .filter_map(|line| line.strip_suffix(": test"))
            .map(str::to_owned)
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_read_from_cargo_s_ids() {
        #[track_caller]
        fn check(id: &str, expect: &str) {
            assert_eq!(package_of(id), expect);
        }
        check(
            "path+file:///src/spawner#rivix-spawner@0.1.0",
            "rivix-spawner",
        );
        check("path+file:///src/xtask#0.1.0", "xtask");
    }
}
