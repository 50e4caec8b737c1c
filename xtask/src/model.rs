//! `cargo xtask model`: the model-checked protocols, and the faults seeded into
//! them.
//!
//! Models are the tests of a build in which `rivix_sync::sys` is loom's (every
//! interleaving of a small protocol) or shuttle's (many random schedules of a
//! whole pool). A model that finds nothing proves little unless it could have
//! found something: the `mutants.tsv` of each folder name, for each, faults that
//! the code can be made to contain (`RIVIX_MUTANT`), and the model must fail with
//! each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use anyhow::{Context, Result, bail};
use clap::Args;
use rivix_testsuite::paths;
use rivix_testsuite::process::{self, Job, Outcome};

use crate::binaries::{self, Binary};
use crate::shell;

/// Where the modelled crates' sources are, and beside them their tables of faults.
const FOLDERS: [&str; 3] = ["crates/sync", "spawner", "task"];

/// A model that takes longer has no end that anybody would wait for.
const LIMIT_S: u64 = 600;
/// A seeded fault shows at once or not at all.
const MUTANT_LIMIT_S: u64 = 120;
/// `--bounded`: loom stops by itself after this long, and looks at schedules
/// with no more forced switches than this.
const BOUNDED_S: &str = "5";
const BOUNDED_PREEMPTIONS: &str = "2";
const BOUNDED_LIMIT_S: u64 = 60;

#[derive(Args, Default)]
pub(crate) struct ModelArgs {
    /// Also run each model with each fault seeded into its code
    #[arg(long)]
    pub(crate) mutants: bool,
    /// Stop loom after some seconds per model, as CI does
    #[arg(long)]
    pub(crate) bounded: bool,
    /// Only models and mutants whose name contains this
    pub(crate) filter: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Set {
    Loom,
    Shuttle,
}

impl Set {
    const ALL: [Set; 2] = [Set::Loom, Set::Shuttle];

    fn name(self) -> &'static str {
        match self {
            Set::Loom => "loom",
            Set::Shuttle => "shuttle",
        }
    }

    fn from_name(name: &str) -> Option<Set> {
        Set::ALL.into_iter().find(|set| set.name() == name)
    }

    /// Whole processes are too much for every interleaving.
    fn packages(self) -> &'static [&'static str] {
        match self {
            Set::Loom => &["rivix-sync", "rivix-spawner"],
            Set::Shuttle => &["rivix-sync", "rivix-spawner", "rivix-task"],
        }
    }

    /// A target folder of its own: the flags differ, and cargo would rebuild
    /// everything at each change of them.
    fn build(self) -> Result<Vec<Binary>> {
        let mut command = shell::cargo(&["test", "--quiet", "--release", "--lib", "--no-run"]);
        for package in self.packages() {
            command.args(["-p", package]);
        }
        let folder = paths::target().join(format!("model-{}", self.name()));
        let flags = format!("--cfg rivix_model --cfg rivix_{}", self.name());
        command.env("CARGO_TARGET_DIR", folder);
        command.env("RUSTFLAGS", flags);
        println!("building the models under {}", self.name());
        binaries::build(&mut command, true)
    }
}

/// One model: a test of one package under one set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Model {
    set: Set,
    package: String,
    test: String,
}

/// One row of the table of faults.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mutant {
    name: String,
    model: Model,
    what: String,
    /// The fault shows as a run that does not end.
    may_hang: bool,
}

/// What became of the models.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    /// Models that fail, faults they miss, and rows of the table that do not
    /// fit sources or models.
    pub(crate) failed: usize,
}

pub(crate) fn run(args: &ModelArgs) -> Result<bool> {
    let tally = check(args)?;
    Ok(tally.failed == 0 && tally.passed > 0)
}

