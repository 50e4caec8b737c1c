//! `cargo xtask ci`: every check there is, stopping at none.

use anyhow::Result;

use crate::{guests, shell, tail_calls, test};

pub(crate) fn run() -> Result<bool> {
    let mut failed = Vec::new();
    let mut check = |name: &'static str, good: bool| {
        if !good {
            failed.push(name);
        }
    };
    check(
        "formatting",
        shell::step(&mut shell::cargo(&["fmt", "--all", "--check"]))?,
    );
    let lints = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ];
    check("lints", shell::step(&mut shell::cargo(&lints))?);
    let mut doc = shell::cargo(&["doc", "--workspace", "--no-deps"]);
    check(
        "documentation",
        shell::step(doc.env("RUSTDOCFLAGS", "-D warnings"))?,
    );
    let guests = guests::build(true);
    if let Err(error) = &guests {
        println!("{error:#}");
    }
    check("committed guests", guests.is_ok());
    shell::build_rivix()?;
    check("tail calls", tail_calls::run(None)?);
    check("tests", test::run(&test::TestArgs::default())?);
    if failed.is_empty() {
        println!("ci: all checks passed");
    } else {
        println!("ci: failed: {}", failed.join(", "));
    }
    Ok(failed.is_empty())
}
