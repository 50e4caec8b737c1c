//! Programs for the teaching kernels' calls (`testsuite/teaching`): which there are,
//! how they are compiled, what each has to print, and one run of one.
//!
//! A program says itself what it prints, in comments at its top:
//!
//! ```text
//! // prints: a line of standard output
//! // prints(ucore): a line of one kernel's only
//! // exit: 7
//! ```

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::column;
use crate::paths;
use crate::process::{self, Job, Outcome};
use crate::toolchain::{Build, Machine};

/// Whose numbers and conventions a program is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abi {
    /// The kernel of the Rust tutorial.
    Rcore,
    /// The kernel of the C tutorial.
    Ucore,
}

impl Abi {
    pub const ALL: [Abi; 2] = [Abi::Rcore, Abi::Ucore];

    /// As `rivix run --abi` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Abi::Rcore => "rcore",
            Abi::Ucore => "ucore",
        }
    }

    fn define(self) -> &'static str {
        match self {
            Abi::Rcore => "-DABI_RCORE",
            Abi::Ucore => "-DABI_UCORE",
        }
    }
}

/// Threads and what they share: exact, however often they run.
pub const THREADS: [&str; 19] = [
    "threads",
    "threads_arg",
    "adder_none",
    "adder_spinning",
    "adder_blocking",
    "adder_atomic",
    "adder_peterson",
    "adder_eisenberg",
    "sync_sem",
    "sync_condvar",
    "mpsc_sem",
    "philosophers",
    "barrier",
    "early_exit_one",
    "early_exit_two",
    "deadlock_mutex_on",
    "deadlock_mutex_off",
    "deadlock_sem_on",
    "deadlock_sem_off",
];

/// Answers at the edges, a line each.
pub const EDGES: [&str; 17] = [
    "edge_waittid",
    "edge_zombie",
    "edge_locks",
    "edge_stacks",
    "edge_thousand",
    "edge_faults",
    "edge_codes",
    "edge_fork",
    "edge_others",
    "edge_random",
    "processes",
    "pipes",
    "memory",
    "clock",
    "files",
    "killing",
    "spawning",
];

/// Calls that one of the kernels has.
pub const UCORE_ONLY: [&str; 2] = ["task_info", "stopping"];

/// Makes the calls that Linux does not have.
pub const PERSONALITY: &str = "personality";

/// Far more than any run takes, also on a busy machine.
const LIMIT_S: u64 = 60;

/// A program for one kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    pub name: &'static str,
    pub abi: Abi,
    /// Where it is.
    pub path: PathBuf,
    pub expected: Expected,
}

/// What a run has to show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    pub lines: Vec<String>,
    pub code: i32,
}

impl Expected {
    /// Reads it from the comments at the top of a program's text.
    fn in_text(text: &str, abi: Abi) -> Result<Expected> {
        let mut expected = Expected::default();
        let own = format!("prints({}): ", abi.name());
        for line in text.lines().map_while(|line| line.strip_prefix("// ")) {
            if let Some(told) = line
                .strip_prefix("prints: ")
                .or_else(|| line.strip_prefix(&own))
            {
                expected.lines.push(told.to_owned());
            } else if let Some(code) = line.strip_prefix("exit: ") {
                expected.code = code.trim().parse().context("an exit code")?;
            }
        }
        anyhow::ensure!(!expected.lines.is_empty(), "no `// prints:` line");
        Ok(expected)
    }
}

impl Program {
    /// Compiles it, unless that was done before.
    pub fn build(name: &'static str, abi: Abi) -> Result<Program> {
        let source = source(name);
        let text = fs::read_to_string(&source)
            .with_context(|| format!("cannot read {}", source.display()))?;
        let expected =
            Expected::in_text(&text, abi).with_context(|| source.display().to_string())?;
        // A kernel gives a new thread no global pointer, so the linker must not use
        // one; there is no library to support anything else either.
        let flags = [
            "-O2",
            "-static",
            "-nostdlib",
            "-nostartfiles",
            "-ffreestanding",
            "-fno-pic",
            "-fno-stack-protector",
            "-Wextra",
            "-Wl,-Ttext-segment=0x10000,--no-relax",
            abi.define(),
        ];
        let path = Build {
            flags: &flags,
            ..Build::new(&source, Machine::Riscv64)
        }
        .program()?;
        Ok(Program {
            name,
            abi,
            path,
            expected,
        })
    }