fn check(args: &ModelArgs) -> Result<Tally> {
    let table = mutants_table()?;
    let seeded = seeded_in_sources()?;
    let mut programs = BTreeMap::new();
    let mut models = BTreeSet::new();
    for set in Set::ALL {
        for binary in set.build()? {
            for test in binary.tests()? {
                models.insert(Model {
                    set,
                    package: binary.package.clone(),
                    test,
                });
            }
            programs.insert((set, binary.package.clone()), binary.program);
        }
    }
    if models.is_empty() {
        bail!("no models were found");
    }
    let faults = disagreements(&table, &seeded, &models);
    for fault in &faults {
        println!("FAILED   {fault}");
    }
    let is_wanted = |texts: &[&str]| {
        let filter = args.filter.as_deref().unwrap_or("");
        texts.iter().any(|text| text.contains(filter))
    };
    let rows: Vec<&Mutant> = table
        .iter()
        .filter(|row| models.contains(&row.model))
        .filter(|row| is_wanted(&[&row.name, &row.model.test]))
        .collect();
    let chosen: Vec<&Model> = models
        .iter()
        .filter(|model| {
            let has_wanted_mutant = args.mutants && rows.iter().any(|r| r.model == **model);
            has_wanted_mutant || is_wanted(&[&model.test])
        })
        .collect();
    let job = |model: &Model, mutant: Option<&str>| -> Result<Job> {
        let program: &PathBuf = programs
            .get(&(model.set, model.package.clone()))
            .context("a model without a program")?;
        Ok(model_job(program, model, mutant, args.bounded))
    };

    let jobs = chosen
        .iter()
        .map(|model| job(model, None))
        .collect::<Result<Vec<_>>>()?;
    let mut sound = BTreeSet::new();
    run_all(&jobs, |index, outcome| {
        let model = chosen[index];
        let is_good = outcome.success();
        let word = if is_good { "ok" } else { "FAILED" };
        println!(
            "{word:8} {:7} {} {} {:.1} s",
            model.set.name(),
            model.package,
            model.test,
            outcome.wall.as_secs_f64()
        );
        if is_good {
            sound.insert(model.clone());
        } else {
            println!("{}", indented(&outcome));
        }
    })?;
    let (passed, failed) = (sound.len(), chosen.len() - sound.len());
    println!("{passed} passed, {failed} failed");
    let mut tally = Tally {
        passed,
        failed: failed + faults.len(),
    };
    if args.mutants {
        tally.failed += seed_faults(&rows, &sound, job)?;
    }
    Ok(tally)
}

/// Runs each row's model with its fault, one line each. Gives the number missed.
fn seed_faults(
    rows: &[&Mutant],
    sound: &BTreeSet<Model>,
    job: impl Fn(&Model, Option<&str>) -> Result<Job>,
) -> Result<usize> {
    let jobs = rows
        .iter()
        .map(|row| job(&row.model, Some(&row.name)))
        .collect::<Result<Vec<_>>>()?;
    let (mut caught, mut missed) = (0, 0);
    run_all(&jobs, |index, outcome| {
        let row = rows[index];
        // A model that fails anyway catches nothing.
        let verdict = if sound.contains(&row.model) {
            judge(row, &outcome)
        } else {
            Err("the model fails without the fault too".to_owned())
        };
        let (word, how) = match verdict {
            Ok(how) => ("caught", how),
            Err(why) => ("MISSED", why),
        };
        if word == "caught" {
            caught += 1;
        } else {
            missed += 1;
        }
        println!(
            "{word:7} {} {} {} ({}; {:.1} s: {how})",
            row.name,
            row.model.set.name(),
            row.model.test,
            row.what,
            outcome.wall.as_secs_f64()
        );
    })?;
    println!("{caught} caught, {missed} missed");
    Ok(missed)
}

/// How the model noticed, or why that does not count.
fn judge(row: &Mutant, outcome: &Outcome) -> Result<String, String> {
    if outcome.timed_out {
        return if row.may_hang {
            Ok("does not end".into())
        } else {
            Err("does not end, and the table does not say so".into())
        };
    }
    if outcome.status.success() {
        return Err("the model passes".into());
    }
    // libtest runs the one test and reports it, or the test ends the process.
    let text = format!("{}\n{}", outcome.out(), outcome.err());
    if !text.contains("running 1 test") {
        return Err(format!("the test did not run, {}", outcome.ending()));
    }
    Ok(complaint(&text).unwrap_or_else(|| outcome.ending()))
}

/// The first line of the first panic's message.
fn complaint(text: &str) -> Option<String> {
    let mut lines = text.lines();
    lines.find(|line| line.contains("panicked at"))?;
    let line = lines.next()?.trim();
    Some(line.chars().take(100).collect())
}

fn indented(outcome: &Outcome) -> String {
    let (out, err) = (outcome.out(), outcome.err());
    let lines: Vec<_> = out.lines().chain(err.lines()).collect();
    let last = &lines[lines.len().saturating_sub(40)..];
    let mut text = format!("         {}", outcome.ending());
    for line in last {
        text.push_str("\n         ");
        text.push_str(line);
    }
    text
}

