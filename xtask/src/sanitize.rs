//! `cargo xtask sanitize`: the code that owns memory by hand, watched as it
//! runs. Slot storage and scoped calls run under Miri where it is installed;
//! else they, and the stress program, run under the address and the thread
//! sanitizer. Both need the nightly compiler.
//!
//! A sanitizer that finds nothing proves little unless it would have found
//! something: three small programs are built the same way first. One reads freed
//! memory, one races, and one is sound.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use rivix_testsuite::paths;
use rivix_testsuite::process::{self, Job, Outcome};

use crate::binaries::{self, Binary};
use crate::shell;

/// Slot storage and scoped calls: tests whose path contains one of these. There
/// must be some of each.
const MIRI: [&str; 2] = ["slot", "scoped"];
/// Tests of code that is unsafe, or that hands memory to other threads.
const UNSAFE: [&str; 5] = ["slot", "scoped", "lane", "ticket", "parker"];
const PACKAGES: [&str; 2] = ["rivix-sync", "rivix-spawner"];

const STRESS: [&str; 4] = ["plain", "panics", "faults", "inside"];
const STRESS_SPAWNS: &str = "4000";

const MIRI_LIMIT_S: u64 = 900;
const TESTS_LIMIT_S: u64 = 300;
const STRESS_LIMIT_S: u64 = 120;

#[derive(Args, Default)]
pub(crate) struct SanitizeArgs {
    /// Use the sanitizers even where Miri is installed
    #[arg(long)]
    no_miri: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sanitizer {
    Address,
    Thread,
}

impl Sanitizer {
    fn name(self) -> &'static str {
        match self {
            Sanitizer::Address => "address",
            Sanitizer::Thread => "thread",
        }
    }

    /// What its reports begin with.
    fn mark(self) -> &'static str {
        match self {
            Sanitizer::Address => "ERROR: AddressSanitizer",
            Sanitizer::Thread => "WARNING: ThreadSanitizer",
        }
    }

    /// The standard library comes without instrumentation; the compiler wants
    /// to be told that the mixture is meant.
    fn flags(self) -> String {
        format!(
            "-Zsanitizer={} -Cunsafe-allow-abi-mismatch=sanitizer",
            self.name()
        )
    }

    fn folder(self) -> PathBuf {
        paths::target().join(format!("sanitize-{}", self.name()))
    }

    fn options(self) -> (&'static str, String) {
        match self {
            // What a test leaks is no use after free; std keeps some for ever.
            Sanitizer::Address => ("ASAN_OPTIONS", "detect_leaks=0".into()),
            Sanitizer::Thread => {
                let file = sources().join("thread.supp");
                ("TSAN_OPTIONS", format!("suppressions={}", file.display()))
            }
        }
    }

    fn job(self, words: &[&std::ffi::OsStr], limit: u64) -> Job {
        let (key, value) = self.options();
        Job::new(words.iter().copied())
            .limit(limit)
            .env(key, value)
            .env("RUST_BACKTRACE", "0")
    }

    fn reports(self, outcome: &Outcome) -> usize {
        let text = outcome.err() + &outcome.out();
        text.matches(self.mark()).count()
    }
}

fn sources() -> PathBuf {
    paths::root().join("xtask/sanitize")
}

/// A program of the nightly toolchain.
fn nightly(program: &str) -> Command {
    let mut command = Command::new("rustup");
    command
        .args(["run", "nightly", program])
        .current_dir(paths::root());
    command
}

fn answers(mut command: Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

pub(crate) fn run(args: &SanitizeArgs) -> Result<bool> {
    let mut version = nightly("rustc");
    version.arg("--version");
    if !answers(version) {
        println!("sanitize: no nightly compiler here, and both Miri and the sanitizers need one.");
        println!("  rustup toolchain install nightly --component miri --component rust-src");
        return Ok(false);
    }
    let mut miri = nightly("cargo");
    miri.args(["miri", "--version"]);
    if answers(miri) && !args.no_miri {
        println!("sanitize: Miri, because it is installed");
        return run_miri();
    }
    let why = if args.no_miri {
        "as asked"
    } else {
        "because the nightly toolchain has no Miri"
    };
    println!("sanitize: the address and thread sanitizers, {why}");
    let host = host()?;
    let mut good = true;
    for sanitizer in [Sanitizer::Address, Sanitizer::Thread] {
        prove(sanitizer)?;
        good &= watch(sanitizer, &host)?;
    }
    println!(
        "sanitize: {}",
        if good { "nothing found" } else { "FAILED" }
    );
    Ok(good)
}

fn run_miri() -> Result<bool> {
    let mut command = nightly("cargo");
    command.args(["miri", "test", "--lib"]);
    for package in PACKAGES {
        command.args(["-p", package]);
    }
    command.arg("--").args(MIRI);
    let line = shell::line_of(&command);
    println!("+ {line}");
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .collect();
    let job = Job::new(words)
        .limit(MIRI_LIMIT_S)
        .cwd(paths::root())
        // Threads sleep on clocks and futexes.
        .env("MIRIFLAGS", "-Zmiri-disable-isolation")
        .env("CARGO_TARGET_DIR", paths::target().join("miri"));
    let outcome = process::run(&job)?;
    println!("{}", outcome.out());
    if !outcome.success() {
        println!("{}\n{line}: {}", outcome.err(), outcome.ending());
    }
    Ok(outcome.success() && tests_passed(&outcome) > 0)
}

/// The compiler's own name for this machine: with a target named, flags are not
/// given to build scripts and macros, which run inside an uninstrumented compiler.
fn host() -> Result<String> {
    let output = nightly("rustc").arg("-vV").output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("host: "));
    line.map(str::to_owned).context("rustc names no host")
}

