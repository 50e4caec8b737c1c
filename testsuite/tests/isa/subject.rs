//! Who runs an image: qemu-riscv64, the reference; and rivix, as the program and
//! as its interpreter alone.

use crate::asm::Image;
use crate::engine;
use std::ffi::OsString;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A guest that runs longer hangs.
const LIMIT: Duration = Duration::from_secs(30);

/// What a run gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) stdout: Vec<u8>,
    pub(crate) end: End,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Exit(i32),
    Signal(i32),
    TimedOut,
}

/// What can run an image.
#[derive(Clone, Debug)]
pub(crate) enum Subject {
    Program(Vec<OsString>),
    Interpreter { counting: bool },
}

/// The reference and, when it is built, the subject under test. Without qemu
/// there is nothing to compare with: says so and answers `None`.
pub(crate) fn reference() -> Option<Subject> {
    let command = std::env::var_os("QEMU_RISCV64").unwrap_or_else(|| "qemu-riscv64".into());
    match Command::new(&command)
        .arg("--version")
        .stdout(Stdio::null())
        .status()
    {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("skipped: qemu-riscv64 is not installed (Debian: qemu-user)");
            None
        }
        status => {
            assert!(status.expect("running qemu-riscv64").success());
            Some(Subject::Program(vec![command]))
        }
    }
}

/// `$RIVIX`, or the program in this build's target folder, the release one if
/// there is one.
pub(crate) fn rivix() -> Option<Subject> {
    let path = std::env::var_os("RIVIX")
        .map(PathBuf::from)
        .unwrap_or_else(|| {
            // target/<profile>/deps/isa-<hash>.
            let test = std::env::current_exe().expect("the test's own path");
            let target = test.ancestors().nth(3).expect("a target folder");
            let [release, debug] = ["release", "debug"].map(|p| target.join(p).join("rivix"));
            if !release.is_file() && debug.is_file() {
                debug
            } else {
                release
            }
        });
    if !path.is_file() {
        eprintln!("skipped: no {} (build it, or set RIVIX)", path.display());
        return None;
    }
    let command = vec![path.into(), "run".into(), "--quiet".into(), "--".into()];
    Some(Subject::Program(command))
}

/// The reference and all of rivix there is, or a printed reason.
pub(crate) fn all() -> Option<(Subject, Vec<Subject>)> {
    let reference = reference()?;
    let mut subjects = vec![
        Subject::Interpreter { counting: false },
        Subject::Interpreter { counting: true },
    ];
    subjects.extend(rivix());
    Some((reference, subjects))
}

impl Subject {
    pub(crate) fn name(&self) -> String {
        match self {
            Subject::Program(command) => command[0].display().to_string(),
            Subject::Interpreter { counting } => {
                let driver = rivix_interp::driver();
                format!(
                    "interpreter, {driver}{}",
                    if *counting { ", counting" } else { "" }
                )
            }
        }
    }

    pub(crate) fn run(&self, image: &Image) -> Outcome {
        match self {
            Subject::Program(command) => run_program(command, image),
            Subject::Interpreter { counting } => engine::run(image, *counting),
        }
    }
}

fn run_program(command: &[OsString], image: &Image) -> Outcome {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("image");
    std::fs::write(&path, image.elf()).expect("writing an image");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("chmod");
    let mut child = Command::new(&command[0])
        .args(&command[1..])
        .arg(&path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut pipe = child.stdout.take().expect("a piped stdout");
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // A read error shows as missing output.
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    });
    let deadline = Instant::now() + LIMIT;
    let mut pause = Duration::from_micros(500);
    let status = loop {
        if let Some(status) = child.try_wait().expect("waiting for a child") {
            break Some(status);
        }
        if Instant::now() > deadline {
            child.kill().expect("ending a child");
            child.wait().expect("waiting for a child");
            break None;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    };
    let stdout = reader.join().expect("the reader");
    let end = match status {
        None => End::TimedOut,
        Some(status) => match status.signal() {
            Some(signal) => End::Signal(signal),
            None => End::Exit(status.code().unwrap_or(-1)),
        },
    };
    Outcome { stdout, end }
}

/// Runs `work` for each item on two threads, in no order; the results are in
/// the items' order.
pub(crate) fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let results: Vec<_> = items.iter().map(|_| std::sync::Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some(item) = items.get(index) else { break };
                    let result = work(item);
                    *results[index].lock().expect("no poison") = Some(result);
                }
            });
        }
    });
    let take = |slot: std::sync::Mutex<Option<R>>| slot.into_inner().expect("no poison");
    results
        .into_iter()
        .map(|slot| take(slot).expect("every item ran"))
        .collect()
}