fn model_job(program: &Path, model: &Model, mutant: Option<&str>, bounded: bool) -> Job {
    let words = [
        program.as_os_str().to_owned(),
        "--exact".into(),
        model.test.clone().into(),
        "--test-threads=1".into(),
    ];
    let limit = match (mutant.is_some(), bounded) {
        (_, true) => BOUNDED_LIMIT_S,
        (true, false) => MUTANT_LIMIT_S,
        (false, false) => LIMIT_S,
    };
    let mut job = Job::new(words).limit(limit);
    // Backtraces are slow to make, and shuttle makes one per failing schedule.
    job = job.env("RUST_BACKTRACE", "0");
    if bounded {
        job = job
            .env("LOOM_MAX_DURATION", BOUNDED_S)
            .env("LOOM_MAX_PREEMPTIONS", BOUNDED_PREEMPTIONS);
    }
    if let Some(mutant) = mutant {
        job = job.env("RIVIX_MUTANT", mutant);
    }
    job
}

/// Runs the jobs, as many at once as there are processors, and hands over the
/// outcomes in the order of the jobs.
fn run_all(jobs: &[Job], mut each: impl FnMut(usize, Outcome)) -> Result<()> {
    let next = AtomicUsize::new(0);
    let at_once = std::thread::available_parallelism().map_or(1, usize::from);
    let (send, outcomes) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            let (next, send) = (&next, send.clone());
            scope.spawn(move || {
                while let Some((index, job)) = {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    jobs.get(index).map(|job| (index, job))
                } {
                    if send.send((index, process::run(job))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(send);
        let mut early = BTreeMap::new();
        let mut turn = 0;
        for (index, outcome) in outcomes {
            early.insert(index, outcome?);
            while let Some(outcome) = early.remove(&turn) {
                each(turn, outcome);
                turn += 1;
            }
        }
        Ok(())
    })
}

/// The rows of every folder's table.
fn mutants_table() -> Result<Vec<Mutant>> {
    let mut rows = Vec::new();
    for folder in FOLDERS {
        let file = paths::root().join(folder).join("mutants.tsv");
        if !file.exists() {
            continue;
        }
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        rows.extend(parse_table(&text).with_context(|| file.display().to_string())?);
    }
    Ok(rows)
}

/// Rows of `mutant, set, package, test, what is broken[, hang]`; a line that
/// begins with `#` or with the heading's first word is no row.
fn parse_table(text: &str) -> Result<Vec<Mutant>> {
    let mut rows = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') || line.starts_with("mutant\t") {
            continue;
        }
        let fields: Vec<_> = line.split('\t').map(str::trim).collect();
        let (&[name, set, package, test, what], rest) = fields
            .split_first_chunk::<5>()
            .with_context(|| format!("line {}: five fields, tab separated", number + 1))?;
        let set = Set::from_name(set)
            .with_context(|| format!("line {}: no set is called {set:?}", number + 1))?;
        let may_hang = match rest {
            [] => false,
            ["hang"] => true,
            _ => bail!("line {}: the sixth field is `hang` or absent", number + 1),
        };
        rows.push(Mutant {
            name: name.to_owned(),
            model: Model {
                set,
                package: package.to_owned(),
                test: test.to_owned(),
            },
            what: what.to_owned(),
            may_hang,
        });
    }
    Ok(rows)
}

/// Every fault that a source line can be made to contain, and where.
fn seeded_in_sources() -> Result<BTreeMap<String, PathBuf>> {
    let mut seeded = BTreeMap::new();
    let mut folders: Vec<PathBuf> = FOLDERS
        .iter()
        .map(|folder| paths::root().join(folder).join("src"))
        .collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                for name in mutants_in(&std::fs::read_to_string(&path)?) {
                    seeded.insert(name, path.clone());
                }
            }
        }
    }
    Ok(seeded)
}

/// The names in `mutant("…")`, wherever the formatter broke the line.
fn mutants_in(source: &str) -> Vec<String> {
    source
        .split("mutant(")
        .skip(1)
        .filter_map(|rest| {
            let (name, _) = rest.trim_start().strip_prefix('"')?.split_once('"')?;
            Some(name.to_owned())
        })
        .collect()
}

/// Where table, sources and models do not fit each other.
fn disagreements(
    table: &[Mutant],
    seeded: &BTreeMap<String, PathBuf>,
    models: &BTreeSet<Model>,
) -> Vec<String> {
    let mut faults = Vec::new();
    for row in table {
        if !seeded.contains_key(&row.name) {
            faults.push(format!("mutant {} is in no source line", row.name));
        }
        if !models.contains(&row.model) {
            faults.push(format!(
                "mutant {}: {} has no {} model {}",
                row.name,
                row.model.package,
                row.model.set.name(),
                row.model.test
            ));
        }
    }
    for (name, path) in seeded {
        if !table.iter().any(|row| row.name == *name) {
            faults.push(format!(
                "mutant {name} of {} is not in the table",
                path.display()
            ));
        }
    }
    for model in models {
        if !table.iter().any(|row| row.model == *model) {
            faults.push(format!(
                "{} model {} of {} has no mutant",
                model.set.name(),
                model.test,
                model.package
            ));
        }
    }
    faults
}

