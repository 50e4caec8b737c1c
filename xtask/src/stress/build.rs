//! The stress programs' builds: glibc's by the suite's own compiler, musl's and
//! Go's with what Debian packages for them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use rivix_testsuite::paths;
use rivix_testsuite::process::{self, Job};
use rivix_testsuite::toolchain::{Build, Machine};

use crate::debian;

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

/// The cross compiler with musl's headers, start files and library in place of
/// glibc's.
fn musl(source: &Path) -> Result<PathBuf> {
    let top = paths::target().join("debian-musl");
    let place = |name: &str| top.join("usr/lib/riscv64-linux-musl").join(name);
    if !place("libc.a").exists() {
        debian::fetch(&top, &["musl-dev:riscv64".into()])?;
    }
    let include = top.join("usr/include/riscv64-linux-musl");
    let compiler = Machine::Riscv64.compiler("c");
    let asked = Command::new(&compiler)
        .arg("-print-libgcc-file-name")
        .output()
        .with_context(|| format!("cannot run {compiler}"))?;
    let libgcc = String::from_utf8_lossy(&asked.stdout).trim().to_owned();
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    let (crt1, crti, crtn) = (place("crt1.o"), place("crti.o"), place("crtn.o"));
    let (include, libc) = (text(include), text(place("libc.a")));
    let (crt1, crti, crtn) = (text(crt1), text(crti), text(crtn));
    let flags = [
        "-O2",
        "-static",
        "-nostdinc",
        "-isystem",
        &include,
        "-nostdlib",
        &crt1,
        &crti,
    ];
    // The two libraries need each other.
    let libraries = [
        "-Wl,--start-group",
        &libc,
        &libgcc,
        "-Wl,--end-group",
        &crtn,
    ];
    Build {
        flags: &flags,
        libraries: &libraries,
        ..Build::new(source, Machine::Riscv64)
    }
    .program()
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
    let out_dir = paths::target().join("testsuite/riscv64");
    std::fs::create_dir_all(&out_dir)?;
    let name = source.file_name().unwrap_or_default().to_string_lossy();
    let output = out_dir.join(format!("stress-{name}"));
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
