//! Item 3: no signal is lost on the way into a blocking call. First in a build
//! whose windows between check and call are wide, so that kicks land in them all
//! the time; in the same build without what makes up for it, which must lose some;
//! then a great many in the build that users have.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use rivix_testsuite::column;
use rivix_testsuite::paths;
use rivix_testsuite::process::{self, Outcome};

use super::AcceptArgs;
use super::Report;
use crate::shell;
use crate::stress::kick::{self, KINDS};

/// Turns of a loop, some tenths of a millisecond, in each window.
const WIDE: &str = "30000";
const WIDE_SIGNALS: u64 = 1000;
/// So many are sent at most until one is lost.
const MUTANT_SIGNALS: u64 = 20_000;
const MUTANT_LIMIT_S: &str = "2";

pub(crate) fn show(report: &mut Report, args: &AcceptArgs) -> Result<()> {
    let guest = kick::build()?;
    let hooked = hooked_build()?;

    report.note(format!("windows widened by {WIDE} turns each"));
    let (mut moved, mut caught) = (0, 0);
    for kind in KINDS {
        let job =
            kick::job(&hooked, &guest, kind, WIDE_SIGNALS, "20").env("RIVIX_KICK_HOOKS", WIDE);
        let outcome = process::run(&job)?;
        let counts = counts_of(&outcome.err());
        let (at_calls, at_sleeps) = counts.unwrap_or_default();
        moved += at_calls;
        caught += at_sleeps;
        report.check(
            format!("{kind}: {WIDE_SIGNALS} signals, none lost, some in a window"),
            outcome.success() && at_calls + at_sleeps > 0,
            format!(
                "{}; {at_calls} fixed up at host calls, {at_sleeps} at sleeps",
                told(&outcome)
            ),
        );
    }
    report.check(
        "kicks fixed up, of both sorts",
        moved > 0 && caught > 0,
        format!("{moved} at host calls, {caught} at sleeps"),
    );

    report.note("the same without the fix-up");
    let mut losing = 0;
    for kind in KINDS {
        let job = kick::job(&hooked, &guest, kind, MUTANT_SIGNALS, MUTANT_LIMIT_S)
            .env("RIVIX_KICK_HOOKS", format!("{WIDE},no-fixup"));
        let outcome = process::run(&job)?;
        let is_lost = !outcome.success() && outcome.err().contains("is lost");
        losing += usize::from(is_lost);
        report.check(format!("{kind}: a signal is lost"), is_lost, told(&outcome));
    }
    report.note(format!("{losing} of {} kinds lost one", KINDS.len()));

    report.note("the build that users have");
    for kind in KINDS {
        let job = kick::job(&column::rivix_program(), &guest, kind, args.signals, "20");
        let outcome = process::run(&job)?;
        report.check(
            format!("{kind}: {} signals, none lost", args.signals),
            outcome.success() && outcome.out().starts_with("kick: "),
            format!("{}, {:.0} s", told(&outcome), outcome.wall.as_secs_f64()),
        );
    }
    Ok(())
}

/// The last line that says something.
fn told(outcome: &Outcome) -> String {
    let (out, err) = (outcome.out(), outcome.err());
    let is_leaks_line = |line: &&str| line.starts_with("rivix: ");
    let mut lines = out.lines().chain(err.lines()).filter(|l| !is_leaks_line(l));
    let first = lines.next().unwrap_or("").to_owned();
    match outcome.success() {
        true => first,
        false => format!("{}: {first}", outcome.ending()),
    }
}

/// `rivix: kicks in windows: 12 at host calls, 30 at sleeps`
fn counts_of(err: &str) -> Option<(u64, u64)> {
    let line = err
        .lines()
        .find_map(|line| line.strip_prefix("rivix: kicks in windows: "))?;
    let (calls, sleeps) = line.split_once(", ")?;
    let number = |text: &str| text.split(' ').next()?.parse().ok();
    Some((number(calls)?, number(sleeps)?))
}

/// A `rivix` with the hooks, kept beside the one without.
fn hooked_build() -> Result<PathBuf> {
    let arguments = [
        "build",
        "--quiet",
        "--release",
        "-p",
        "rivix-cli",
        "--features",
        "kick-hooks",
    ];
    ensure!(
        shell::step(&mut shell::cargo(&arguments))?,
        "rivix with hooks does not build"
    );
    let folder = paths::target().join("kick-hooks");
    std::fs::create_dir_all(&folder)?;
    let (made, kept) = (paths::target().join("release/rivix"), folder.join("rivix"));
    std::fs::copy(&made, &kept).with_context(|| format!("cannot copy {}", made.display()))?;
    // Cargo keeps both builds, and puts the one asked for last in this place.
    ensure!(
        shell::step(&mut shell::cargo(&arguments[..5]))?,
        "rivix does not build"
    );
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read() {
        let text = "rivix: left over: 0\nrivix: kicks in windows: 12 at host calls, 30 at sleeps\n";
        assert_eq!(counts_of(text), Some((12, 30)));
        assert_eq!(counts_of("rivix: left over: 0\n"), None);
    }
}