/// What `cargo xtask test` runs of the models: how many passed, and what failed.
pub(crate) fn bounded() -> Result<Tally> {
    check(&ModelArgs {
        bounded: true,
        ..ModelArgs::default()
    })
}

/// Runs the models of these names (with or without their package's name before
/// them): the seconds each took, or None for one that fails. A name that is no
/// model's is left out.
pub(crate) fn run_named<'a>(names: &BTreeSet<&'a str>) -> Result<BTreeMap<&'a str, Option<f64>>> {
    let mut found = Vec::new();
    let mut jobs = Vec::new();
    for set in Set::ALL {
        for binary in set.build()? {
            let package = format!("{}::", binary.package.replace('-', "_"));
            for test in binary.tests()? {
                let mut names = names.iter();
                if let Some(name) = names.find(|name| {
                    **name == test || name.strip_prefix(&package) == Some(test.as_str())
                }) {
                    let package = binary.package.clone();
                    let model = Model { set, package, test };
                    found.push(*name);
                    jobs.push(model_job(&binary.program, &model, None, false));
                }
            }
        }
    }
    let mut results = BTreeMap::new();
    run_all(&jobs, |index, outcome| {
        let seconds = outcome.success().then_some(outcome.wall.as_secs_f64());
        if seconds.is_none() {
            println!("{}", indented(&outcome));
        }
        results.insert(found[index], seconds);
    })?;
    Ok(results)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn model(set: Set, test: &str) -> Model {
        Model {
            set,
            package: "rivix-sync".into(),
            test: test.into(),
        }
    }

    #[test]
    fn the_table_is_read() {
        let text = "# faults\nmutant\tset\tpackage\ttest\twhat\n\
            p-no-wake\tloom\trivix-sync\tparker::model::parker\tno wake\n\
            p-spin\tshuttle\trivix-sync\tpool\tspins\thang\n";
        let rows = parse_table(text).expect("two rows");
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].model, model(Set::Loom, "parker::model::parker"));
        assert!(!rows[0].may_hang && rows[1].may_hang);
        for bad in [
            "a\tloom\tb\tc",
            "a\tmiri\tb\tc\td",
            "a\tloom\tb\tc\td\tmaybe",
        ] {
            assert!(parse_table(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_are_found_across_lines() {
        let source = "if mutant(\"a\") {} sys::mutant(\n        \"b\",\n) fn mutant(name: &str)";
        assert_eq!(mutants_in(source), ["a", "b"]);
    }

    #[test]
    fn every_kind_of_disagreement_is_told() {
        let table = parse_table("a\tloom\trivix-sync\tone\tw\nb\tloom\trivix-sync\tgone\tw\n")
            .expect("two rows");
        let seeded = ["a", "c"]
            .map(|name| (name.to_owned(), PathBuf::from("x.rs")))
            .into();
        let models = [model(Set::Loom, "one"), model(Set::Shuttle, "two")].into();
        assert_eq!(
            disagreements(&table, &seeded, &models),
            [
                "mutant b is in no source line",
                "mutant b: rivix-sync has no loom model gone",
                "mutant c of x.rs is not in the table",
                "shuttle model two of rivix-sync has no mutant",
            ]
        );
    }

    #[test]
    fn what_counts_as_caught() {
        #[track_caller]
        fn check(script: &str, may_hang: bool, expect: Result<&str, &str>) {
            let row = Mutant {
                name: "m".into(),
                model: model(Set::Loom, "t"),
                what: String::new(),
                may_hang,
            };
            let mut job = Job::new(["sh", "-c", script]);
            job.limit = Duration::from_millis(700);
            let outcome = process::run(&job).expect("sh runs");
            let verdict = judge(&row, &outcome);
            let verdict = verdict.as_deref().map_err(|why| why.as_str());
            assert_eq!(verdict, expect, "{script}");
        }
        let failing = "echo running 1 test; echo 'x panicked at y'; echo boom; exit 101";
        check(failing, false, Ok("boom"));
        check("echo running 1 test; kill -6 $$", false, Ok("signal 6"));
        check("echo running 1 test", false, Err("the model passes"));
        check("sleep 20", true, Ok("does not end"));
        check(
            "sleep 20",
            false,
            Err("does not end, and the table does not say so"),
        );
        check(
            "echo running 0 tests; exit 1",
            false,
            Err("the test did not run, exit 1"),
        );
    }
}
