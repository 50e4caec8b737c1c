//! Item 6: bad programs, bad options, bad surroundings. Each must give a message
//! that names the thing, the right status, and never a panic.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rivix_testsuite::process::{self, Job, Outcome};
use rivix_testsuite::toolchain::{Build, Machine};
use rivix_testsuite::{column, paths};

use super::AcceptArgs;
use super::report::Report;
use crate::fuzz;

/// Own failure, found but not executable, not found (as shells have it).
const OWN: i32 = 125;
const NOT_EXECUTABLE: i32 = 126;
const NOT_FOUND: i32 = 127;

pub(crate) fn show(report: &mut Report, args: &AcceptArgs) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let good = Build::new(&paths::testsuite().join("bench/hello.c"), Machine::Riscv64).program()?;
    let bytes = fs::read(&good)?;
    programs(report, folder.path(), &bytes)?;
    options(report, folder.path(), &good)?;
    surroundings(report, &good)?;
    arguments(report, &good)?;
    report.note(format!("fuzzing the loader for {} s", args.fuzz_seconds));
    let fuzzed = fuzz::run("loader", args.fuzz_seconds, None);
    let words = fuzzed.as_ref().map_or_else(
        |e| format!("{e:#}"),
        |()| format!("clean for {} s", args.fuzz_seconds),
    );
    report.check("the loader's fuzz target", fuzzed.is_ok(), words);
    Ok(())
}

fn rivix(options: &[&str], rest: &[OsString]) -> Result<Outcome> {
    let mut words: Vec<OsString> = vec![column::rivix_program().into(), "run".into()];
    words.extend(options.iter().map(OsString::from));
    words.extend(rest.iter().cloned());
    process::run(&Job::new(words).limit(30))
}

/// A refusal: one of these statuses, a message with the name, no panic.
fn refusal(report: &mut Report, what: &str, outcome: &Outcome, statuses: &[i32], name: &str) {
    let message = outcome.err();
    let good = outcome.status.code().is_some_and(|c| statuses.contains(&c))
        && !outcome.timed_out
        && message.contains(name)
        && !message.contains("panicked");
    let message = message.lines().collect::<Vec<_>>().join(" | ");
    report.check(what, good, format!("{}: {message}", outcome.ending()));
}

/// Little-endian fields of a 64-bit ELF file.
struct Elf(Vec<u8>);

impl Elf {
    fn put(&mut self, at: usize, bytes: &[u8]) -> Result<()> {
        self.0
            .get_mut(at..at + bytes.len())
            .context("field outside the file")?
            .copy_from_slice(bytes);
        Ok(())
    }

    fn u64(&self, at: usize) -> Result<u64> {
        let bytes = self.0.get(at..at + 8).context("field outside the file")?;
        Ok(u64::from_le_bytes(bytes.try_into()?))
    }

    /// File offset of the n-th program header with this type.
    fn header(&self, kind: u32, nth: usize) -> Result<usize> {
        let (table, count) = (self.u64(32)? as usize, usize::from(self.0[56]));
        (0..count)
            .map(|i| table + 56 * i)
            .filter(|at| self.0.get(*at..at + 4) == Some(&kind.to_le_bytes()[..]))
            .nth(nth)
            .context("no such program header")
    }
}

/// Keeps the first bytes only.
fn cut<const KEPT: usize>(elf: &mut Elf) -> Result<()> {
    elf.0.truncate(KEPT);
    Ok(())
}

const PT_LOAD: u32 = 1;
const PT_INTERP: u32 = 3;
const PT_NOTE: u32 = 4;

