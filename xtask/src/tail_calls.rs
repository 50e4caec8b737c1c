//! `cargo xtask check-tail-calls`: the interpreter's handlers end in jumps.
//!
//! Rust does not promise tail calls, so the release binary is disassembled and
//! looked at. By convention every function of `rivix_interp::exec` is a handler,
//! but for those in its module `cold` and the driver loop. A handler may leave
//! only by an indirect jump (to the next slot's handler) or by a direct one (to a
//! cold path, or a function it was merged with); it never returns, and calls
//! nothing through a pointer. A cold path may return, when the hart stops.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use rivix_testsuite::paths;

use crate::shell;

/// Fewer handlers than this and the disassembly is not of what we think.
const FEWEST: usize = 200;

/// What is wrong with one function.
#[derive(Debug, PartialEq, Eq)]
struct Fault {
    function: String,
    instruction: String,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Findings {
    handlers: usize,
    faults: Vec<Fault>,
}

/// Checks `binary`, or the release build of `rivix`, which it makes.
pub(crate) fn run(binary: Option<PathBuf>) -> Result<bool> {
    match binary {
        Some(binary) => check(&binary),
        None => {
            shell::build_rivix()?;
            check(&paths::target().join("release/rivix"))
        }
    }
}

fn check(binary: &Path) -> Result<bool> {
    let output = Command::new("objdump")
        .args(["--disassemble", "--demangle", "--no-show-raw-insn"])
        .arg(binary)
        .output()
        .context("cannot run objdump (Debian package binutils)")?;
    ensure!(
        output.status.success(),
        "objdump {}: {}",
        binary.display(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let findings = inspect(&String::from_utf8_lossy(&output.stdout));
    ensure!(
        findings.handlers >= FEWEST,
        "{}: found {} handlers, expected at least {FEWEST}: not a release build with symbols?",
        binary.display(),
        findings.handlers
    );
    for fault in &findings.faults {
        println!(
            "{}: `{}` is not a tail call",
            fault.function, fault.instruction
        );
    }
    println!(
        "{} handlers, {} that do not end in a jump",
        findings.handlers,
        findings.faults.len()
    );
    Ok(findings.faults.is_empty())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Handler,
    Cold,
    Other,
}

fn role(function: &str) -> Role {
    match function.strip_prefix("rivix_interp::exec::") {
        None => Role::Other,
        Some(rest) if rest.contains("::body") => Role::Other,
        Some(rest) if rest.starts_with("cold::") => Role::Cold,
        Some(rest) if rest.contains("::") => Role::Handler,
        Some(_) => Role::Other,
    }
}

/// Looks through objdump's output.
fn inspect(disassembly: &str) -> Findings {
    let mut findings = Findings::default();
    let mut function = "";
    let mut current = Role::Other;
    let mut has_jumped = true;
    for line in disassembly.lines() {
        if let Some(name) = function_name(line) {
            if current == Role::Handler && !has_jumped {
                findings.faults.push(Fault {
                    function: function.to_owned(),
                    instruction: "no jump".to_owned(),
                });
            }
            (function, current, has_jumped) = (name, role(name), false);
            findings.handlers += usize::from(current == Role::Handler);
            continue;
        }
        if current == Role::Other {
            continue;
        }
        let Some((_, instruction)) = line.split_once('\t') else {
            continue;
        };
        let instruction = instruction.trim();
        let is_return = instruction.starts_with("ret");
        let is_indirect_call = instruction.starts_with("call") && instruction.contains('*');
        has_jumped |= instruction.starts_with("jmp");
        if is_indirect_call || is_return && current == Role::Handler {
            findings.faults.push(Fault {
                function: function.to_owned(),
                instruction: instruction.to_owned(),
            });
        }
    }
    findings
}

/// The name in a line like `0000000000012340 <name>:`.
fn function_name(line: &str) -> Option<&str> {
    let (address, rest) = line.split_once(" <")?;
    let is_address = !address.is_empty() && address.bytes().all(|b| b.is_ascii_hexdigit());
    is_address.then_some(rest.strip_suffix(">:")).flatten()
}

#[cfg(test)]
mod tests {
    use super::{Fault, inspect};

    fn check(body: &str, expect: &[(&str, &str)]) {
        let faults: Vec<Fault> = expect
            .iter()
            .map(|(function, instruction)| Fault {
                function: (*function).to_owned(),
                instruction: (*instruction).to_owned(),
            })
            .collect();
        assert_eq!(inspect(body).faults, faults, "{body}");
    }

    #[test]
    fn tells_jumps_from_calls() {
        let handler = "rivix_interp::exec::alu::nop";
        let text = |name: &str, lines: &[&str]| {
            let lines: Vec<String> = lines.iter().map(|l| format!("  12:\t{l}\n")).collect();
            format!(
                "0000000000000010 <{name}>:\n{}\n0000000000000020 <end>:\n",
                lines.concat()
            )
        };
        check(&text(handler, &["mov    (%rdi),%rax", "jmp    *%rax"]), &[]);
        check(
            &text(handler, &["jmp    30 <rivix_interp::exec::cold::csr>"]),
            &[],
        );
        check(&text(handler, &["call   30 <x>", "jmp    *(%rdi)"]), &[]);
        check(
            &text(handler, &["call   *%rax", "jmp    *%rax"]),
            &[(handler, "call   *%rax")],
        );
        check(
            &text(handler, &["jmp    *%rax", "ret"]),
            &[(handler, "ret")],
        );
        check(
            &text(handler, &["mov    (%rdi),%rax"]),
            &[(handler, "no jump")],
        );
        let cold = "rivix_interp::exec::cold::csr";
        check(&text(cold, &["call   30 <x>", "ret"]), &[]);
        check(&text(cold, &["call   *%rax"]), &[(cold, "call   *%rax")]);
        check(
            &text("rivix_interp::exec::drive", &["call   *%rax", "ret"]),
            &[],
        );
        check(&text("other::f", &["call   *%rax", "ret"]), &[]);
    }
}
