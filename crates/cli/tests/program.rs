//! The program from outside: messages, statuses, streams, signals.

#[path = "../../rivix/tests/common/mod.rs"]
mod common;

use common::{Guest, printer, reader, spinner};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// Seconds of CPU time after which the host ends a program under test.
const CPU_LIMIT_S: u64 = 60;

fn rivix() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rivix"));
    command.env_remove("RIVIX_LOG").stdin(Stdio::null());
    // SAFETY: between fork and exec only async-signal-safe calls are made.
    unsafe {
        command.pre_exec(|| {
            // Whoever runs the tests may ignore signals (nohup, a shell's `&`),
            // and guests inherit that.
            for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM] {
                libc::signal(signal, libc::SIG_DFL);
            }
            let limit = libc::rlimit {
                rlim_cur: CPU_LIMIT_S,
                rlim_max: CPU_LIMIT_S,
            };
            libc::setrlimit(libc::RLIMIT_CPU, &limit);
            Ok(())
        });
    }
    command
}

fn run(args: &[&str]) -> Output {
    rivix().args(args).output().unwrap()
}

/// A folder of guests.
struct Guests(tempfile::TempDir);

impl Guests {
    fn new() -> Guests {
        Guests(tempfile::tempdir().unwrap())
    }

    fn add(&self, name: &str, image: &[u8]) -> String {
        let path = self.path(name);
        std::fs::write(&path, image).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path.display().to_string()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// The first line on stderr, which is to begin with `rivix: `, name a remedy
/// after `; `, and hold `contains`.
fn check_failure(args: &[&str], code: i32, contains: &str) {
    let output = run(args);
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().next().unwrap_or_default();
    assert!(line.starts_with("rivix: "), "{args:?}: {text}");
    assert!(line.contains(contains), "{args:?}: {text}");
    assert!(
        line.contains("; ") || line.contains("argument"),
        "{args:?}: no remedy: {text}"
    );
    assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
    assert!(!text.contains("panicked"), "{text}");
}

#[test]
fn bad_input_is_named_with_a_remedy_and_a_status() {
    let guests = Guests::new();
    let good = guests.add("good", &printer("ok", 0));
    let empty = guests.add("empty", b"");
    let folder = guests.0.path().display().to_string();
    let check = check_failure;
    check(&["run", "/no/such"], 127, "/no/such: not found");
    check(
        &["run", "no-such-program"],
        127,
        "no-such-program: not found in the guest's PATH",
    );
    check(&["run", &folder], 126, "is a directory");
    check(&["run", &empty], 126, "empty");
    // The guest's /proc, in which there is no process yet.
    check(&["run", "/proc/self/mem"], 127, "/proc/self/mem: not found");
    check(&["run", "--root", &good, "x"], 125, "not a directory");
    check(&["run", "--root", "/no/such", "x"], 125, "/no/such");
    check(&["run", "--env", "NOEQUALS", &good], 125, "has no =");
    check(&["run", "--env", "=x", &good], 125, "has no name");
    check(
        &["run", "--strace=/no/such/file", &good],
        125,
        "/no/such/file",
    );
    check(
        &["run", "--engine", "warp", &good],
        125,
        "the engines are: interp",
    );
    check(&["run", "--cwd", "/no/such", &good], 125, "/no/such");
    check(&["run", "--deadline", "10", &good], 125, "has no unit");
    check(&["run", "--deadline", "10x", &good], 125, "is not a unit");
    check(&["run"], 125, "argument");
    check(&["frobnicate"], 125, "frobnicate");
    check(&["info", "/no/such"], 127, "/no/such: not found");
    check(&["info", &folder], 126, "is a directory");
    let output = rivix()
        .args(["run", &good])
        .env("RIVIX_LOG", "a=b=c")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("rivix: RIVIX_LOG: "));
}

#[test]
fn output_and_status_pass_through() {
    let guests = Guests::new();
    let good = guests.add("good", &printer("exact\n", 17));
    let output = run(&["run", "--", &good, "--strace"]);
    assert_eq!(
        (output.stdout.as_slice(), output.stderr.as_slice()),
        (&b"exact\n"[..], &b""[..])
    );
    assert_eq!(output.status.code(), Some(17));

    // By the guest's PATH, inside the root.
    let folder = guests.0.path().display().to_string();
    let output = run(&[
        "run",
        "--root",
        &folder,
        "--clear-env",
        "--env",
        "PATH=/:/bin",
        "good",
    ]);
    assert_eq!(output.stdout, b"exact\n");

    let reads = guests.add("reads", &reader());
    let mut child = rivix()
        .args(["run", &reads])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"x").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(5));
}

