//! Item 2: Debian's static busybox and bash for riscv64 under rivix against the
//! same packages' amd64 builds on the host: stdout, stderr and status, byte for
//! byte. Then 2,000 external commands, which must leave nothing behind.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rivix_testsuite::process::{self, Job, Outcome};
use rivix_testsuite::{column, paths};

use super::report::Report;
use super::{AcceptArgs, interactive};
use crate::debian::{self, Guests};

/// The same paths for both machines: `bin` is a link that is switched.
struct Stage {
    top: tempfile::TempDir,
}

impl Stage {
    fn new(guests: &Guests) -> Result<Stage> {
        let stage = Stage {
            top: tempfile::tempdir()?,
        };
        let list = process::run(&Job::new([guests.busybox("amd64"), "--list".into()]))?;
        ensure!(
            list.success(),
            "the host cannot run busybox: {}",
            list.ending()
        );
        for machine in ["amd64", "riscv64"] {
            let bin = stage.path(&format!("bin.{machine}"));
            fs::create_dir(&bin)?;
            for applet in list.out().lines() {
                symlink(guests.busybox(machine), bin.join(applet))?;
            }
            fs::copy(guests.bash(machine), bin.join("bash"))?;
            fs::copy(guests.zsh(machine), bin.join("zsh"))?;
        }
        Ok(stage)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.top.path().join(name)
    }

    /// The command that runs a script with one of the shells, in an empty folder.
    fn prepare(&self, machine: &str, shell: &str, script: &Path, options: &[&str]) -> Result<Job> {
        let (bin, work) = (self.path("bin"), self.path("work"));
        drop(fs::remove_file(&bin));
        symlink(self.path(&format!("bin.{machine}")), &bin)?;
        if work.exists() {
            fs::remove_dir_all(&work)?;
        }
        fs::create_dir(&work)?;
        let mut words: Vec<PathBuf> = Vec::new();
        if machine == "riscv64" {
            words.extend([column::rivix_program(), "run".into(), "--quiet".into()]);
            words.extend(options.iter().map(PathBuf::from));
            words.push("--".into());
        }
        words.extend([bin.join(shell), script.to_owned()]);
        let mut job = Job::new(words)
            .cwd(work)
            .limit(120)
            .env("PATH", &bin)
            .env("BIN", &bin);
        for (key, value) in [("HOME", "/"), ("LC_ALL", "C"), ("TZ", "UTC")] {
            job = job.env(key, value);
        }
        job.clear_env = true;
        Ok(job)
    }
}

pub(crate) fn show(report: &mut Report, args: &AcceptArgs) -> Result<()> {
    let guests = debian::guests()?;
    let stage = Stage::new(&guests)?;
    let folder = paths::testsuite().join("guests/shell");
    let mut scripts: Vec<PathBuf> = fs::read_dir(&folder)?.flatten().map(|e| e.path()).collect();
    scripts.sort();
    for script in &scripts {
        let name = script
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name == "many.sh" {
            continue;
        }
        let shells: &[&str] = if name.ends_with(".bash") {
            &["bash"]
        } else {
            &["sh", "bash"]
        };
        for shell in shells {
            let host = process::run(&stage.prepare("amd64", shell, script, &[])?)?;
            let guest = process::run(&stage.prepare("riscv64", shell, script, &[])?)?;
            let same = !host.timed_out
                && host.stdout == guest.stdout
                && host.stderr == guest.stderr
                && host.status == guest.status;
            let which = if *shell == "sh" { "busybox sh" } else { shell };
            let lines = host.out().lines().count();
            report.check(
                format!("{which} {name} as on the host"),
                same,
                format!(
                    "{}, {lines} lines of output, {:.2} s",
                    guest.ending(),
                    guest.wall.as_secs_f64()
                ),
            );
            if !same {
                differences(report, &host, &guest);
            }
        }
    }
    for shell in ["sh", "bash"] {
        many_commands(report, &stage, shell, &folder.join("many.sh"))?;
    }
    interactive::show(report, args)
}

