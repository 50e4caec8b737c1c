//! Every test intent of the spawner is a named test. The table of intents and
//! tests is part of the crate's documentation; here every test it names is
//! looked up and run, each in a process of its own with a time limit.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use rivix_testsuite::paths;
use rivix_testsuite::process::{self, Job};
use rivix_testsuite::teaching::{self, Abi, Program};

use super::AcceptArgs;
use super::Report;
use crate::binaries::{self, Binary};
use crate::stress::{self, Tally};
use crate::{model, shell};

const PACKAGES: [&str; 3] = ["rivix-sync", "rivix-spawner", "rivix-task"];
const LIMIT_S: u64 = 300;
/// What a stress program's name begins with in the table.
const STRESS: &str = "stress::";
/// And a teaching kernels' program's.
const TEACHING: &str = "teaching::";
const TEACHING_RUNS: usize = 4;

/// One row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    intent: String,
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Tests(Vec<String>),
    /// Left for later, and why.
    Pending(String),
}

/// What became of one named test.
#[derive(Clone, Debug)]
enum Ending {
    Passed { seconds: f64 },
    Failed(String),
}

pub(crate) fn show(report: &mut Report, _: &AcceptArgs) -> Result<()> {
    let file = paths::root().join("spawner/TESTS.md");
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("cannot read {}", file.display()))?;
    let rows = parse(&text);
    let names: BTreeSet<&str> = rows
        .iter()
        .flat_map(|row| match &row.state {
            State::Tests(tests) => tests.iter().map(String::as_str).collect(),
            State::Pending(_) => Vec::new(),
        })
        .collect();
    report.check(
        "the table has rows and each names a test or is pending",
        !rows.is_empty() && !names.is_empty(),
        format!("{} rows, {} tests", rows.len(), names.len()),
    );
    let results = run(&names)?;
    let mut pending = 0;
    for row in &rows {
        let tests = match &row.state {
            State::Tests(tests) => tests,
            State::Pending(why) => {
                pending += 1;
                report.note(format!("pending  {}: {why}", row.intent));
                continue;
            }
        };
        let mut good = !tests.is_empty();
        let mut told = Vec::new();
        for test in tests {
            match results.get(test.as_str()) {
                Some(Ending::Passed { seconds }) => told.push(format!("{test} {seconds:.2} s")),
                Some(Ending::Failed(why)) => {
                    good = false;
                    told.push(format!("{test} FAILED: {why}"));
                }
                None => {
                    good = false;
                    told.push(format!("{test} is no test"));
                }
            }
        }
        report.check(&row.intent, good, told.join(", "));
    }
    report.note(format!("{pending} intents pending"));
    Ok(())
}

/// Finds and runs the named tests.
fn run<'a>(names: &BTreeSet<&'a str>) -> Result<BTreeMap<&'a str, Ending>> {
    let mut command = shell::cargo(&["test", "--quiet", "--no-run"]);
    for package in PACKAGES {
        command.args(["-p", package]);
    }
    let binaries = binaries::build(&mut command, true)?;
    let mut results = BTreeMap::new();
    let mut unfound: BTreeSet<&str> = names.clone();
    for binary in &binaries {
        for test in binary.tests()? {
            let Some(name) = names.iter().find(|name| is_named(name, binary, &test)) else {
                continue;
            };
            unfound.remove(name);
            results.insert(*name, run_one(binary, &test)?);
        }
    }
    let (guests, unfound): (BTreeSet<&str>, BTreeSet<&str>) = unfound
        .into_iter()
        .partition(|name| name.starts_with(STRESS) || name.starts_with(TEACHING));
    if !guests.is_empty() {
        shell::build_rivix()?;
    }
    for name in guests {
        let tally = match name.strip_prefix(STRESS) {
            Some(program) => stress::bounded_of(program)?,
            None => teaching_of(&name[TEACHING.len()..])?,
        };
        results.insert(name, ending_of(tally));
    }
    // Models are tests of other builds.
    let models: BTreeSet<&str> = unfound.into_iter().filter(|name| is_model(name)).collect();
    if !models.is_empty() {
        for (name, seconds) in model::run_named(&models)? {
            let result = match seconds {
                Some(seconds) => Ending::Passed { seconds },
                None => Ending::Failed("the model fails".into()),
            };
            results.insert(name, result);
        }
    }
    Ok(results)
}

