//! Installs the cross compilers and qemu-user, or says how.

use std::process::Command;

use anyhow::{Result, bail};
use rivix_testsuite::toolchain::{self, Machine};

use crate::shell;

const PACKAGES: [&str; 4] = [
    "gcc-riscv64-linux-gnu",
    "g++-riscv64-linux-gnu",
    "libc6-dev-riscv64-cross",
    "qemu-user",
];

fn runs(program: &str, argument: &str) -> bool {
    Command::new(program)
        .arg(argument)
        .output()
        .is_ok_and(|o| o.status.success())
}

fn complete() -> bool {
    toolchain::has_compiler(Machine::Host)
        && toolchain::has_compiler(Machine::Riscv64)
        && runs("qemu-riscv64", "--version")
        && runs("riscv64-linux-gnu-objdump", "--version")
}

pub(crate) fn run() -> Result<()> {
    if complete() {
        println!("setup: compilers and qemu-riscv64 are there");
        return Ok(());
    }
    let mut packages = PACKAGES.to_vec();
    if !toolchain::has_compiler(Machine::Host) {
        packages.extend(["gcc", "g++", "libc6-dev"]);
    }
    let manual = format!(
        "sudo apt-get update && sudo apt-get install -y --no-install-recommends {}",
        packages.join(" ")
    );
    // Root, or sudo without a password: asking for one would hang a script.
    let is_root = Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|o| o.stdout.starts_with(b"0\n"));
    let prefix: &[&str] = match (is_root, runs("sudo", "-nv")) {
        (true, _) => &[],
        (false, true) => &["sudo", "-n"],
        (false, false) => {
            bail!("the test suite needs packages that only root can install. Run:\n  {manual}")
        }
    };
    if !runs("apt-get", "--version") {
        bail!(
            "no apt-get here. The test suite needs what Debian calls {}",
            packages.join(", ")
        );
    }
    let apt = |arguments: &[&str]| {
        let words: Vec<_> = prefix
            .iter()
            .copied()
            .chain(["apt-get"])
            .chain(arguments.iter().copied())
            .collect();
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .env("DEBIAN_FRONTEND", "noninteractive");
        shell::step(&mut command)
    };
    let install: Vec<_> = ["install", "-y", "-q", "--no-install-recommends"]
        .into_iter()
        .chain(packages.iter().copied())
        .collect();
    // An old package list may do; if not, a fresh one.
    let installed = apt(&install)? || (apt(&["update", "-q"])? && apt(&install)?);
    if !installed || !complete() {
        bail!("the packages did not install. Run:\n  {manual}");
    }
    Ok(())
}
