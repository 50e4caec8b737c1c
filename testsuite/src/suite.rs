//! Finds the programs, runs them under every column and judges each test.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::column::Column;
use crate::expect::Expectations;
use crate::paths;
use crate::process::{self, Job};
use crate::toolchain::{Build, Machine};

/// A program of the suite: its name is `family/stem`.
#[derive(Clone, Debug)]
pub struct Program {
    pub name: String,
    pub source: PathBuf,
}

/// What a kernel made of one test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "result", content = "detail")]
pub enum Verdict {
    Pass,
    Fail(String),
    Skip(String),
}

/// A verdict held against the expectations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Judgement {
    Passed,
    Failed,
    KnownFailure,
    UnexpectedPass,
    Skipped,
}

#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    pub column: String,
    /// `family/program::test`
    pub test: String,
    #[serde(flatten)]
    pub verdict: Verdict,
    pub judgement: Judgement,
    /// Why a failure is known.
    pub reason: Option<String>,
    /// How the test failed before it was run again.
    pub first_failure: Option<String>,
}

/// What of the suite runs, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Tests whose `family/program::test` contains one of these; none: all.
    pub filters: Vec<String>,
    /// Programs run at a time.
    pub jobs: usize,
    /// The user that the tests run as, if another one.
    pub user: Option<User>,
}

impl Settings {
    pub fn new(jobs: usize) -> Settings {
        Settings {
            filters: Vec::new(),
            jobs,
            user: None,
        }
    }

    fn is_wanted(&self, test: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|f| test.contains(f.as_str()))
    }
}

/// A user without privileges whom root lets run the tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    uid: u32,
}

impl std::fmt::Display for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "uid {}", self.uid)
    }
}

impl User {
    /// None: this process is not root and runs tests as who it is.
    pub fn unprivileged(uid: u32) -> Option<User> {
        (process::is_root() && uid != 0).then_some(User { uid })
    }

    /// A folder of the user's.
    fn folder(user: Option<User>) -> Result<tempfile::TempDir> {
        let folder = tempfile::tempdir()?;
        if let Some(User { uid }) = user {
            std::os::unix::fs::chown(folder.path(), Some(uid), Some(uid))?;
        }
        Ok(folder)
    }

    /// A copy of a program where the user can execute it, as files below a
    /// private home cannot be. The folder is root's: nobody else writes to it.
    fn staged(program: &Path, folder: &Path) -> Result<PathBuf> {
        let name = program.file_name().context("a program without a name")?;
        let copy = folder.join(name);
        // Another process copies: a descriptor that is open for writing here
        // would be inherited by what another thread is just starting, and keep
        // the copy from being executed (ETXTBSY).
        let words = [
            "install".as_ref(),
            "-m755".as_ref(),
            program.as_os_str(),
            copy.as_os_str(),
        ];
        let done = process::run(&Job::new(words))?;
        anyhow::ensure!(
            done.success(),
            "cannot copy {}: {}",
            program.display(),
            last_line(&done.err())
        );
        Ok(copy)
    }
}

/// A folder that anybody can look into.
fn open_folder() -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    Ok(folder)
}

/// The column, with its program where the user can reach it.
fn stage_column(column: &Column, folder: &Path) -> Result<Column> {
    let mut column = column.clone();
    if let Some(first) = column.prefix.first_mut()
        && Path::new(first).is_absolute()
    {
        *first = User::staged(Path::new(first), folder)?.into();
    }
    Ok(column)
}

