//! An interactive bash on a terminal: the user suspends, resumes, interrupts and
//! resizes, and sends signals to `rivix` as to any program.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use anyhow::{Context, Result};
use rivix_testsuite::column;
use rivix_testsuite::dialogue::Dialogue;

use super::AcceptArgs;
use super::report::Report;
use crate::debian::{self, Guests};

/// One promise and what was seen of it.
pub(crate) struct Check {
    pub(crate) what: &'static str,
    pub(crate) result: Result<String>,
}

pub(crate) fn show(report: &mut Report, _: &AcceptArgs) -> Result<()> {
    for check in checks(&debian::guests()?) {
        match check.result {
            Ok(seen) => report.check(check.what, true, seen),
            Err(error) => report.check(check.what, false, format!("{error:#}")),
        }
    }
    Ok(())
}

/// Each in a dialogue of its own.
pub(crate) fn checks(guests: &Guests) -> Vec<Check> {
    type Play = fn(&Guests) -> Result<String>;
    let plays: [(&'static str, Play); 9] = [
        ("the shell has its terminal and its job control", terminal),
        ("Ctrl-Z, bg, fg and Ctrl-C", suspend_and_resume),
        ("a pipeline stops and goes on as one", pipeline),
        ("a background reader stops until fg", background_reader),
        ("Ctrl-C ends a loop of the shell's own", endless_loop),
        ("Ctrl-\\ and end of file", quit_and_end),
        ("the window's size, and who hears of it", resize),
        (
            "Ctrl-Z stops rivix under a shell, and fg resumes it",
            suspend_rivix,
        ),
        ("signals to rivix reach the program", signals),
    ];
    plays
        .into_iter()
        .map(|(what, play)| Check {
            what,
            result: play(guests),
        })
        .collect()
}

const PROMPT: &str = "READY> ";

fn rivix(guests: &Guests, words: &[&str]) -> Command {
    let mut command = Command::new(column::rivix_program());
    command.args(["run", "--quiet", "--"]).args(words);
    dress(&mut command, guests);
    command
}

fn dress(command: &mut Command, guests: &Guests) {
    command
        .env("PS1", PROMPT)
        .env("TERM", "dumb")
        .env("BB", guests.busybox("riscv64"))
        .env_remove("HISTFILE");
}

const OPTIONS: [&str; 4] = ["--norc", "--noprofile", "--noediting", "-i"];

fn shell(guests: &Guests) -> Result<Dialogue> {
    let bash = guests.bash("riscv64");
    let mut words = vec![bash.to_str().context("a path that is no text")?];
    words.extend(OPTIONS);
    let mut dialogue = Dialogue::start(&mut rivix(guests, &words))?;
    dialogue.expect(PROMPT)?;
    Ok(dialogue)
}

/// A command of the shell's, and what it says.
fn ask(shell: &mut Dialogue, command: &str) -> Result<String> {
    shell.send(&format!("{command}\n"))?;
    let said = shell.expect(PROMPT)?;
    // The terminal echoes the command first.
    let said = said.split_once("\r\n").map_or("", |(_, said)| said);
    Ok(said.trim_end().to_owned())
}

/// Until the shell says so, or its patience ends.
fn until(shell: &mut Dialogue, command: &str, text: &str) -> Result<String> {
    let mut said = String::new();
    for _ in 0..200 {
        said = ask(shell, command)?;
        if said.contains(text) {
            return Ok(said);
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    anyhow::bail!("{command} never says {text:?}, but {said:?}")
}

fn leave(mut shell: Dialogue) -> Result<String> {
    shell.send("exit 7\n")?;
    let status = shell.wait()?;
    anyhow::ensure!(status.code() == Some(7), "ended with {status}");
    Ok("exit 7".to_owned())
}

fn terminal(guests: &Guests) -> Result<String> {
    let mut shell = shell(guests)?;
    let flags = ask(&mut shell, "echo $-")?;
    anyhow::ensure!(flags.contains('m'), "no job control: {flags}");
    let name = ask(&mut shell, "$BB tty")?;
    anyhow::ensure!(name.starts_with("/dev/pts/"), "{name}");
    let own = ask(&mut shell, "$BB test -c /dev/tty && echo to me >/dev/tty")?;
    anyhow::ensure!(own == "to me", "{own}");
    leave(shell)?;
    Ok(format!("{name}, options {flags}"))
}

fn suspend_and_resume(guests: &Guests) -> Result<String> {
    let mut shell = shell(guests)?;
    shell.send("(echo begun; exec $BB sleep 1000)\n")?;
    shell.expect("begun\r\n")?;
    shell.send("\x1a")?;
    shell.expect("Stopped")?;
    shell.expect(PROMPT)?;
    ask(&mut shell, "bg")?;
    until(&mut shell, "jobs", "Running")?;
    shell.send("fg\n")?;
    shell.expect("sleep 1000")?;
    shell.expect("\r\n")?;
    shell.send("\x1a")?;
    shell.expect("Stopped")?;
    shell.expect(PROMPT)?;
    shell.send("fg\n")?;
    shell.expect("sleep 1000")?;
    shell.expect("\r\n")?;
    shell.send("\x03")?;
    shell.expect(PROMPT)?;
    let status = ask(&mut shell, "echo $?")?;
    anyhow::ensure!(status == "130", "interrupted with {status}");
    anyhow::ensure!(ask(&mut shell, "jobs")?.is_empty(), "a job is left");
    leave(shell)
}

fn pipeline(guests: &Guests) -> Result<String> {
    let mut shell = shell(guests)?;
    shell.send("(echo begun >&2; exec $BB sleep 1000) | $BB cat\n")?;
    shell.expect("begun\r\n")?;
    shell.send("\x1a")?;
    shell.expect("Stopped")?;
    shell.expect(PROMPT)?;
    let states = ask(
        &mut shell,
        "for p in $(jobs -p); do $BB grep State /proc/$p/status; done",
    )?;
    anyhow::ensure!(states.contains("T (stopped)"), "{states}");
    shell.send("fg\n")?;
    shell.expect("cat")?;
    shell.expect("\r\n")?;
    shell.send("\x03")?;
    shell.expect(PROMPT)?;
    anyhow::ensure!(ask(&mut shell, "jobs")?.is_empty(), "a job is left");
    leave(shell)
}

fn background_reader(guests: &Guests) -> Result<String> {
    let mut shell = shell(guests)?;
    ask(&mut shell, "$BB cat &")?;
    let said = until(&mut shell, "jobs -l", "tty input")?;
    shell.send("fg\n")?;
    shell.expect("cat")?;
    shell.expect("\r\n")?;
    shell.send("a line\n")?;
    shell.expect("a line\r\na line\r\n")?;
    shell.send("\x04")?;
    shell.expect(PROMPT)?;
    leave(shell)?;
    Ok(said.lines().last().unwrap_or_default().trim().to_owned())
}

fn endless_loop(guests: &Guests) -> Result<String> {
    let mut shell = shell(guests)?;
    shell.send("echo $((6 * 7)); while :; do :; done\n")?;
    shell.expect("42\r\n")?;
    shell.send("\x03")?;
    shell.expect(PROMPT)?;
    leave(shell)
}

fn quit_and_end(guests: &Guests) -> Result<String> {
    let mut shell = shell(guests)?;
    shell.send("(echo begun; exec $BB sleep 1000)\n")?;
    shell.expect("begun\r\n")?;
    shell.send("\x1c")?;
    shell.expect(PROMPT)?;
    let status = ask(&mut shell, "echo $?")?;
    anyhow::ensure!(status == "131", "quit with {status}");
    shell.send("\x04")?;
    let end = shell.wait()?;
    anyhow::ensure!(end.code() == Some(0), "end of file: {end}");
    Ok(format!("{status}, then {end}"))
}

fn resize(guests: &Guests) -> Result<String> {
    let mut shell = shell(guests)?;
    let before = ask(&mut shell, "$BB stty size")?;
    anyhow::ensure!(before == "24 80", "{before}");
    ask(&mut shell, "trap 'echo told: $($BB stty size)' WINCH")?;
    shell.resize(50, 132)?;
    shell.send("\n")?;
    shell.expect("told: 50 132")?;
    shell.expect(PROMPT)?;
    ask(&mut shell, "$BB stty rows 30")?;
    let after = until(&mut shell, "$BB stty size", "30 132")?;
    leave(shell)?;
    Ok(format!(
        "{before}, 50 132, {}",
        after.lines().last().unwrap_or_default()
    ))
}

/// The host's own bash is the user's shell here.
fn suspend_rivix(guests: &Guests) -> Result<String> {
    let mut command = Command::new(guests.bash("amd64"));
    command.args(OPTIONS).env("RIVIX", column::rivix_program());
    dress(&mut command, guests);
    let mut shell = Dialogue::start(&mut command)?;
    shell.expect(PROMPT)?;
    shell.send("$RIVIX run --quiet -- $BB sh -c 'echo begun; $BB cat; exit 5'\n")?;
    shell.expect("begun\r\n")?;
    shell.send("\x1a")?;
    shell.expect("Stopped")?;
    shell.expect(PROMPT)?;
    shell.send("fg\n")?;
    shell.expect("exit 5'\r\n")?;
    shell.send("a line\n")?;
    shell.expect("a line\r\na line\r\n")?;
    shell.send("\x04")?;
    shell.expect(PROMPT)?;
    let status = ask(&mut shell, "echo $?")?;
    anyhow::ensure!(status == "5", "ended with {status}");
    // In the background, the terminal stops it before it reads.
    ask(&mut shell, "$RIVIX run --quiet -- $BB cat &")?;
    until(&mut shell, "jobs -l", "tty input")?;
    shell.send("fg\n")?;
    shell.expect("cat")?;
    shell.expect("\r\n")?;
    shell.send("\x03")?;
    shell.expect(PROMPT)?;
    let status = ask(&mut shell, "echo $?")?;
    anyhow::ensure!(status == "130", "interrupted with {status}");
    leave(shell)
}

fn signals(guests: &Guests) -> Result<String> {
    const SCRIPT: &str = "for s in HUP INT QUIT TERM USR1 USR2 ALRM CONT WINCH; do \
        trap \"echo got $s\" $s; done; echo ready; while :; do $BB sleep 0.02; done";
    let list = &SIGNALS[..9];
    let bash = guests.bash("riscv64");
    let bash = bash.to_str().context("a path that is no text")?;
    let mut program = Dialogue::start(&mut rivix(guests, &[bash, "-c", SCRIPT]))?;
    program.expect("ready\r\n")?;
    for (name, number) in list {
        program.signal(*number)?;
        program.expect(&format!("got {name}\r\n"))?;
    }
    program.signal(number_of("KILL"))?;
    program.wait()?;
    // Not caught, the signal ends the program, and rivix by the same one.
    for name in ["TERM", "INT", "HUP", "USR1"] {
        let script = "echo ready; exec $BB sleep 1000";
        let mut program = Dialogue::start(&mut rivix(guests, &[bash, "-c", script]))?;
        program.expect("ready\r\n")?;
        program.signal(number_of(name))?;
        let status = program.wait()?;
        let wanted = Some(number_of(name));
        anyhow::ensure!(status.signal() == wanted, "{name}: {status}");
    }
    // The window is closed.
    let mut program = Dialogue::start(&mut rivix(guests, &[bash, "-c", "echo ready; $BB cat"]))?;
    program.expect("ready\r\n")?;
    let status = program.hang_up()?;
    anyhow::ensure!(
        status.signal() == Some(number_of("HUP")),
        "hang-up: {status}"
    );
    Ok(format!("{} caught; four and a hang-up end it", list.len()))
}

/// Signals that a program may catch, with x86-64's numbers; and one that it may not.
const SIGNALS: [(&str, i32); 10] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("USR1", 10),
    ("USR2", 12),
    ("ALRM", 14),
    ("TERM", 15),
    ("CONT", 18),
    ("WINCH", 28),
    ("KILL", 9),
];

fn number_of(name: &str) -> i32 {
    let found = SIGNALS.iter().find(|(known, _)| *known == name);
    found.map_or(0, |(_, number)| *number)
}

#[cfg(test)]
mod tests {
    #[test]
    #[ignore = "needs a release build of rivix, and Debian's shells"]
    fn every_check_holds() {
        let guests = crate::debian::guests().unwrap();
        let mut failed = 0;
        for check in super::checks(&guests) {
            println!("{}: {:?}", check.what, check.result);
            failed += usize::from(check.result.is_err());
        }
        assert_eq!(failed, 0);
    }
}
