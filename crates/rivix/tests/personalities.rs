//! Sandboxes of several kernels in one process: each guest gets its own kernel's
//! answers, whatever runs beside it or ran before.

mod common;

use common::Guest;
use rivix::{Abi, ExitStatus, Sandbox, SandboxBuilder};
use rivix_isa::{Op, Operands};

const ALL: [Abi; 3] = [Abi::Linux, Abi::Rcore, Abi::Ucore];

/// Numbers of calls; what they mean depends on the kernel.
const EXIT: i32 = 93;
const GETTID: i32 = 178;
const BRK_OR_SBRK: i32 = 214;
const RCORE_GETTID: i32 = 1001;
const UCORE_MUTEX_CREATE: i32 = 463;

fn sandbox(abi: Abi) -> Sandbox {
    builder(abi).build().unwrap()
}

fn builder(abi: Abi) -> SandboxBuilder {
    Sandbox::builder().abi(abi)
}

/// Makes one call and exits with the low byte of its answer.
fn asks(number: i32, args: &[i32]) -> Vec<u8> {
    const A7: u8 = 17;
    Guest::new("")
        .call(number, args)
        .li(A7, EXIT)
        .op(Op::Ecall, Operands::default())
        .elf()
}

fn run(sandbox: &Sandbox, image: Vec<u8>) -> ExitStatus {
    sandbox.command_from_image("p", image).status().unwrap()
}

#[track_caller]
fn check(sandbox: &Sandbox, number: i32, args: &[i32], answer: i8) {
    let status = run(sandbox, asks(number, args));
    assert_eq!(
        status.code(),
        Some(i32::from(answer as u8)),
        "call {number}"
    );
}

/// What only one of them can answer so.
#[track_caller]
fn check_kernel(sandbox: &Sandbox, abi: Abi) {
    const ENOSYS: i8 = -38;
    match abi {
        Abi::Linux => {
            check(sandbox, RCORE_GETTID, &[], ENOSYS);
            check(sandbox, UCORE_MUTEX_CREATE, &[1], ENOSYS);
            // brk(2) of what is no address of the heap: where the break is, which
            // begins a page.
            check(sandbox, BRK_OR_SBRK, &[-1], 0);
        }
        Abi::Rcore => {
            check(sandbox, RCORE_GETTID, &[], 0);
            check(sandbox, BRK_OR_SBRK, &[i32::MIN], -1);
        }
        Abi::Ucore => {
            check(sandbox, GETTID, &[], 0);
            check(sandbox, UCORE_MUTEX_CREATE, &[1], 0);
            check(sandbox, BRK_OR_SBRK, &[i32::MIN], -1);
        }
        other => panic!("nothing is known of {other}"),
    }
}

#[test]
fn a_sandbox_is_a_linux_one_unless_told_otherwise() {
    check_kernel(&Sandbox::builder().build().unwrap(), Abi::Linux);
}

#[test]
fn each_has_its_own_answers() {
    for abi in ALL {
        check_kernel(&sandbox(abi), abi);
    }
}

#[test]
fn three_kernels_at_once_and_one_after_the_other() {
    for _ in 0..5 {
        std::thread::scope(|scope| {
            for abi in ALL {
                scope.spawn(move || {
                    let sandbox = sandbox(abi);
                    for _ in 0..5 {
                        check_kernel(&sandbox, abi);
                    }
                });
            }
        });
    }
    check_kernel(&sandbox(Abi::Linux), Abi::Linux);
}

/// A teaching kernel's processes outlive a write to a pipe that nobody reads; that
/// must not be so for a Linux process of the same host process.
#[test]
fn signals_of_linux_processes_do_what_they_did() {
    let teaching = sandbox(Abi::Rcore);
    check_kernel(&teaching, Abi::Rcore);
    let linux = sandbox(Abi::Linux);
    for signal in [libc::SIGPIPE, libc::SIGTERM, libc::SIGSEGV] {
        let status = run(&linux, Guest::new("").raise(signal).spin().elf());
        assert_eq!((status.code(), status.signal()), (None, Some(signal)));
    }
    drop(teaching);
    let status = run(&linux, Guest::new("").raise(libc::SIGPIPE).spin().elf());
    assert_eq!(status.signal(), Some(libc::SIGPIPE));
}
