//! Guest binaries that are committed beside their sources, because users have
//! no riscv64 compiler: the vdso and the demo.
//!
//! `build-guests` rebuilds them; `build-guests --check` says whether source
//! and binary agree. With the compiler they were built by, that is by building
//! again and comparing bytes; with any other, by the checksums that the last
//! build recorded.

use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const COMPILER: &str = "riscv64-linux-gnu-gcc";
/// Debian 12's: `gcc -dumpfullversion` and the version of its linker.
const COMPILER_VERSION: &str = "12.2.0";
const LINKER_VERSION: &str = "2.40";
const SUMS: &str = "SHA256SUMS";

/// One committed binary.
struct Guest {
    /// Relative to the repository's root.
    folder: &'static str,
    sources: &'static [&'static str],
    binary: &'static str,
    flags: &'static [&'static str],
}

const GUESTS: &[Guest] = &[
    Guest {
        folder: "crates/elf/vdso",
        sources: &["vdso.S", "vdso.lds"],
        binary: "vdso.so",
        flags: &[
            "-shared",
            "-nostdlib",
            "-fPIC",
            "-march=rv64gc",
            "-mabi=lp64d",
            "-Wl,-T,vdso.lds",
            "-Wl,-soname=linux-vdso.so.1",
            "-Wl,--hash-style=both",
            "-Wl,--build-id=none",
            "-Wl,-Bsymbolic",
            "-Wl,--eh-frame-hdr",
            "-Wl,-z,max-page-size=4096",
            "-Wl,-z,noexecstack",
            "-Wl,--no-warn-rwx-segments",
            "-s",
        ],
    },
    Guest {
        folder: "crates/rivix/demo",
        sources: &["demo.c"],
        binary: "demo",
        flags: &[
            "-O2",
            "-std=gnu11",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-march=rv64gc",
            "-mabi=lp64d",
            "-ffreestanding",
            "-fno-stack-protector",
            "-fno-asynchronous-unwind-tables",
            "-fno-pie",
            "-no-pie",
            "-static",
            "-nostdlib",
            "-Wl,--build-id=none",
            "-Wl,-z,noexecstack",
            "-Wl,-z,separate-code",
            "-Wl,-z,max-page-size=4096",
            "-s",
        ],
    },
];

/// Rebuilds the committed binaries, or only checks that they agree with their
/// sources.
pub(crate) fn build(check: bool) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("xtask lies in the repository's root")?;
    let toolchain = same_toolchain();
    for guest in GUESTS {
        let folder = root.join(guest.folder);
        if check {
            verify(guest, &folder, &toolchain)?;
        } else {
            compile(guest, &folder, &folder.join(guest.binary))?;
            record(guest, &folder)?;
            println!("{}/{}: built", guest.folder, guest.binary);
            if let Err(reason) = &toolchain {
                println!("  note: {reason}; others cannot reproduce these bytes");
            }
        }
    }
    Ok(())
}

/// Err: why rebuilding would not give the same bytes.
fn same_toolchain() -> Result<(), String> {
    let first_line = |program: &str, argument: &str| -> Result<String, String> {
        let output = Command::new(program)
            .arg(argument)
            .output()
            .map_err(|error| format!("{program} is not there ({error})"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.lines().next().unwrap_or_default().trim().to_owned())
    };
    let compiler = first_line(COMPILER, "-dumpfullversion")?;
    if compiler != COMPILER_VERSION {
        return Err(format!(
            "{COMPILER} is version {compiler}, not {COMPILER_VERSION}"
        ));
    }
    let linker = first_line("riscv64-linux-gnu-ld", "--version")?;
    if !linker.split_whitespace().any(|word| word == LINKER_VERSION) {
        return Err(format!("the linker is \"{linker}\", not {LINKER_VERSION}"));
    }
    Ok(())
}

fn compile(guest: &Guest, folder: &Path, output: &Path) -> Result<()> {
    let sources = guest.sources.iter().filter(|name| !name.ends_with(".lds"));
    let status = Command::new(COMPILER)
        .current_dir(folder)
        .args(guest.flags)
        .arg("-o")
        .arg(output)
        .args(sources)
        .status()
        .with_context(|| {
            format!("could not run {COMPILER}; on Debian: apt install gcc-riscv64-linux-gnu")
        })?;
    ensure!(status.success(), "{COMPILER} failed for {}", guest.folder);
    Ok(())
}

/// Writes the checksums of sources and binary.
fn record(guest: &Guest, folder: &Path) -> Result<()> {
    let output = Command::new("sha256sum")
        .current_dir(folder)
        .args(guest.sources)
        .arg(guest.binary)
        .output()
        .context("could not run sha256sum (coreutils)")?;
    ensure!(
        output.status.success(),
        "sha256sum failed in {}",
        guest.folder
    );
    fs::write(folder.join(SUMS), output.stdout)
        .with_context(|| format!("could not write {}/{SUMS}", guest.folder))
}

fn verify(guest: &Guest, folder: &Path, toolchain: &Result<(), String>) -> Result<()> {
    let name = format!("{}/{}", guest.folder, guest.binary);
    let advice = "run `cargo xtask build-guests` and commit the result";

    let output = Command::new("sha256sum")
        .current_dir(folder)
        .args(["--check", "--strict", SUMS])
        .output()
        .context("could not run sha256sum (coreutils)")?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stdout);
        bail!(
            "{name} and its sources do not match {SUMS}; {advice}:\n{}",
            text.trim_end()
        );
    }
    if let Err(reason) = toolchain {
        println!("{name}: checksums agree (not rebuilt: {reason})");
        return Ok(());
    }
    let scratch = Scratch::new()?;
    let rebuilt = scratch.0.join(guest.binary);
    compile(guest, folder, &rebuilt)?;
    let committed = fs::read(folder.join(guest.binary)).with_context(|| name.clone())?;
    ensure!(
        fs::read(&rebuilt)? == committed,
        "{name} is not what its source gives; {advice}"
    );
    println!("{name}: rebuilt, byte for byte the same");
    Ok(())
}

/// A private folder, removed when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Scratch> {
        let path = std::env::temp_dir().join(format!("rivix-guests-{}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("could not make {}", path.display()))?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Leftovers in the temporary folder harm nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}
