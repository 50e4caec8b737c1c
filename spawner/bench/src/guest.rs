//! From a guest's clone to the new guest thread's first instruction: the same C
//! program natively and under rivix. Natively it does what std::thread does.

use crate::Settings;
use crate::measure::{Row, Samples};
use anyhow::{Context, Result, ensure};
use std::ffi::OsStr;
use std::process::Command;

pub(crate) fn rows(settings: &Settings, rows: &mut Vec<Row>) -> Result<()> {
    let name = "clone to first guest instruction";
    if !settings.wants(name) {
        return Ok(());
    }
    let (Some(rivix), Some(guest), Some(native)) =
        (&settings.rivix, &settings.guest, &settings.native)
    else {
        println!("{name}: left out, no programs were given");
        return Ok(());
    };
    let mut row = Row::new(name, "us");
    let mut samples = [Samples::default(), Samples::default()];
    let count = settings.scaled(200).to_string();
    for _ in 0..settings.rounds() {
        let mut under_rivix = Command::new(rivix);
        under_rivix.args([
            OsStr::new("run"),
            OsStr::new("--quiet"),
            OsStr::new("--"),
            guest.as_os_str(),
        ]);
        let commands = [under_rivix, Command::new(native)];
        for (mut command, samples) in commands.into_iter().zip(&mut samples) {
            let output = command.arg(&count).output()?;
            ensure!(output.status.success(), "{command:?}: {}", output.status);
            for line in String::from_utf8_lossy(&output.stdout).lines() {
                let ns: f64 = line.trim().parse().context("nanoseconds")?;
                samples.0.push(ns / 1e3);
            }
        }
    }
    row.figure("rivix, guest pthread_create", true, &samples[0]);
    row.figure("native pthread_create", false, &samples[1]);
    let ratio = samples[0].p50() / samples[1].p50();
    row.target(
        "p50 at most twice a native thread's",
        format!("{ratio:.2}"),
        ratio <= 2.0,
    );
    rows.push(row);
    Ok(())
}
