//! A column of the table: one way to run test programs.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use crate::paths;
use crate::toolchain::Machine;

#[derive(Clone, Debug)]
pub struct Column {
    pub name: String,
    pub machine: Machine,
    /// What goes before the program's path; empty on the host.
    pub prefix: Vec<OsString>,
    /// The column is there to be compared with, not to be judged: a test that fails
    /// there by chance may run again.
    pub is_reference: bool,
}

impl Column {
    pub fn host() -> Column {
        Column {
            name: "host".into(),
            machine: Machine::Host,
            prefix: Vec::new(),
            is_reference: true,
        }
    }

    pub fn qemu() -> Column {
        Column {
            name: "qemu".into(),
            machine: Machine::Riscv64,
            prefix: vec!["qemu-riscv64".into()],
            is_reference: true,
        }
    }

    pub fn rivix() -> Column {
        let prefix = vec![
            rivix_program().into(),
            "run".into(),
            "--quiet".into(),
            "--".into(),
        ];
        Column {
            name: "rivix".into(),
            machine: Machine::Riscv64,
            prefix,
            is_reference: false,
        }
    }

    /// Any command that runs a riscv64 program named by its next argument.
    pub fn against(line: &str) -> Column {
        let prefix = line.split_whitespace().map(OsString::from).collect();
        Column {
            name: "against".into(),
            machine: Machine::Riscv64,
            prefix,
            is_reference: false,
        }
    }

    /// Can the command be started at all?
    pub fn is_there(&self) -> bool {
        self.prefix
            .first()
            .is_none_or(|program| Command::new(program).arg("--version").output().is_ok())
    }
}

/// The release build of `rivix`, or what `RIVIX` names.
pub fn rivix_program() -> PathBuf {
    std::env::var_os("RIVIX").map_or_else(|| paths::target().join("release/rivix"), PathBuf::from)
}
