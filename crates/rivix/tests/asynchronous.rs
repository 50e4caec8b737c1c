//! The library's async forms under several executors.

mod common;

use common::{Guest, nr, printer, reader, spinner};
use futures::executor::block_on;
use futures::future::join_all;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use rivix::{Child, ExitReason, Output, Sandbox, Stdio};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(60);

/// Any executor of today may take the futures to another thread.
fn sendable<F: Future + Send>(future: F) -> F {
    future
}

/// Runs a future on tokio's current-thread runtime.
fn on_tokio<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(future)
}

/// Writes what it reads, until the end of its input; exits with 0. The stack
/// holds the bytes.
fn cat() -> Vec<u8> {
    use rivix_isa::{Op, Operands};
    const SP: u8 = 2;
    const A0: u8 = 10;
    let stack = |rd| Operands {
        rd,
        rs1: SP,
        imm: -2048,
        ..Default::default()
    };
    Guest::new("")
        // again: a0 = read(0, sp - 2048, 2048)
        .op(Op::Addi, stack(A0 + 1))
        .li(A0, 0)
        .op(
            Op::Addi,
            Operands {
                rd: A0 + 2,
                imm: 2047,
                ..Default::default()
            },
        )
        .li(17, nr::READ)
        .op(Op::Ecall, Operands::default())
        // if a0 == 0 goto end
        .op(
            Op::Beq,
            Operands {
                rs1: A0,
                imm: 28,
                ..Default::default()
            },
        )
        // write(1, sp - 2048, a0); goto again
        .op(
            Op::Addi,
            Operands {
                rd: A0 + 2,
                rs1: A0,
                ..Default::default()
            },
        )
        .op(Op::Addi, stack(A0 + 1))
        .li(A0, 1)
        .li(17, nr::WRITE)
        .op(Op::Ecall, Operands::default())
        .op(
            Op::Jal,
            Operands {
                imm: -44,
                ..Default::default()
            },
        )
        .exit(0)
        .elf()
}

async fn many_at_once(sandbox: &Sandbox) {
    let image = printer("hello\n", 42);
    let outputs = (0..50).map(|_| {
        sandbox
            .command_from_image("p", image.clone())
            .output_async()
    });
    for output in join_all(outputs).await {
        let Output { status, stdout, .. } = output.unwrap();
        assert_eq!(
            (status.code(), stdout.as_slice()),
            (Some(42), &b"hello\n"[..])
        );
    }
}

#[test]
fn fifty_guests_end_on_one_thread_under_any_executor() {
    let sandbox = Sandbox::builder().build().unwrap();
    block_on(sendable(many_at_once(&sandbox)));
    on_tokio(many_at_once(&sandbox));
}

/// More than a pipe holds, through a guest and back.
async fn echo(mut child: Child) {
    const SIZE: usize = 1 << 20;
    let sent: Vec<u8> = (0..SIZE).map(|n| (n % 251) as u8).collect();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let send = async {
        stdin.write_all(&sent).await.unwrap();
        stdin.close().await.unwrap();
        let late = stdin.write(b"x").await.unwrap_err();
        assert_eq!(late.kind(), std::io::ErrorKind::BrokenPipe);
    };
    let mut got = Vec::new();
    let receive = async { stdout.read_to_end(&mut got).await.unwrap() };
    let (_, received, status) = futures::join!(send, receive, child.join_async());
    assert_eq!(received, SIZE);
    assert!(got == sent, "the bytes came back changed");
    assert!(status.success(), "{status}");
}

#[test]
fn bytes_go_through_a_guest_and_back_in_both_directions_at_once() {
    let sandbox = Sandbox::builder().build().unwrap();
    let start = || {
        let command = sandbox.command_from_image("cat", cat());
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.spawn().unwrap()
    };
    block_on(sendable(echo(start())));
    on_tokio(echo(start()));
}

#[test]
fn waiting_closes_the_input_and_joining_does_not() {
    let sandbox = Sandbox::builder().build().unwrap();
    let start = || {
        let command = sandbox.command_from_image("r", reader());
        command.stdin(Stdio::piped()).spawn().unwrap()
    };
    let mut child = start();
    assert_eq!(block_on(child.wait_async()).code(), Some(5));
    let child = start();
    let soon = Duration::from_millis(50);
    let began = Instant::now();
    assert!(block_on(sendable(child.wait_timeout_async(soon))).is_none());
    assert!(began.elapsed() >= soon && began.elapsed() < LONG);
    child.kill().unwrap();
    let status = on_tokio(child.wait_timeout_async(LONG)).unwrap();
    assert_eq!(*status.reason(), ExitReason::Killed);
    // Ended: no waiting at all.
    assert_eq!(block_on(child.join_async()), status);
    assert_eq!(
        block_on(child.wait_timeout_async(Duration::ZERO)),
        Some(status)
    );
}