fn programs(report: &mut Report, folder: &Path, bytes: &[u8]) -> Result<()> {
    type Change = fn(&mut Elf) -> Result<()>;
    let changed: [(&str, Change); 14] = [
        ("empty file", cut::<0>),
        ("three bytes", cut::<3>),
        ("truncated in the header", cut::<40>),
        ("truncated in the program headers", cut::<100>),
        ("truncated in a segment", cut::<5000>),
        ("wrong class", |e| e.put(4, &[1])),
        ("big-endian", |e| e.put(5, &[2])),
        ("wrong machine", |e| e.put(18, &[62, 0])),
        ("wrong type", |e| e.put(16, &[4, 0])),
        ("huge phnum", |e| e.put(56, &[0xff, 0xff])),
        ("program headers outside the file", |e| {
            e.put(32, &u64::MAX.to_le_bytes())
        }),
        ("overlapping segments", |e| {
            let (first, second) = (e.header(PT_LOAD, 0)?, e.header(PT_LOAD, 1)?);
            let (from, offset) = (e.u64(first + 16)?, e.u64(second + 8)?);
            e.put(second + 16, &(from + offset % 4096).to_le_bytes())
        }),
        ("segment beyond the window", |e| {
            let second = e.header(PT_LOAD, 1)?;
            let low = e.u64(second + 16)?;
            e.put(second + 16, &(low | 1 << 50).to_le_bytes())
        }),
        ("segment larger in the file than in memory", |e| {
            let first = e.header(PT_LOAD, 0)?;
            e.put(first + 40, &16u64.to_le_bytes())
        }),
    ];
    for (what, change) in changed {
        let path = folder.join(what.replace(' ', "-"));
        let mut elf = Elf(bytes.to_vec());
        change(&mut elf).with_context(|| what.to_owned())?;
        write_program(&path, &elf.0, 0o755)?;
        let outcome = rivix(&[], &[path.clone().into()])?;
        // Linux tells a file cut inside a segment only when it gets there.
        if what == "truncated in a segment" && outcome.status.code().is_none() {
            report.check(
                what,
                !outcome.timed_out && !outcome.err().contains("panicked"),
                outcome.ending(),
            );
            continue;
        }
        refusal(
            report,
            what,
            &outcome,
            &[NOT_EXECUTABLE],
            &path.to_string_lossy(),
        );
    }
    // Linux starts such a program, which then faults at its first instruction.
    let path = folder.join("entry-outside");
    let mut elf = Elf(bytes.to_vec());
    elf.put(24, &0x10_u64.to_le_bytes())?;
    write_program(&path, &elf.0, 0o755)?;
    let outcome = rivix(&[], &[path.clone().into()])?;
    let ending = outcome.ending();
    let good = ending == "signal 11" || (ending == "exit 126" && outcome.err().contains("entry"));
    report.check(
        "entry outside",
        good && !outcome.err().contains("panicked"),
        format!("{ending} {}", outcome.err().trim()),
    );

    let path = folder.join("missing-interpreter");
    let mut elf = Elf(bytes.to_vec());
    let at = elf.header(PT_NOTE, 0)?;
    let name = b"/nonexistent/ld.so\0";
    let end = elf.0.len() as u64;
    elf.0.extend_from_slice(name);
    elf.put(at, &PT_INTERP.to_le_bytes())?;
    elf.put(at + 8, &end.to_le_bytes())?;
    elf.put(at + 32, &(name.len() as u64).to_le_bytes())?;
    write_program(&path, &elf.0, 0o755)?;
    let outcome = rivix(&[], &[path.into()])?;
    refusal(
        report,
        "missing interpreter",
        &outcome,
        &[NOT_EXECUTABLE, NOT_FOUND],
        "/nonexistent/ld.so",
    );

    let host = PathBuf::from("/bin/sh");
    refusal(
        report,
        "a program of the host",
        &rivix(&[], &[host.into()])?,
        &[NOT_EXECUTABLE],
        "/bin/sh",
    );
    let path = folder.join("a-folder");
    fs::create_dir(&path)?;
    refusal(
        report,
        "directory",
        &rivix(&[], &[path.clone().into()])?,
        &[NOT_EXECUTABLE],
        &path.to_string_lossy(),
    );
    let path = folder.join("no-permission");
    write_program(&path, bytes, 0o644)?;
    refusal(
        report,
        "no permission",
        &rivix(&[], &[path.clone().into()])?,
        &[NOT_EXECUTABLE],
        &path.to_string_lossy(),
    );
    refusal(
        report,
        "no such file",
        &rivix(&[], &["/nonexistent/program".into()])?,
        &[NOT_FOUND],
        "/nonexistent/program",
    );
    refusal(
        report,
        "not in PATH",
        &rivix(&[], &["no-such-program-anywhere".into()])?,
        &[NOT_FOUND],
        "no-such-program-anywhere",
    );
    let path = folder.join("a-script");
    write_program(&path, b"#!/nonexistent/sh\necho\n", 0o755)?;
    refusal(
        report,
        "script without its interpreter",
        &rivix(&[], &[path.into()])?,
        &[NOT_EXECUTABLE, NOT_FOUND],
        "/nonexistent/sh",
    );
    Ok(())
}