fn differences(report: &Report, host: &Outcome, guest: &Outcome) {
    if host.status != guest.status || guest.timed_out {
        report.note(format!(
            "status: host {}, rivix {}",
            host.ending(),
            guest.ending()
        ));
    }
    for (what, host, guest) in [
        ("stdout", host.out(), guest.out()),
        ("stderr", host.err(), guest.err()),
    ] {
        let (mut a, mut b) = (host.lines(), guest.lines());
        let mut line = 1;
        loop {
            match (a.next(), b.next()) {
                (None, None) => break,
                (x, y) if x == y => line += 1,
                (x, y) => {
                    let show = |l: Option<&str>| l.map_or("(end)".to_owned(), |l| format!("{l:?}"));
                    report.note(format!(
                        "{what} line {line}: host {}, rivix {}",
                        show(x),
                        show(y)
                    ));
                    break;
                }
            }
        }
    }
}

/// What a process holds of its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    threads: usize,
    fds: usize,
    /// Guest windows are 2^38 bytes of reserved addresses each.
    windows: u64,
    mappings: usize,
}

fn held(pid: u32) -> Result<Held> {
    let proc = PathBuf::from(format!("/proc/{pid}"));
    let count = |name: &str| Ok::<_, std::io::Error>(fs::read_dir(proc.join(name))?.count());
    let status = fs::read_to_string(proc.join("status"))?;
    let size_kib: u64 = status
        .lines()
        .find_map(|l| {
            l.strip_prefix("VmSize:")?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .context("no VmSize")?;
    let mappings = fs::read_to_string(proc.join("maps"))?.lines().count();
    Ok(Held {
        threads: count("task")?,
        fds: count("fd")?,
        windows: size_kib >> 28,
        mappings,
    })
}

fn many_commands(report: &mut Report, stage: &Stage, shell: &str, script: &Path) -> Result<()> {
    let job = stage.prepare("riscv64", shell, script, &["--stats"])?;
    let stats = stage.path("stats");
    let mut command = Command::new(&job.argv[0]);
    command
        .args(&job.argv[1..])
        .env_clear()
        .envs(job.env.iter().cloned());
    if let Some(dir) = &job.cwd {
        command.current_dir(dir);
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(fs::File::create(&stats)?)
        .spawn()?;
    let mut stdin = child.stdin.take().context("stdin")?;
    let stdout = child.stdout.take().context("stdout")?;
    let (send, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                break;
            }
        }
    });
    let mut talk = || -> Result<(Held, Held, String)> {
        let wait = |text: &str| -> Result<String> {
            let line = lines
                .recv_timeout(Duration::from_secs(150))
                .context("the script said nothing for 150 s")?;
            ensure!(line.starts_with(text), "expected {text:?}, got {line:?}");
            Ok(line)
        };
        let mut samples = Vec::new();
        for _ in 0..2 {
            wait("ready")?;
            // What ended a moment ago is being put away.
            std::thread::sleep(Duration::from_millis(300));
            samples.push(held(child.id())?);
            stdin.write_all(b"go\n")?;
        }
        Ok((samples[0], samples[1], wait("done")?))
    };
    let talked = talk();
    if talked.is_err() {
        drop(child.kill());
    }
    drop(stdin);
    let status = child.wait()?;
    let which = if shell == "sh" { "busybox sh" } else { shell };
    match talked {
        Ok((before, after, line)) => {
            report.check(
                format!("{which}: 2,000 external commands"),
                line == "done 2000 bad 0" && status.success(),
                format!("{line}, {status}"),
            );
            report.check(
                format!("{which}: threads, fds and windows as at the start"),
                after.threads <= before.threads
                    && after.fds == before.fds
                    && after.windows <= before.windows,
                format!("{before:?} -> {after:?}"),
            );
        }
        Err(error) => report.check(
            format!("{which}: 2,000 external commands"),
            false,
            format!("{error:#}"),
        ),
    }
    report.note(fs::read_to_string(&stats).unwrap_or_default());
    Ok(())
}