/// All programs below `programs/` whose source is there, sorted by name.
pub fn programs() -> Result<Vec<Program>> {
    let top = paths::testsuite().join("programs");
    let mut found = Vec::new();
    for family in fs::read_dir(&top).with_context(|| format!("cannot read {}", top.display()))? {
        let family = family?.path();
        if !family.is_dir() {
            continue;
        }
        for file in fs::read_dir(&family)? {
            let source = file?.path();
            let known = source
                .extension()
                .and_then(|e| e.to_str())
                .is_some_and(|e| matches!(e, "c" | "cc" | "S"));
            if known {
                found.push(Program {
                    name: name_of(&family, &source),
                    source,
                });
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn name_of(family: &Path, source: &Path) -> String {
    let part = |p: Option<&std::ffi::OsStr>| {
        p.map(|s| s.to_string_lossy().into_owned())
            .unwrap_or_default()
    };
    format!("{}/{}", part(family.file_name()), part(source.file_stem()))
}

/// Runs the programs under the columns.
pub fn run(
    programs: &[Program],
    columns: &[Column],
    settings: &Settings,
    expectations: &Expectations,
) -> Result<Vec<Cell>> {
    let staging = open_folder()?;
    let staged = match settings.user {
        Some(_) => columns
            .iter()
            .map(|column| stage_column(column, staging.path()))
            .collect::<Result<Vec<_>>>()?,
        None => columns.to_vec(),
    };
    let work: Vec<(&Program, &Column)> = programs
        .iter()
        .flat_map(|p| staged.iter().map(move |c| (p, c)))
        .collect();
    let next = AtomicUsize::new(0);
    let cells = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..settings.jobs.max(1) {
            scope.spawn(|| {
                while let Some((program, column)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // An assembly file says something about riscv64 only.
                    if column.machine == Machine::Host
                        && program.source.extension().is_some_and(|e| e == "S")
                    {
                        continue;
                    }
                    let judged = judged_program(program, column, settings, expectations);
                    if let Ok(mut cells) = cells.lock() {
                        cells.extend(judged);
                    }
                }
            });
        }
    });
    let mut cells = cells.into_inner().unwrap_or_default();
    let order = |name: &str| columns.iter().position(|c| c.name == name);
    cells.sort_by(|a, b| {
        a.test
            .cmp(&b.test)
            .then(order(&a.column).cmp(&order(&b.column)))
    });
    Ok(cells)
}

fn judge(column: &Column, test: String, verdict: Verdict, expectations: &Expectations) -> Cell {
    let expected = expectations.find(&column.name, &test);
    let judgement = match (&verdict, expected) {
        (Verdict::Pass, Some(e)) if !e.may_pass => Judgement::UnexpectedPass,
        (Verdict::Pass, _) => Judgement::Passed,
        (Verdict::Fail(_), Some(_)) => Judgement::KnownFailure,
        (Verdict::Fail(_), None) => Judgement::Failed,
        (Verdict::Skip(_), _) => Judgement::Skipped,
    };
    Cell {
        column: column.name.clone(),
        test,
        verdict,
        judgement,
        reason: expected.map(|e| e.reason.clone()),
        first_failure: None,
    }
}

/// How often a failure of a reference is run again.
const CHANCES: usize = 2;

/// Every test of one program under one column, judged. What fails under a reference
/// is run again, alone: the references say whether a test is right, and a race that
/// another kernel loses on a busy machine says nothing of it.
fn judged_program(
    program: &Program,
    column: &Column,
    settings: &Settings,
    expectations: &Expectations,
) -> Vec<Cell> {
    let judged = |settings: &Settings| {
        let verdicts = run_program(program, column, settings).into_iter();
        verdicts.map(|(test, verdict)| judge(column, test, verdict, expectations))
    };
    let cells = judged(settings).collect::<Vec<_>>().into_iter();
    let chances = if column.is_reference { CHANCES } else { 0 };
    let settled = cells.map(|cell| {
        let alone = Settings {
            filters: vec![cell.test.clone()],
            ..settings.clone()
        };
        // The filter covers tests with longer names as well.
        settle(cell, chances, |test| {
            judged(&alone).find(|cell| cell.test == test)
        })
    });
    settled.collect()
}

/// The cell of a failed test that was run `again` until it passed, at most `chances`
/// times.
fn settle(first: Cell, chances: usize, mut again: impl FnMut(&str) -> Option<Cell>) -> Cell {
    let (Verdict::Fail(detail), Judgement::Failed) = (&first.verdict, first.judgement) else {
        return first;
    };
    let mut runs = (0..chances).filter_map(|_| again(&first.test));
    match runs.find(|cell| cell.judgement != Judgement::Failed) {
        Some(cell) => Cell {
            first_failure: Some(detail.clone()),
            ..cell
        },
        None => first,
    }
}

/// Every test of one program under one column. What cannot be built or started
/// is one failure named after the program.
fn run_program(program: &Program, column: &Column, settings: &Settings) -> Vec<(String, Verdict)> {
    match try_program(program, column, settings) {
        Ok(verdicts) => verdicts,
        Err(error) if settings.is_wanted(&format!("{}::", program.name)) => {
            vec![(
                format!("{}::build", program.name),
                Verdict::Fail(format!("{error:#}")),
            )]
        }
        Err(_) => Vec::new(),
    }
}

fn try_program(
    program: &Program,
    column: &Column,
    settings: &Settings,
) -> Result<Vec<(String, Verdict)>> {
    let mut binary = Build::new(&program.source, column.machine).program()?;
    let staging = open_folder()?;
    let uid = settings.user.map(|user| user.uid);
    if uid.is_some() {
        binary = User::staged(&binary, staging.path())?;
    }
    let argv = |extra: &[String]| {
        let words = column.prefix.iter().cloned().chain([binary.clone().into()]);
        words
            .chain(extra.iter().map(Into::into))
            .collect::<Vec<std::ffi::OsString>>()
    };
    let full = |test: &str| format!("{}::{test}", program.name);
    let job = |extra: &[String]| Job::new(argv(extra)).uid(uid);
    let listed = process::run(&job(&["--list".into()]).cwd("/").limit(30))?;
    anyhow::ensure!(
        listed.success(),
        "--list ended with {}: {}",
        listed.ending(),
        last_line(&listed.err())
    );
    let names: Vec<String> = listed.out().lines().map(str::to_owned).collect();
    let wanted: Vec<String> = names
        .iter()
        .filter(|n| settings.is_wanted(&full(n)))
        .cloned()
        .collect();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let arguments = if wanted.len() == names.len() {
        Vec::new()
    } else {
        wanted.clone()
    };
    let folder = User::folder(settings.user)?;
    let outcome = process::run(&job(&arguments).cwd(folder.path()).limit(180))?;
    let mut seen = parse(&outcome.out());
    let missing = format!(
        "not reported: the program ended with {} {}",
        outcome.ending(),
        last_line(&outcome.err())
    );
    Ok(wanted
        .into_iter()
        .map(|name| {
            let verdict = seen
                .remove(&name)
                .unwrap_or_else(|| Verdict::Fail(missing.clone()));
            (full(&name), verdict)
        })
        .collect())
}

fn last_line(text: &str) -> &str {
    text.lines().rfind(|l| !l.trim().is_empty()).unwrap_or("")
}

/// The `PASS`, `FAIL` and `SKIP` lines of `check.h`.
fn parse(output: &str) -> BTreeMap<String, Verdict> {
    let mut verdicts = BTreeMap::new();
    for line in output.lines() {
        let Some((word, rest)) = line.split_once(' ') else {
            continue;
        };
        let (name, detail) = rest.split_once(": ").unwrap_or((rest, ""));
        let verdict = match word {
            "PASS" => Verdict::Pass,
            "FAIL" => Verdict::Fail(detail.to_owned()),
            "SKIP" => Verdict::Skip(detail.to_owned()),
            _ => continue,
        };
        verdicts.insert(name.to_owned(), verdict);
    }
    verdicts
}

/// Builds every program for both machines, `jobs` at a time, so that compiling
/// is over before anything is timed.
pub fn build_all(programs: &[Program], machines: &[Machine], jobs: usize) {
    let work: Vec<_> = programs
        .iter()
        .flat_map(|p| machines.iter().map(move |m| (p, *m)))
        .collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while let Some((program, machine)) = work.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    // A failure shows when the program is run.
                    drop(Build::new(&program.source, *machine).program());
                }
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_lines() {
        #[track_caller]
        fn check(line: &str, name: &str, verdict: Option<Verdict>) {
            assert_eq!(parse(line).remove(name), verdict, "{line:?}");
        }
        check("PASS a", "a", Some(Verdict::Pass));
        check(
            "FAIL a: x.c:3: b == c: 1",
            "a",
            Some(Verdict::Fail("x.c:3: b == c: 1".into())),
        );
        check(
            "SKIP a: no such thing",
            "a",
            Some(Verdict::Skip("no such thing".into())),
        );
        check("# a: x.c:3: noise", "a", None);
        check("PASS", "", None);
    }

    #[test]
    fn second_chances() {
        #[track_caller]
        fn check(results: &[bool], chances: usize, expected: Judgement, runs: usize) {
            let list = Expectations::default();
            let mut results = results.iter().map(|passes| match passes {
                true => Verdict::Pass,
                false => Verdict::Fail("lost a race".into()),
            });
            let left = results.len();
            let mut next = || {
                let verdict = results.next()?;
                Some(judge(&Column::host(), "p::a".into(), verdict, &list))
            };
            let first = next().expect("a first result");
            let is_first = first.judgement == expected;
            let cell = settle(first, chances, |_| next());
            assert_eq!(cell.judgement, expected);
            assert_eq!(cell.first_failure.is_none(), is_first);
            assert_eq!(left - results.len(), runs);
        }
        check(&[true, false], 2, Judgement::Passed, 1);
        check(&[false, true], 2, Judgement::Passed, 2);
        check(&[false, false, true], 2, Judgement::Passed, 3);
        check(&[false, false, false, true], 2, Judgement::Failed, 3);
        check(&[false, true], 0, Judgement::Failed, 1);
    }

    #[test]
    fn judgements() {
        let list = Expectations::parse("host\tp::known\tfail\tr\nhost\tp::either\tmay-fail\tr")
            .expect("parses");
        let column = Column::host();
        for (test, verdict, judgement) in [
            ("p::a", Verdict::Pass, Judgement::Passed),
            ("p::a", Verdict::Fail(String::new()), Judgement::Failed),
            (
                "p::known",
                Verdict::Fail(String::new()),
                Judgement::KnownFailure,
            ),
            ("p::known", Verdict::Pass, Judgement::UnexpectedPass),
            ("p::either", Verdict::Pass, Judgement::Passed),
            (
                "p::either",
                Verdict::Fail(String::new()),
                Judgement::KnownFailure,
            ),
            ("p::a", Verdict::Skip(String::new()), Judgement::Skipped),
        ] {
            assert_eq!(
                judge(&column, test.into(), verdict, &list).judgement,
                judgement,
                "{test}"
            );
        }
    }
}
