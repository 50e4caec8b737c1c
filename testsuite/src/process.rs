//! Runs a program to its end or to its time limit, whichever is first, and
//! leaves no process of its session behind.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// What to run and how.
#[derive(Clone, Debug)]
pub struct Job {
    /// Program and arguments.
    pub argv: Vec<OsString>,
    /// Extra environment; with `clear_env` the whole of it.
    pub env: Vec<(OsString, OsString)>,
    pub clear_env: bool,
    pub cwd: Option<PathBuf>,
    pub stdin: Vec<u8>,
    /// Standard input is a pipe that stays open and silent instead.
    pub silent_stdin: bool,
    pub limit: Duration,
    /// Run on this CPU only.
    pub cpu: Option<usize>,
    /// As this user, with the group of the same number and no other; takes root.
    pub uid: Option<u32>,
}

impl Job {
    pub fn new<S: Into<OsString>>(argv: impl IntoIterator<Item = S>) -> Job {
        Job {
            argv: argv.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            clear_env: false,
            cwd: None,
            stdin: Vec::new(),
            silent_stdin: false,
            limit: Duration::from_secs(60),
            cpu: None,
            uid: None,
        }
    }

    pub fn limit(mut self, seconds: u64) -> Job {
        self.limit = Duration::from_secs(seconds);
        self
    }

    pub fn cwd(mut self, dir: impl Into<PathBuf>) -> Job {
        self.cwd = Some(dir.into());
        self
    }

    pub fn cpu(mut self, cpu: usize) -> Job {
        self.cpu = Some(cpu);
        self
    }

    pub fn uid(mut self, uid: Option<u32>) -> Job {
        self.uid = uid;
        self
    }

    pub fn silent_stdin(mut self) -> Job {
        self.silent_stdin = true;
        self
    }

    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Job {
        self.stdin = bytes.into();
        self
    }

    pub fn env(mut self, key: impl Into<OsString>, value: impl Into<OsString>) -> Job {
        self.env.push((key.into(), value.into()));
        self
    }

    /// The command line as a person would type it.
    pub fn line(&self) -> String {
        let words: Vec<_> = self.argv.iter().map(|w| w.to_string_lossy()).collect();
        words.join(" ")
    }
}

/// What a job did.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub timed_out: bool,
    pub wall: Duration,
    /// User and system time of the program and the children it waited for.
    pub cpu: Duration,
    pub max_rss_kib: u64,
}

impl Outcome {
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    pub fn success(&self) -> bool {
        !self.timed_out && self.status.success()
    }

    /// "exit 3", "signal 11" or "time-out".
    pub fn ending(&self) -> String {
        if self.timed_out {
            return "time-out".into();
        }
        match (self.status.code(), self.status.signal()) {
            (Some(code), _) => format!("exit {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "no status".into(),
        }
    }
}

/// May this process become another user?
pub fn is_root() -> bool {
    // SAFETY: no preconditions.
    unsafe { libc::geteuid() == 0 }
}

/// Runs the job. Output goes to unnamed files rather than pipes, so that a
/// background process which keeps them open cannot make us wait.
pub fn run(job: &Job) -> Result<Outcome> {
    let mut stdout = tempfile::tempfile()?;
    let mut stderr = tempfile::tempfile()?;
    let mut stdin = tempfile::tempfile()?;
    stdin.write_all(&job.stdin)?;
    stdin.seek(SeekFrom::Start(0))?;
    let program = job.argv.first().context("a job without a program")?;
    let mut command = Command::new(program);
    command.args(&job.argv[1..]);
    if job.clear_env {
        command.env_clear();
    }
    command.envs(job.env.iter().cloned());
    if let Some(dir) = &job.cwd {
        command.current_dir(dir);
    }
    let mut silent = None;
    if job.silent_stdin {
        let (read, write) = std::io::pipe()?;
        command.stdin(Stdio::from(read));
        silent = Some(write);
    } else {
        command.stdin(Stdio::from(stdin));
    }
    command.stdout(Stdio::from(stdout.try_clone()?));
    command.stderr(Stdio::from(stderr.try_clone()?));
    let (cpu, uid) = (job.cpu, job.uid);
    // SAFETY: P1, and only async-signal-safe calls between fork and exec.
    unsafe {
        command.pre_exec(move || {
            // Programs start with the dispositions a login shell gives them,
            // whatever nohup or a shell's `&` did to ours.
            for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM] {
                libc::signal(signal, libc::SIG_DFL);
            }
            libc::setsid();
            if let Some(cpu) = cpu {
                let mut set: libc::cpu_set_t = std::mem::zeroed();
                libc::CPU_SET(cpu % libc::CPU_SETSIZE as usize, &mut set);
                libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set);
            }
            if let Some(uid) = uid {
                // The user last: the rest takes its rights.
                let done = libc::setgroups(0, std::ptr::null()) == 0
                    && libc::setresgid(uid, uid, uid) == 0
                    && libc::setresuid(uid, uid, uid) == 0;
                if !done {
                    return Err(std::io::Error::last_os_error());
                }
            }
            Ok(())
        });
    }
    let start = Instant::now();
    let child = command
        .spawn()
        .with_context(|| format!("cannot start {}", job.line()))?;
    let pid = child.id() as libc::pid_t;
    let deadline = start + job.limit;
    let mut timed_out = false;
    let mut pause = Duration::from_micros(50);
    let (status, usage) = loop {
        if let Some(done) = wait4(pid, libc::WNOHANG)? {
            break done;
        }
        if Instant::now() >= deadline {
            timed_out = true;
            kill_session(pid);
            if let Some(done) = wait4(pid, 0)? {
                break done;
            }
        }
        std::thread::sleep(pause);
        pause = (pause * 5 / 4).min(Duration::from_millis(4));
    };
    let wall = start.elapsed();
    drop(silent);
    kill_session(pid);
    Ok(Outcome {
        status: ExitStatus::from_raw(status),
        stdout: contents(&mut stdout)?,
        stderr: contents(&mut stderr)?,
        timed_out,
        wall,
        cpu: time(usage.ru_utime) + time(usage.ru_stime),
        max_rss_kib: usage.ru_maxrss.try_into().unwrap_or(0),
    })
}

