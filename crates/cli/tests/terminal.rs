//! `rivix run` on a terminal: what the guest wrote is there when it ends.

#[path = "../../rivix/tests/common/mod.rs"]
mod common;

use common::Guest;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command};
use std::ptr::{null, null_mut};
use std::time::{Duration, Instant};

/// A pseudo-terminal: master and slave.
fn pty() -> (File, OwnedFd) {
    let (mut master, mut slave) = (-1, -1);
    // SAFETY: both places are live, and the descriptors are ours.
    unsafe {
        let done = libc::openpty(&mut master, &mut slave, null_mut(), null(), null());
        assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
        (FromRawFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave))
    }
}

/// Runs the guest with all three streams on the terminal.
fn start(directory: &tempfile::TempDir, image: &[u8], slave: &OwnedFd) -> Child {
    let path = directory.path().join("guest");
    std::fs::write(&path, image).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let stream = || slave.try_clone().unwrap();
    Command::new(env!("CARGO_BIN_EXE_rivix"))
        .env_remove("RIVIX_LOG")
        .args(["run", "--quiet", "--deadline", "1s"])
        .arg(path)
        .stdin(stream())
        .stdout(stream())
        .stderr(stream())
        .spawn()
        .unwrap()
}

/// Its status, after at most `limit`.
fn end(mut child: Child, limit: Duration) -> std::process::ExitStatus {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("still running after {limit:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn everything_is_printed_before_the_end() {
    let directory = tempfile::tempdir().unwrap();
    const LINES: usize = 2000;
    let mut guest = Guest::new("some standard output\nand an error\n");
    for _ in 0..LINES {
        let at = Guest::data();
        guest = guest.write(1, at, 21).write(2, at + 21, 13);
    }
    let (mut master, slave) = pty();
    let child = start(&directory, &guest.exit(7).elf(), &slave);
    drop(slave);
    let mut seen = Vec::new();
    // A terminal that everybody has closed ends with EIO.
    let ended = master.read_to_end(&mut seen).unwrap_err();
    assert_eq!(ended.raw_os_error(), Some(libc::EIO));
    let expected = "some standard output\r\nand an error\r\n".repeat(LINES);
    assert!(
        seen == expected.as_bytes(),
        "{} bytes of {}",
        seen.len(),
        expected.len()
    );
    assert_eq!(end(child, Duration::from_secs(20)).code(), Some(7));
}

#[test]
fn a_stopped_terminal_does_not_hold_up_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let text = "x".repeat(1000);
    let mut guest = Guest::new(&text);
    for _ in 0..100 {
        guest = guest.write(1, Guest::data(), text.len());
    }
    let (_master, slave) = pty();
    // SAFETY: takes no pointers.
    let stopped = unsafe { libc::tcflow(slave.as_raw_fd(), libc::TCOOFF) };
    assert_eq!(stopped, 0);
    // The deadline ends the guest, which waits for room. (Quiet: a message of rivix itself
    // would wait for the terminal.)
    let child = start(&directory, &guest.exit(0).elf(), &slave);
    assert_eq!(end(child, Duration::from_secs(30)).code(), Some(124));
}

#[test]
fn output_before_an_endless_computation_is_seen() {
    let directory = tempfile::tempdir().unwrap();
    let guest = Guest::new("hello\n").write(1, Guest::data(), 6).spin();
    let (mut master, slave) = pty();
    let child = start(&directory, &guest.elf(), &slave);
    let mut seen = [0; 7];
    master.read_exact(&mut seen).unwrap();
    assert_eq!(&seen, b"hello\r\n");
    assert_eq!(end(child, Duration::from_secs(30)).code(), Some(124));
}