    /// As in "threads (rcore)".
    pub fn title(&self) -> String {
        format!("{} ({})", self.name, self.abi.name())
    }

    /// One run under the kernel of this name, in an empty folder.
    pub fn outcome(&self, abi: &str) -> Result<Outcome> {
        let folder = tempfile::tempdir()?;
        let words: [OsString; 7] = [
            column::rivix_program().into(),
            "run".into(),
            "--quiet".into(),
            "--check-leaks".into(),
            "--abi".into(),
            abi.into(),
            "--".into(),
        ];
        let words = words.into_iter().chain([self.path.clone().into()]);
        process::run(&Job::new(words).limit(LIMIT_S).cwd(folder.path()))
    }

    /// One run under its own kernel: how long it took, or what was wrong with it.
    pub fn run(&self) -> Result<Result<Duration, String>> {
        Ok(self.judge(&self.outcome(self.abi.name())?))
    }

    /// Is this exactly what was expected, with nothing left over?
    pub fn judge(&self, outcome: &Outcome) -> Result<Duration, String> {
        let told = outcome.out();
        let lines: Vec<&str> = told.lines().collect();
        let err = outcome.err();
        if outcome.timed_out || outcome.status.code() != Some(self.expected.code) {
            let last = lines.last().copied().unwrap_or("");
            let complaint = err.trim().lines().last().unwrap_or("");
            return Err(format!("{}; {last} | {complaint}", outcome.ending()));
        }
        for index in 0..lines.len().max(self.expected.lines.len()) {
            let got = lines.get(index).copied().unwrap_or("nothing");
            let want = self.expected.lines.get(index).map_or("nothing", |l| l);
            if got != want {
                return Err(format!("line {}: {got:?}, not {want:?}", index + 1));
            }
        }
        if !err.contains("left over: 0 processes, 0 threads, 0 ids,") {
            return Err(err);
        }
        Ok(outcome.wall)
    }
}

fn source(name: &str) -> PathBuf {
    let folder: &Path = &paths::testsuite();
    folder.join("teaching").join(format!("{name}.c"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    #[test]
    fn a_text_says_what_is_printed() {
        let text = "// About it.\n// prints: a: b\n// prints(ucore): c\n// exit: 7\nint x;\n// prints: not this\n";
        let check = |abi, lines: &[&str]| {
            let expected = Expected::in_text(text, abi).expect("it has lines");
            assert_eq!((expected.lines, expected.code), (owned(lines), 7));
        };
        check(Abi::Rcore, &["a: b"]);
        check(Abi::Ucore, &["a: b", "c"]);
        assert!(Expected::in_text("int x;\n", Abi::Rcore).is_err());
    }

    fn owned(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|&line| line.to_owned()).collect()
    }

    #[test]
    fn a_run_is_judged() {
        let program = Program {
            name: "p",
            abi: Abi::Rcore,
            path: PathBuf::new(),
            expected: Expected {
                lines: owned(&["one", "two"]),
                code: 3,
            },
        };
        let outcome = |code: i32, out: &str, left: u32| Outcome {
            status: ExitStatus::from_raw(code << 8),
            stdout: out.into(),
            stderr: format!("left over: {left} processes, 0 threads, 0 ids, 0 windows").into(),
            timed_out: false,
            wall: Duration::from_millis(5),
            cpu: Duration::ZERO,
            max_rss_kib: 0,
        };
        let judge = |code, out, left| program.judge(&outcome(code, out, left));
        assert!(judge(3, "one\ntwo\n", 0).is_ok());
        assert!(judge(0, "one\ntwo\n", 0).is_err());
        assert!(judge(3, "one\n", 0).is_err());
        assert!(judge(3, "one\ntwo\nthree\n", 0).is_err());
        assert!(judge(3, "two\none\n", 0).is_err());
        assert!(judge(3, "one\ntwo\n", 1).is_err());
    }

    #[test]
    fn every_program_of_the_folder_is_run() {
        let listed: BTreeSet<_> = THREADS
            .into_iter()
            .chain(EDGES)
            .chain(UCORE_ONLY)
            .chain([PERSONALITY])
            .map(str::to_owned)
            .collect();
        let found: BTreeSet<_> = fs::read_dir(paths::testsuite().join("teaching"))
            .expect("the folder")
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|e| e == "c"))
            .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
            .collect();
        assert_eq!(listed, found);
    }
}
