//! `rivix` without arguments: run the guest we carry, then say what to try.

use crate::{Outcome, failure, log};
use rivix::{Sandbox, Stdio};
use std::process::ExitCode;

const NEXT: &str = "
That was a riscv64 Linux program on this host. Try next:

  rivix run ./PROG              a static riscv64 program of your own,
                                e.g. from riscv64-linux-gnu-gcc -static hello.c
  rivix run --strace ./PROG     with its system calls on stderr
  rivix info ./PROG             what a program file is, and whether it can run
  rivix doctor                  what of this host would not work
  rivix --help                  everything else
";

pub(crate) fn run() -> Outcome {
    log::start(false)?;
    let sandbox = Sandbox::builder().build()?;
    let status = sandbox.demo().stdout(Stdio::inherit()).status()?;
    if !status.success() {
        failure::say(&format!(
            "demo: ended with {status}; see what `rivix doctor` says"
        ));
        return Ok(ExitCode::from(125));
    }
    print!("{NEXT}");
    Ok(ExitCode::SUCCESS)
}