fn write_program(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    fs::write(path, bytes)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    Ok(())
}

fn options(report: &mut Report, folder: &Path, good: &Path) -> Result<()> {
    let file = folder.join("a-file");
    fs::write(&file, "")?;
    let file = file.to_string_lossy();
    let cases: [(&str, &[&str], &str); 9] = [
        ("--root is a file", &["--root", &file], &file),
        (
            "--root does not exist",
            &["--root", "/nonexistent/root"],
            "/nonexistent/root",
        ),
        (
            "--cwd does not exist",
            &["--cwd", "/nonexistent/cwd"],
            "/nonexistent/cwd",
        ),
        ("--env without =", &["--env", "NOEQUALS"], "NOEQUALS"),
        ("--env with an empty name", &["--env", "=value"], "=value"),
        (
            "--strace to a file that cannot be written",
            &["--strace=/nonexistent/trace"],
            "/nonexistent/trace",
        ),
        ("unknown engine", &["--engine", "warp"], "warp"),
        ("malformed --deadline", &["--deadline", "soon"], "soon"),
        ("unknown option", &["--no-such-option"], "--no-such-option"),
    ];
    for (what, options, name) in cases {
        let outcome = rivix(options, &["--".into(), good.into()])?;
        refusal(report, what, &outcome, &[OWN], name);
    }
    let nothing = rivix(&[], &[])?;
    refusal(report, "run without a program", &nothing, &[OWN], "PROG");
    Ok(())
}

/// Few descriptors, little address space: it runs, or says why not.
fn surroundings(report: &mut Report, good: &Path) -> Result<()> {
    let limits = (3..=16).map(|n| format!("ulimit -n {n}")).chain(
        [100_000, 1_000_000, 4_000_000, 300_000_000, 600_000_000]
            .iter()
            .map(|kib| format!("ulimit -v {kib}")),
    );
    for limit in limits {
        let script = format!("{limit}; exec \"$0\" run -- \"$1\"");
        let words = [
            "sh".into(),
            "-c".into(),
            script.into(),
            column::rivix_program(),
            good.to_owned(),
        ];
        let outcome = process::run(&Job::new(words).limit(30))?;
        let message = outcome.err();
        let ran = outcome.success() && outcome.out().starts_with("hello");
        // 127 with the loader's words: the host could not even start rivix.
        let host_refused = outcome.status.code() == Some(127) && message.contains("shared librar");
        let refused = outcome.status.code() == Some(OWN) && !message.is_empty();
        let good = (ran || refused || host_refused) && !message.contains("panicked");
        let words = if ran {
            "runs".to_owned()
        } else {
            format!(
                "{}: {}",
                outcome.ending(),
                message.trim().replace('\n', " | ")
            )
        };
        report.check(limit, good, words);
    }
    Ok(())
}

/// What the host lets through must arrive; what a guest passes on is limited by
/// the guest's own rule.
fn arguments(report: &mut Report, good: &Path) -> Result<()> {
    let long = OsString::from("x".repeat(100_000));
    let many: Vec<OsString> = std::iter::once(good.into())
        .chain(std::iter::repeat_n(long, 15))
        .collect();
    let outcome = rivix(&["--"], &many)?;
    report.check(
        "1.5 MB of arguments",
        outcome.success(),
        format!("{} {}", outcome.ending(), outcome.err().trim()),
    );
    const TEST: &str = "all_may_have_a_quarter_of_the_stack";
    let source = paths::testsuite().join("programs/exec/execve.c");
    let guest = Build::new(&source, Machine::Riscv64).program()?;
    let folder = tempfile::tempdir()?;
    let words = [
        column::rivix_program(),
        "run".into(),
        "--".into(),
        guest,
        TEST.into(),
    ]
    .map(OsString::from);
    let outcome = process::run(&Job::new(words).cwd(folder.path()).limit(30))?;
    let out = outcome.out();
    report.check(
        "argv over the limit: E2BIG in the guest (exec/execve)",
        out.contains(&format!("PASS {TEST}")),
        out.trim(),
    );
    Ok(())
}
