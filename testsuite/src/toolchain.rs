//! Compiles guest programs, once per content: the output's name carries a hash
//! of the source, of everything in `include/` and beside it, and of the flags.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};

use crate::paths;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    Riscv64,
    Host,
}

impl Machine {
    fn name(self) -> &'static str {
        match self {
            Machine::Riscv64 => "riscv64",
            Machine::Host => "host",
        }
    }

    /// The compiler's command for a source with this extension.
    pub fn compiler(self, extension: &str) -> String {
        let (variable, plain, cross) = match extension {
            "cc" => ("RIVIX_RISCV_CXX", "g++", "riscv64-linux-gnu-g++"),
            _ => ("RIVIX_RISCV_CC", "gcc", "riscv64-linux-gnu-gcc"),
        };
        match self {
            Machine::Host => plain.to_owned(),
            Machine::Riscv64 => std::env::var(variable).unwrap_or_else(|_| cross.to_owned()),
        }
    }
}

/// Is there a compiler for this machine?
pub fn has_compiler(machine: Machine) -> bool {
    let runs = |extension| {
        Command::new(machine.compiler(extension))
            .arg("--version")
            .output()
            .is_ok_and(|o| o.status.success())
    };
    runs("c") && runs("cc")
}

/// How a program is to be linked and what else the compiler is told.
#[derive(Clone, Debug)]
pub struct Build<'a> {
    pub source: &'a Path,
    pub machine: Machine,
    pub flags: &'a [&'a str],
}

impl<'a> Build<'a> {
    pub fn new(source: &'a Path, machine: Machine) -> Build<'a> {
        Build {
            source,
            machine,
            flags: &["-O2", "-static", "-pthread"],
        }
    }

    /// Compiles unless it was before; gives the program's path.
    pub fn program(&self) -> Result<PathBuf> {
        let text = fs::read(self.source)
            .with_context(|| format!("cannot read {}", self.source.display()))?;
        let extension = self
            .source
            .extension()
            .and_then(|e| e.to_str())
            .unwrap_or("c");
        let compiler = self.machine.compiler(extension);
        let include = paths::testsuite().join("include");
        let own_flags = flags_in(&text);
        let mut hash = Fnv::new();
        hash.add(&text);
        hash.add(compiler.as_bytes());
        for flag in self
            .flags
            .iter()
            .copied()
            .chain(own_flags.iter().map(String::as_str))
        {
            hash.add(flag.as_bytes());
        }
        let beside = self.source.parent().unwrap_or(Path::new("."));
        for dir in [include.as_path(), beside] {
            for header in headers(dir) {
                hash.add(&fs::read(&header)?);
            }
        }
        let out_dir = paths::target().join("testsuite").join(self.machine.name());
        fs::create_dir_all(&out_dir)?;
        let stem = self
            .source
            .file_stem()
            .and_then(|s| s.to_str())
            .unwrap_or("program");
        let family = beside.file_name().and_then(|s| s.to_str()).unwrap_or("");
        let output = out_dir.join(format!("{family}-{stem}-{:016x}", hash.0));
        if output.exists() {
            return Ok(output);
        }
        // Compiled beside its place and renamed, so that nobody sees half of it.
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let partial = out_dir.join(format!(".{stem}-{}-{number}", std::process::id()));
        let mut command = Command::new(&compiler);
        // The host's compiler does not take both.
        let is_pie = own_flags.iter().any(|flag| flag == "-static-pie");
        let flags = self
            .flags
            .iter()
            .filter(|flag| !is_pie || **flag != "-static");
        command
            .args(flags)
            .arg("-Wall")
            .arg("-I")
            .arg(&include)
            .arg("-o")
            .arg(&partial)
            .arg(self.source);
        command.args(&own_flags).arg("-lm");
        let result = command.output().with_context(|| {
            format!("cannot run {compiler}: `cargo xtask setup` installs what the test suite needs")
        })?;
        if !result.status.success() {
            bail!(
                "{compiler} failed on {}:\n{}",
                self.source.display(),
                String::from_utf8_lossy(&result.stderr)
            );
        }
        fs::rename(&partial, &output)?;
        Ok(output)
    }
}

/// A first line `// flags: ...` adds to the compiler's arguments.
fn flags_in(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    let first = text.lines().next().unwrap_or("");
    first
        .strip_prefix("// flags:")
        .map(|f| f.split_whitespace().map(str::to_owned).collect())
        .unwrap_or_default()
}

fn headers(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "h"))
        .collect();
    found.sort();
    found
}

/// FNV-1a, since the standard hasher may change between compiler versions.
struct Fnv(u64);

impl Fnv {
    fn new() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().chain(&(bytes.len() as u64).to_le_bytes()) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_line() {
        #[track_caller]
        fn check(text: &str, flags: &[&str]) {
            assert_eq!(flags_in(text.as_bytes()), flags);
        }
        check(
            "// flags: -static-pie -fPIE\nint x;",
            &["-static-pie", "-fPIE"],
        );
        check("int x;\n// flags: -g", &[]);
        check("", &[]);
    }
}