#[test]
fn another_runtimes_time_works_beside_a_guest() {
    let sandbox = Sandbox::builder().build().unwrap();
    let child = sandbox.command_from_image("s", spinner()).spawn().unwrap();
    on_tokio(async {
        let limit = Duration::from_millis(30);
        assert!(
            tokio::time::timeout(limit, child.join_async())
                .await
                .is_err()
        );
        child.kill().unwrap();
        assert_eq!(child.join_async().await.signal(), Some(libc::SIGKILL));
    });
}

#[test]
fn dropping_the_sandbox_ends_what_waits() {
    let sandbox = Sandbox::builder().build().unwrap();
    let spinning = sandbox.command_from_image("s", spinner());
    let child = spinning.stdout(Stdio::piped()).spawn().unwrap();
    let dropper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        drop(sandbox);
    });
    let output = block_on(child.wait_with_output_async());
    assert_eq!(*output.status.reason(), ExitReason::SandboxDropped);
    dropper.join().unwrap();
    let sandbox = Sandbox::builder().build().unwrap();
    let child = sandbox.command_from_image("s", spinner()).spawn().unwrap();
    drop(sandbox);
    assert!(block_on(child.wait_timeout_async(LONG)).is_some());
}

struct Count(AtomicUsize);
impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_dropped_future_leaves_the_guest_running_and_wakes_nobody() {
    let sandbox = Sandbox::builder().build().unwrap();
    let child = sandbox
        .command_from_image("r", reader())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(count.clone());
    {
        let mut waiting = pin!(child.join_async());
        let poll = waiting.as_mut().poll(&mut Context::from_waker(&waker));
        assert_eq!(poll, Poll::Pending);
    }
    assert!(child.try_wait().is_none());
    let mut child = child;
    assert_eq!(child.wait().code(), Some(5));
    assert_eq!(count.0.load(Ordering::SeqCst), 0);
    drop(waker);
    assert_eq!(Arc::strong_count(&count), 1);
}

struct Panics;
impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("a waker that panics on purpose");
    }
}

#[test]
fn a_waker_that_panics_harms_no_guest() {
    let sandbox = Sandbox::builder().build().unwrap();
    let mut child = sandbox
        .command_from_image("r", reader())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin = None;
    let waker = Waker::from(Arc::new(Panics));
    let mut waiting = pin!(child.join_async());
    // The guest may have ended by now: then nobody is woken.
    let _ = waiting.as_mut().poll(&mut Context::from_waker(&waker));
    let deadline = Instant::now() + LONG;
    while child.try_wait().is_none() {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(child.try_wait().unwrap().code(), Some(5));
    block_on(many_at_once(&sandbox));
}

#[test]
fn a_sandbox_drives_futures_until_it_ends() {
    let sandbox = Sandbox::builder().build().unwrap();
    let image = printer("driven", 0);
    let driven: Vec<_> = (0..20)
        .map(|_| {
            let command = sandbox.command_from_image("p", image.clone());
            sandbox.drive(command.output_async()).unwrap()
        })
        .collect();
    let last = sandbox.drive(async { 7 }).unwrap();
    for future in driven {
        assert_eq!(future.wait().unwrap().unwrap().stdout, b"driven");
    }
    assert_eq!(on_tokio(last).unwrap(), 7);
    let panicking = sandbox.drive(async { panic!("on purpose") }).unwrap();
    let panicked: std::io::Result<()> = panicking.wait();
    assert!(panicked.unwrap_err().to_string().contains("on purpose"));
    // Owns a command, and so a part of the sandbox, for ever.
    let command = sandbox.command_from_image("p", image);
    let endless = sandbox.drive(async move {
        let _command = command;
        std::future::pending::<()>().await
    });
    let cancelled = sandbox.drive(std::future::pending::<()>()).unwrap();
    assert!(cancelled.cancel());
    let kind = std::io::ErrorKind::Interrupted;
    assert_eq!(cancelled.wait().unwrap_err().kind(), kind);
    assert!(sandbox.shutdown());
    assert_eq!(endless.unwrap().wait().unwrap_err().kind(), kind);
    assert!(sandbox.drive(async {}).is_err());
}
