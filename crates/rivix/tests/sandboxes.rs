//! Several sandboxes in one process, their deadlines, budgets, and ends.

mod common;

use common::{Guest, printer, reader, spinner};
use rivix::{ExitReason, Sandbox, Stdio};
use std::io::{Read, Write};
use std::time::{Duration, Instant};

/// Far more than anything here takes, on the slowest machine.
const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_guest_prints_and_exits() {
    let sandbox = Sandbox::builder().build().unwrap();
    let output = sandbox
        .command_from_image("p", printer("hello\n", 42))
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"hello\n");
    assert_eq!(output.stderr, b"");
    assert_eq!(
        (output.status.code(), output.status.signal()),
        (Some(42), None)
    );
    assert_eq!(*output.status.reason(), ExitReason::Guest);
}

#[test]
fn a_guest_dies_by_its_own_fault_or_signal() {
    let sandbox = Sandbox::builder().build().unwrap();
    let check = |image: Vec<u8>, signal: i32| {
        let status = sandbox.command_from_image("f", image).status().unwrap();
        assert_eq!((status.code(), status.signal()), (None, Some(signal)));
        assert_eq!(*status.reason(), ExitReason::Guest);
    };
    check(common::faulter(), libc::SIGSEGV);
    check(
        Guest::new("").raise(libc::SIGTERM).spin().elf(),
        libc::SIGTERM,
    );
    check(
        Guest::new("").raise(libc::SIGKILL).spin().elf(),
        libc::SIGKILL,
    );
    // The same sandbox goes on.
    let output = sandbox
        .command_from_image("p", printer("still here", 0))
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"still here");
}

#[test]
fn two_at_once_and_deadlines_end_a_spinning_and_a_blocked_guest() {
    let limited = || {
        Sandbox::builder()
            .deadline(Duration::from_millis(300))
            .build()
            .unwrap()
    };
    let (spinning, blocked) = (limited(), limited());
    let free = Sandbox::builder().build().unwrap();

    let began = Instant::now();
    let mut spin = spinning
        .command_from_image("spin", spinner())
        .spawn()
        .unwrap();
    let mut block = blocked
        .command_from_image("read", reader())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    // Waiting closes piped input, which would end the read: keep it.
    let input = block.stdin.take();

    for turn in 0..20 {
        let text = format!("turn {turn} of the undisturbed guest\n");
        let output = free
            .command_from_image("p", printer(&text, turn))
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), text);
        assert_eq!(output.status.code(), Some(turn));
    }
    for child in [&mut spin, &mut block] {
        let status = child.wait_timeout(LONG).expect("the deadline ends it");
        assert_eq!(status.signal(), Some(libc::SIGKILL));
        assert_eq!(*status.reason(), ExitReason::Deadline);
    }
    assert!(began.elapsed() >= Duration::from_millis(300));
    drop(input);
    let error = spinning
        .command_from_image("p", printer("", 0))
        .spawn()
        .err()
        .unwrap();
    assert!(
        error.to_string().contains("its sandbox has ended"),
        "{error}"
    );
    assert!(
        free.command_from_image("p", printer("x", 0))
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn an_instruction_budget_ends_a_spinning_guest() {
    let sandbox = Sandbox::builder()
        .instruction_budget(5_000_000)
        .build()
        .unwrap();
    let mut child = sandbox
        .command_from_image("spin", spinner())
        .spawn()
        .unwrap();
    let status = child.wait_timeout(LONG).expect("the budget ends it");
    assert_eq!(*status.reason(), ExitReason::InstructionBudget);
    assert!(sandbox.stats().instructions > 0);
}

#[test]
fn kill_signals_and_pipes_reach_a_child() {
    let sandbox = Sandbox::builder().build().unwrap();
    let mut spin = sandbox
        .command_from_image("spin", spinner())
        .spawn()
        .unwrap();
    assert_eq!(spin.try_wait(), None);
    spin.kill().unwrap();
    let status = spin.wait_timeout(LONG).expect("it was killed");
    assert_eq!(*status.reason(), ExitReason::Killed);
    assert!(spin.kill().is_err());
    assert!(spin.signal(99).is_err());

    let mut term = sandbox
        .command_from_image("spin", spinner())
        .spawn()
        .unwrap();
    term.signal(libc::SIGTERM).unwrap();
    let status = term.wait_timeout(LONG).expect("it was terminated");
    assert_eq!(status.signal(), Some(libc::SIGTERM));

    let mut read = sandbox
        .command_from_image("read", reader())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    read.stdin.as_mut().unwrap().write_all(b"x").unwrap();
    assert_eq!(read.wait_timeout(LONG).and_then(|s| s.code()), Some(5));
    // The end of its input ends a read, too.
    let mut read = sandbox
        .command_from_image("read", reader())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(read.wait().code(), Some(5));
}

#[test]
fn streams_may_be_host_files_or_nothing() {
    let sandbox = Sandbox::builder().build().unwrap();
    let mut file = tempfile::tempfile().unwrap();
    let copy = file.try_clone().unwrap();
    let status = sandbox
        .command_from_image("p", printer("to a file", 0))
        .stdout(copy)
        .status();
    assert!(status.unwrap().success());
    let mut text = String::new();
    std::io::Seek::rewind(&mut file).unwrap();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "to a file");
    let nothing = sandbox
        .command_from_image("p", printer("lost", 3))
        .stdout(Stdio::null());
    assert_eq!(nothing.status().unwrap().code(), Some(3));
}

#[test]
fn dropping_a_sandbox_ends_its_guests() {
    let sandbox = Sandbox::builder().build().unwrap();
    let mut spin = sandbox
        .command_from_image("spin", spinner())
        .spawn()
        .unwrap();
    let mut block = sandbox
        .command_from_image("read", reader())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let input = block.stdin.take();
    drop(sandbox);
    for child in [&mut spin, &mut block] {
        let status = child.try_wait().expect("gone with its sandbox");
        assert_eq!(status.signal(), Some(libc::SIGKILL));
        assert_eq!(*status.reason(), ExitReason::SandboxDropped);
    }
    drop(input);
}

#[test]
fn a_trace_is_written_to_its_sink() {
    #[derive(Clone, Default)]
    struct Shared(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);
    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let sink = Shared::default();
    let sandbox = Sandbox::builder().strace(sink.clone()).build().unwrap();
    sandbox
        .command_from_image("p", printer("hi\n", 7))
        .output()
        .unwrap();
    drop(sandbox);
    let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines,
        [
            r#"write(1, "hi\n", 3)                     = 3"#,
            "exit_group(7)                           = ?",
            "+++ exited with 7 +++",
        ]
    );
}