/// Shows that the sanitizer sees a fault, and sees none where none is.
fn prove(sanitizer: Sanitizer) -> Result<()> {
    let folder = sanitizer.folder().join("proof");
    std::fs::create_dir_all(&folder)?;
    let fault = match sanitizer {
        Sanitizer::Address => "after_free",
        Sanitizer::Thread => "race",
    };
    for (program, has_fault) in [(fault, true), ("sound", false)] {
        let binary = folder.join(program);
        let mut command = nightly("rustc");
        command.args(sanitizer.flags().split(' '));
        command.args(["-O", "-g", "--edition", "2024", "-o"]);
        command.arg(&binary);
        command.arg(sources().join(format!("{program}.rs")));
        let built = command.output()?;
        ensure!(
            built.status.success(),
            "{}: {}",
            shell::line_of(&command),
            String::from_utf8_lossy(&built.stderr)
        );
        let outcome = process::run(&sanitizer.job(&[binary.as_os_str()], 60))?;
        let found = sanitizer.reports(&outcome);
        println!(
            "  {} sanitizer on {program}.rs: {found} reports, {}",
            sanitizer.name(),
            outcome.ending()
        );
        if has_fault != (found > 0) || has_fault == outcome.success() {
            bail!(
                "the {} sanitizer cannot be trusted here:\n{}",
                sanitizer.name(),
                outcome.err()
            );
        }
    }
    Ok(())
}

fn watch(sanitizer: Sanitizer, host: &str) -> Result<bool> {
    let build = |arguments: &[&str], tests_only: bool| -> Result<Vec<Binary>> {
        let mut command = nightly("cargo");
        command
            .args(arguments)
            .args(["--quiet", "--target", host])
            .env("CARGO_TARGET_DIR", sanitizer.folder())
            .env("RUSTFLAGS", sanitizer.flags());
        binaries::build(&mut command, tests_only)
    };
    let mut arguments = vec!["test", "--no-run", "--lib"];
    arguments.extend(PACKAGES.iter().flat_map(|package| ["-p", package]));
    let tests = build(&arguments, true)?;
    let stress = build(
        &["build", "-p", "rivix-spawner", "--example", "stress"],
        false,
    )?;
    let mut good = true;
    let mut watched = Vec::new();
    for binary in &tests {
        let names: Vec<String> = binary
            .tests()?
            .into_iter()
            .filter(|test| UNSAFE.iter().any(|part| test.contains(part)))
            .collect();
        if names.is_empty() {
            continue;
        }
        let mut words = vec![
            binary.program.as_os_str(),
            "--exact".as_ref(),
            "--test-threads=2".as_ref(),
        ];
        words.extend(names.iter().map(std::ffi::OsStr::new));
        let outcome = process::run(&sanitizer.job(&words, TESTS_LIMIT_S))?;
        let passed = tests_passed(&outcome);
        let what = format!("{} of {} tests of {}", passed, names.len(), binary.package);
        good &= tell(sanitizer, &what, &outcome) && passed == names.len();
        watched.extend(names);
    }
    for part in MIRI {
        if !watched.iter().any(|test| test.contains(part)) {
            println!("  FAILED no test's path contains {part:?}");
            good = false;
        }
    }
    let stress = stress
        .iter()
        .find(|binary| binary.target == "stress")
        .context("cargo built no stress program")?;
    for variant in STRESS {
        let outcome = process::run(&stress_job(sanitizer, &stress.program, variant))?;
        let what = format!("stress {variant}, {STRESS_SPAWNS} spawns");
        good &= tell(sanitizer, &what, &outcome);
    }
    Ok(good)
}

/// The sanitizers keep threads, stacks and shadow memory of their own, and
/// everything is slower: what the program counts and times means nothing here.
fn stress_job(sanitizer: Sanitizer, program: &Path, variant: &str) -> Job {
    let words = [
        program.as_os_str(),
        variant.as_ref(),
        "--spawns".as_ref(),
        STRESS_SPAWNS.as_ref(),
        "--uncounted".as_ref(),
        "1".as_ref(),
    ];
    sanitizer.job(&words, STRESS_LIMIT_S)
}

fn tell(sanitizer: Sanitizer, what: &str, outcome: &Outcome) -> bool {
    let found = sanitizer.reports(outcome);
    let good = outcome.success() && found == 0;
    let word = if good { "ok" } else { "FAILED" };
    println!(
        "  {word:6} {} sanitizer, {what}: {found} reports, {}, {:.1} s",
        sanitizer.name(),
        outcome.ending(),
        outcome.wall.as_secs_f64()
    );
    if !good {
        let text = outcome.out() + &outcome.err();
        let from = text.find(sanitizer.mark()).unwrap_or(0);
        for line in text[from..].lines().take(60) {
            println!("         {}", line.chars().take(200).collect::<String>());
        }
    }
    good
}

fn tests_passed(outcome: &Outcome) -> usize {
    let out = outcome.out();
    let counts = out.lines().filter_map(|line| {
        let rest = line.strip_prefix("test result: ")?.split_once(". ")?.1;
        rest.split_once(" passed")?.0.parse::<usize>().ok()
    });
    counts.sum()
}