fn run_one(binary: &Binary, test: &str) -> Result<Ending> {
    let words = [
        binary.program.as_os_str().to_owned(),
        "--exact".into(),
        test.into(),
    ];
    let job = Job::new(words).limit(LIMIT_S).cwd(paths::root());
    let outcome = process::run(&job)?;
    let seconds = outcome.wall.as_secs_f64();
    // Nothing counts but one test that ran and passed.
    if outcome.success()
        && outcome
            .out()
            .contains("test result: ok. 1 passed; 0 failed;")
    {
        return Ok(Ending::Passed { seconds });
    }
    println!("{}{}", outcome.out(), outcome.err());
    Ok(Ending::Failed(outcome.ending()))
}

/// Runs of a teaching kernels' program under both numberings, if there is such a one.
fn teaching_of(name: &str) -> Result<Option<Tally>> {
    let all = teaching::THREADS.into_iter().chain(teaching::EDGES);
    let Some(name) = all.into_iter().find(|known| *known == name) else {
        return Ok(None);
    };
    let programs = Abi::ALL
        .map(|abi| Program::build(name, abi))
        .into_iter()
        .collect::<Result<Vec<_>>>()?;
    stress::repeat_run(0, TEACHING_RUNS, |run| {
        programs[run as usize % programs.len()].run()
    })
    .map(Some)
}

fn ending_of(tally: Option<Tally>) -> Ending {
    match tally {
        None => Ending::Failed("no program is called so".into()),
        Some(tally) => match tally.bad.first() {
            None => Ending::Passed {
                seconds: tally.slowest.as_secs_f64(),
            },
            Some((run, complaint)) => Ending::Failed(format!("run {run}: {complaint}")),
        },
    }
}

fn is_model(name: &str) -> bool {
    name.split("::")
        .any(|part| part.starts_with("model") || part.starts_with("shuttle_model"))
}

/// The table names a test by its path in its program, with or without the
/// crate or the file before it.
fn is_named(name: &str, binary: &Binary, test: &str) -> bool {
    let Some(before) = name.strip_suffix(test) else {
        return false;
    };
    let package = binary.package.replace('-', "_");
    before.is_empty()
        || before == format!("{}::", binary.target)
        || before == format!("{package}::")
        || before == format!("{package}::{}::", binary.target)
        || before == format!("tests/{}.rs::", binary.target)
}

/// The rows of every table of the page: `| intent | test |`. Tests stand in
/// backquotes, several in one cell if need be; a cell without any begins with
/// the word "pending".
fn parse(text: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    for line in text.lines() {
        let Some(line) = line.trim().strip_prefix('|') else {
            continue;
        };
        let line = line.strip_suffix('|').unwrap_or(line);
        let Some((intent, cell)) = line.rsplit_once('|') else {
            continue;
        };
        let (intent, cell) = (intent.trim(), cell.trim());
        let is_rule = cell.chars().all(|c| matches!(c, '-' | ':' | ' '));
        if is_rule || intent.eq_ignore_ascii_case("intent") {
            continue;
        }
        let tests: Vec<String> = cell
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect();
        let lower = cell.to_ascii_lowercase();
        let state = match lower.strip_prefix("pending") {
            Some(_) => {
                let why = cell["pending".len()..].trim_start_matches([':', ' ', ',']);
                State::Pending(why.to_owned())
            }
            None => State::Tests(tests),
        };
        rows.push(Row {
            intent: intent.to_owned(),
            state,
        });
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read() {
        let text = "# Tests\n\n| Intent | Test |\n|---|:--|\n\
            | ten units | `pool::tests::ten`, `model::ten` |\n\
            | clone storm | pending: with exec |\n\
            | nothing named | later |\n";
        let rows = parse(text);
        let states: Vec<_> = rows.into_iter().map(|row| row.state).collect();
        assert_eq!(
            states,
            [
                State::Tests(vec!["pool::tests::ten".into(), "model::ten".into()]),
                State::Pending("with exec".into()),
                State::Tests(vec![]),
            ]
        );
    }

    #[test]
    fn tests_are_named_with_or_without_crate_and_file() {
        let binary = Binary {
            package: "rivix-spawner".into(),
            target: "stress".into(),
            program: "x".into(),
        };
        #[track_caller]
        fn check(binary: &Binary, name: &str, expect: bool) {
            assert_eq!(is_named(name, binary, "pool::ten"), expect, "{name}");
        }
        for name in [
            "pool::ten",
            "rivix_spawner::pool::ten",
            "stress::pool::ten",
            "tests/stress.rs::pool::ten",
        ] {
            check(&binary, name, true);
        }
        for name in ["ten", "other::pool::ten", "whirlpool::ten", "pool::tenth"] {
            check(&binary, name, false);
        }
    }
}