#[test]
fn a_fatal_signal_ends_rivix_by_the_same() {
    let guests = Guests::new();
    let check = |image: Vec<u8>, signal: i32| {
        let path = guests.add("dies", &image);
        let output = run(&["run", &path]);
        assert_eq!(output.status.signal(), Some(signal), "{:?}", output);
        assert!(!output.status.core_dumped());
    };
    check(common::faulter(), libc::SIGSEGV);
    for signal in [
        libc::SIGTERM,
        libc::SIGKILL,
        libc::SIGABRT,
        libc::SIGPIPE,
        libc::SIGINT,
    ] {
        check(Guest::new("").raise(signal).spin().elf(), signal);
    }
}

#[test]
fn signals_reach_the_guest() {
    let guests = Guests::new();
    let path = guests.add(
        "spin",
        &Guest::new("up").write(1, Guest::data(), 2).spin().elf(),
    );
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGUSR1] {
        let mut child = rivix()
            .args(["run", &path])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut up = [0; 2];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut up).unwrap();
        // SAFETY: signals a child of our own that has not been waited for.
        unsafe { libc::kill(child.id() as i32, signal) };
        assert_eq!(child.wait().unwrap().signal(), Some(signal));
    }
}

#[test]
fn a_deadline_ends_the_guest() {
    let guests = Guests::new();
    let path = guests.add("spin", &spinner());
    let began = std::time::Instant::now();
    let output = run(&["run", "--deadline", "200ms", &path]);
    assert_eq!(output.status.code(), Some(124));
    assert!(began.elapsed() >= Duration::from_millis(200));
    assert!(String::from_utf8_lossy(&output.stderr).contains("deadline"));
    let output = run(&["run", "--quiet", "--deadline", "100ms", &path]);
    assert_eq!(
        (output.status.code(), output.stderr.as_slice()),
        (Some(124), &b""[..])
    );
}

#[test]
fn traces_and_counters_go_where_they_should() {
    let guests = Guests::new();
    let good = guests.add("good", &printer("x\n", 3));
    let trace = guests.path("trace");
    let option = format!("--strace={}", trace.display());
    let output = run(&["run", &option, "--stats", &good]);
    assert_eq!(
        (output.stdout.as_slice(), output.status.code()),
        (&b"x\n"[..], Some(3))
    );
    let text = std::fs::read_to_string(trace).unwrap();
    assert!(text.starts_with("write(1, \"x\\n\", 2)"), "{text}");
    assert!(text.ends_with("+++ exited with 3 +++\n"), "{text}");
    let stats = String::from_utf8_lossy(&output.stderr).into_owned();
    for word in [
        "wall",
        "system calls",
        "threads",
        "windows",
        "host descriptors",
    ] {
        assert!(stats.contains(word), "{word}: {stats}");
    }
    let output = run(&["run", "--strace", &good]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("exit_group(3)"), "{text}");
}

#[test]
fn traces_show_signals() {
    #[track_caller]
    fn check(image: &[u8], signal: i32, line: &str) {
        let guests = Guests::new();
        let (guest, trace) = (guests.add("guest", image), guests.path("trace"));
        let option = format!("--strace={}", trace.display());
        let output = run(&["run", "--quiet", &option, &guest]);
        assert_eq!(output.status.signal(), Some(signal));
        let text = std::fs::read_to_string(trace).unwrap();
        assert_eq!(text.matches("--- ").count(), 1, "{text}");
        assert!(text.contains(line), "{text}");
    }
    let raised = |signal| Guest::new("").raise(signal).exit(0).elf();
    check(
        &raised(libc::SIGTERM),
        libc::SIGTERM,
        "\n--- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=",
    );
    check(
        &raised(libc::SIGQUIT),
        libc::SIGQUIT,
        "\n--- SIGQUIT {si_signo=SIGQUIT, si_code=SI_USER, si_pid=",
    );
    check(
        &common::faulter(),
        libc::SIGSEGV,
        "--- SIGSEGV {si_signo=SIGSEGV, si_code=SEGV_MAPERR, si_addr=",
    );
}

#[test]
fn the_other_commands_answer() {
    let output = rivix().output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    assert!(
        text.contains("riscv64") && text.contains("rivix run"),
        "{text}"
    );

    let output = run(&["--version"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.starts_with(concat!("rivix ", env!("CARGO_PKG_VERSION"))),
        "{text}"
    );
    assert!(text.contains("rv64"), "{text}");

    let guests = Guests::new();
    let good = guests.add("good", &printer("x", 0));
    let output = run(&["info", &good]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && text.contains("would run it"),
        "{text}"
    );

    let output = run(&["doctor"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for check in [
        "kernel",
        "RLIMIT_AS",
        "RLIMIT_NOFILE",
        "vm.max_map_count",
        "userfaultfd",
    ] {
        assert!(text.contains(check), "{check}: {text}");
    }
    for args in [&["--help"][..], &["run", "--help"]] {
        let output = run(args);
        assert!(output.status.success());
        assert!(String::from_utf8_lossy(&output.stdout).contains("xamples:"));
    }
}
