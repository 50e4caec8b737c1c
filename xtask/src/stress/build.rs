//! The stress programs' builds: glibc's by the suite's own compiler, musl's by
//! Zig's, Go's by the one that Debian packages.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use rivix_testsuite::paths;
use rivix_testsuite::process::{self, Job};
use rivix_testsuite::toolchain::{Build, Machine};

use crate::{debian, shell};

/// What a program is written in, and whose C library it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Glibc,
    Musl,
    Go,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Glibc => "glibc",
            Kind::Musl => "musl",
            Kind::Go => "Go",
        }
    }
}

/// The program of this name in `testsuite/stress`, for `machine`.
pub(crate) fn program(name: &str, kind: Kind, machine: Machine) -> Result<PathBuf> {
    let folder = paths::testsuite().join("stress");
    match kind {
        Kind::Glibc => Build::new(&folder.join(format!("{name}.c")), machine).program(),
        Kind::Musl => musl(&folder.join(format!("{name}.c"))),
        Kind::Go => go(&folder.join(name)),
    }
}

/// Zig's C compiler carries musl. (Debian's musl for riscv64 is newer than what the
/// linkers of older releases can read.) It comes as a Python package.
fn musl(source: &Path) -> Result<PathBuf> {
    let top = paths::target().join("ziglang");
    let compiler = top.join("ziglang/zig");
    if !compiler.exists() {
        fetch_zig(&top)?;
    }
    let stem = source.file_stem().unwrap_or_default().to_string_lossy();
    let output = out_dir()?.join(format!("stress-{stem}-musl"));
    let words = [
        "cc",
        "-target",
        "riscv64-linux-musl",
        "-O2",
        "-static",
        "-Wall",
        "-o",
    ];
    let words = std::iter::once(compiler.as_os_str())
        .chain(words.map(OsStr::new))
        .chain([output.as_os_str(), source.as_os_str()]);
    let job = Job::new(words)
        .limit(600)
        .env("ZIG_GLOBAL_CACHE_DIR", top.join("cache"))
        .env("ZIG_LOCAL_CACHE_DIR", top.join("cache"));
    let built = process::run(&job)?;
    ensure!(
        built.success(),
        "zig cc: {}\n{}",
        built.ending(),
        built.err()
    );
    Ok(output)
}

/// A wheel is an archive that needs no installing.
fn fetch_zig(top: &Path) -> Result<()> {
    let wheels = tempfile::tempdir()?;
    let python = |arguments: &[&OsStr]| {
        shell::step(
            Command::new("python3")
                .args(arguments)
                .current_dir(wheels.path()),
        )
    };
    let download = ["-m", "pip", "download", "--quiet", "--no-deps", "ziglang"].map(OsStr::new);
    ensure!(python(&download)?, "pip cannot download ziglang");
    let wheel = std::fs::read_dir(wheels.path())?
        .next()
        .context("pip downloaded nothing")??
        .path();
    let parent = paths::target();
    std::fs::create_dir_all(&parent)?;
    // Unpacked beside its place and renamed, so that nobody takes half of it for
    // the whole.
    let unpacked = tempfile::tempdir_in(&parent)?;
    let unpack = ["-m", "zipfile", "-e"].map(OsStr::new).into_iter();
    let unpack: Vec<&OsStr> = unpack
        .chain([wheel.as_os_str(), unpacked.path().as_os_str()])
        .collect();
    ensure!(python(&unpack)?, "cannot unpack {}", wheel.display());
    let program = unpacked.path().join("ziglang/zig");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
    if top.exists() {
        std::fs::remove_dir_all(top)?;
    }
    std::fs::rename(unpacked.keep(), top)?;
    Ok(())
}

fn out_dir() -> Result<PathBuf> {
    let folder = paths::target().join("testsuite/riscv64");
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Debian's Go compiler cross-compiles; its own cache knows what is up to date.
fn go(source: &Path) -> Result<PathBuf> {
    const VERSION: &str = "1.24";
    let top = paths::target().join("debian-go");
    let compiler = top.join(format!("usr/lib/go-{VERSION}/bin/go"));
    if !compiler.exists() {
        let packages = ["go:amd64", "src"].map(|part| format!("golang-{VERSION}-{part}"));
        debian::fetch(&top, &packages)?;
    }
    let name = source.file_name().unwrap_or_default().to_string_lossy();
    let output = out_dir()?.join(format!("stress-{name}"));
    let words = [
        compiler.as_os_str().to_owned(),
        "build".into(),
        "-o".into(),
        output.clone().into(),
        ".".into(),
    ];
    let root = top.join(format!("usr/lib/go-{VERSION}"));
    let cache = paths::target().join("go-cache");
    let job = Job::new(words)
        .cwd(source)
        .limit(600)
        .env("GOROOT", root)
        .env("GOCACHE", cache.join("build"))
        .env("GOPATH", cache.join("path"))
        .env("GOOS", "linux")
        .env("GOARCH", "riscv64")
        .env("CGO_ENABLED", "0")
        // Nothing is to be fetched, neither modules nor another compiler.
        .env("GOTOOLCHAIN", "local")
        .env("GOFLAGS", "-mod=mod")
        .env("GOPROXY", "off");
    let built = process::run(&job)?;
    ensure!(
        built.success(),
        "go build: {}\n{}{}",
        built.ending(),
        built.out(),
        built.err()
    );
    Ok(output)
}