fn contents(file: &mut File) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn time(t: libc::timeval) -> Duration {
    Duration::new(
        t.tv_sec.try_into().unwrap_or(0),
        u32::try_from(t.tv_usec).unwrap_or(0) * 1000,
    )
}

fn wait4(pid: libc::pid_t, flags: i32) -> Result<Option<(i32, libc::rusage)>> {
    let mut status = 0;
    // SAFETY: plain data, for which all zeroes is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: P1.
        let got = unsafe { libc::wait4(pid, &mut status, flags, &mut usage) };
        match got {
            0 => return Ok(None),
            n if n == pid => return Ok(Some((status, usage))),
            _ => {
                let error = std::io::Error::last_os_error();
                if error.raw_os_error() != Some(libc::EINTR) {
                    return Err(error).context("wait4");
                }
            }
        }
    }
}

/// Kills every process of the session `sid` leads: tests put their children in
/// process groups of their own, so killing one group would not do.
fn kill_session(sid: libc::pid_t) {
    // Twice, for what was being forked while we looked.
    for _ in 0..2 {
        let mut found = false;
        for pid in session_members(sid) {
            found = true;
            // SAFETY: no pointers.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
        if !found {
            return;
        }
    }
}

fn session_members(sid: libc::pid_t) -> Vec<libc::pid_t> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let mut members = Vec::new();
    for entry in entries.flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|n| n.parse::<libc::pid_t>().ok())
        else {
            continue;
        };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        // proc_pid_stat(5): after the name in parentheses come state, ppid,
        // pgrp and session.
        let Some((_, rest)) = stat.rsplit_once(')') else {
            continue;
        };
        let fields: Vec<_> = rest.split_whitespace().collect();
        let is_zombie = fields.first() == Some(&"Z");
        if !is_zombie && fields.get(3).and_then(|f| f.parse().ok()) == Some(sid) {
            members.push(pid);
        }
    }
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_and_outputs() {
        #[track_caller]
        fn check(script: &str, ending: &str, out: &str) {
            let job = Job {
                limit: Duration::from_millis(800),
                ..Job::new(["sh", "-c", script])
            };
            let outcome = run(&job).expect("sh runs");
            assert_eq!(
                (outcome.ending().as_str(), outcome.out().as_str()),
                (ending, out),
                "{script}"
            );
        }
        check("echo a; exit 3", "exit 3", "a\n");
        check("kill -TERM $$", "signal 15", "");
        check("echo b; sleep 30", "time-out", "b\n");
        // A background process that holds stdout does not keep us waiting.
        check("sleep 30 & echo c", "exit 0", "c\n");
    }

    #[test]
    fn leaves_nothing_in_the_session() {
        let outcome = run(&Job::new(["sh", "-c", "sleep 47 & echo $$"])).expect("sh runs");
        let sid = outcome.out().trim().parse().expect("a pid");
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(session_members(sid), Vec::<libc::pid_t>::new());
    }
}
