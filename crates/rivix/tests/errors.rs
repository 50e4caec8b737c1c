//! Every error names the thing, what is wrong, and the remedy, and has the
//! status that the program ends with.

mod common;

use common::printer;
use rivix::{Engine, Error, Sandbox, SandboxBuilder};
use std::os::unix::fs::PermissionsExt;

fn check(result: Result<impl Sized, Error>, code: i32, starts: &str, contains: &str) {
    let Err(error) = result else {
        panic!("no error: {starts}")
    };
    let text = error.to_string();
    assert!(text.starts_with(starts), "{text}");
    assert!(text.contains(contains), "{text}");
    assert!(text.contains("; "), "no remedy: {text}");
    assert_eq!(error.exit_code(), code, "{text}");
}

#[test]
fn sandboxes_that_cannot_be_made() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let name = file.path().display().to_string();
    let build = |change: fn(SandboxBuilder) -> SandboxBuilder| change(Sandbox::builder()).build();
    check(
        build(|b| b.root("/no/such")),
        125,
        "/no/such: ",
        "No such file",
    );
    check(
        Sandbox::builder().root(file.path()).build(),
        125,
        &name,
        "not a directory",
    );
    check(build(|b| b.env("", "x")), 125, "=x: ", "has no name");
    check(build(|b| b.env("A=B", "x")), 125, "A=B=x: ", "has an =");
    check(build(|b| b.env("A", "x\0y")), 125, "A=x\0y: ", "NUL");
    check(
        "turbo".parse::<Engine>(),
        125,
        "turbo: unknown engine",
        "interp",
    );
}

#[test]
fn commands_that_cannot_be_started() {
    let root = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8], mode: u32| {
        let path = root.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let good = printer("ok", 0);
    write("bin/good", &good, 0o755);
    write("bin/plain", &good, 0o644);
    write("empty", b"", 0o755);
    write("text", b"just words\n", 0o755);
    write("truncated", &good[..40], 0o755);
    write("script", b"#!/no/such/shell\n", 0o755);
    let patched = |at: usize, bytes: &[u8]| {
        let mut image = good.clone();
        image[at..at + bytes.len()].copy_from_slice(bytes);
        image
    };
    write("class32", &patched(4, &[1]), 0o755);
    write("big-endian", &patched(5, &[2]), 0o755);
    write("x86", &patched(18, &[62]), 0o755);
    write("huge-phnum", &patched(56, &[0xff, 0xff]), 0o755);
    write("entry", &patched(24, &0x7000_0000u64.to_le_bytes()), 0o755);
    write("beyond", &patched(80, &(1u64 << 50).to_le_bytes()), 0o755);

    let sandbox = Sandbox::builder()
        .root(root.path())
        .env("PATH", "/bin")
        .build()
        .unwrap();
    let run = |program: &str| sandbox.command(program).spawn();
    check(
        run("/no/such"),
        127,
        "/no/such: not found",
        "inside the root",
    );
    check(run("nothing"), 127, "nothing: not found", "PATH (/bin)");
    check(run("/good/x"), 127, "/good/x: not found", "");
    check(run("plain"), 126, "/bin/plain: permission denied", "chmod");
    check(run("/bin"), 126, "/bin: is a directory", "program file");
    check(run("/empty"), 126, "/empty: ", "empty");
    check(run("/text"), 126, "/text: ", "not an ELF");
    check(run("/truncated"), 126, "/truncated: ", "ends inside");
    check(run("/script"), 126, "/script: ", "/no/such/shell");
    check(run("/class32"), 126, "/class32: ", "32-bit");
    check(run("/big-endian"), 126, "/big-endian: ", "big-endian");
    check(run("/x86"), 126, "/x86: ", "x86-64");
    check(run("/huge-phnum"), 126, "/huge-phnum: ", "65535");
    check(run("/entry"), 126, "/entry: ", "entry point");
    check(run("/beyond"), 126, "/beyond: ", "beyond");

    let long = "x".repeat(200_000);
    check(
        sandbox.command("good").arg(&long).spawn(),
        126,
        "",
        "argument",
    );
    check(
        sandbox.command("good").arg("a\0b").spawn(),
        125,
        "a\0b: ",
        "NUL",
    );
    check(
        sandbox.command("good").cwd("/nowhere").spawn(),
        125,
        "/nowhere: ",
        "working directory",
    );
    check(
        sandbox.command("good").cwd("/bin/good").spawn(),
        125,
        "/bin/good: ",
        "Not a directory",
    );
    assert_eq!(sandbox.command("good").output().unwrap().stdout, b"ok");
    assert_eq!(
        sandbox
            .command("./good")
            .cwd("/bin")
            .output()
            .unwrap()
            .stdout,
        b"ok"
    );
}

#[test]
fn without_a_root_there_are_no_host_files() {
    let sandbox = Sandbox::builder().build().unwrap();
    check(
        sandbox.command("/bin/sh").spawn(),
        127,
        "/bin/sh: not found",
        "",
    );
    check(
        sandbox.command("/etc/passwd").spawn(),
        127,
        "/etc/passwd: not found",
        "",
    );
}
