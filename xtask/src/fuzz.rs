//! `cargo xtask fuzz TARGET`: fuzzers that run on the stable compiler, each an
//! example of the crate it attacks.

use anyhow::{Context, Result, bail, ensure};
use std::path::Path;
use std::process::Command;

/// Name, package, example.
const TARGETS: &[(&str, &str, &str)] = &[
    ("loader", "rivix-elf", "fuzz_loader"),
    ("decode", "rivix-isa", "fuzz_decode"),
];

/// Builds and runs `target` for `seconds`. A `seed` repeats an earlier run.
pub(crate) fn run(target: &str, seconds: u64, seed: Option<u64>) -> Result<()> {
    let Some((_, package, example)) = TARGETS.iter().find(|row| row.0 == target) else {
        let known: Vec<&str> = TARGETS.iter().map(|row| row.0).collect();
        bail!("no fuzz target {target:?}; known: {}", known.join(", "));
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("xtask lies in the repository's root")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(root)
        // Overflow checks and debug assertions are half of what it finds.
        .args([
            "run",
            "--quiet",
            "--package",
            package,
            "--example",
            example,
            "--",
        ])
        .args(["--seconds", &seconds.to_string()]);
    if let Some(seed) = seed {
        command.args(["--seed", &seed.to_string()]);
    }
    let status = command.status().context("could not run cargo")?;
    ensure!(
        status.success(),
        "the fuzz target {target} found something; its file was kept"
    );
    Ok(())
}
