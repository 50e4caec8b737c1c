//! 100,000 spawns from 16 threads on a pool that keeps two idle workers.
//!
//! ```text
//! GLIBC_TUNABLES=glibc.pthread.stack_cache_size=0:glibc.malloc.arena_max=1 \
//!     cargo run --release -p rivix-spawner --example stress -- plain
//! ```
//!
//! Variants: `plain`; `panics`, in which units, what they captured and what they
//! throw panic at random; `faults`, in which thread creation fails at random;
//! `nproc`, in which the host refuses threads to an unprivileged user; `inside`,
//! in which pools end on their own workers. Each says what it measured and ends
//! with status 1 if a promise was broken.
//!
//! The C library keeps the stacks of threads that have ended, and memory arenas
//! for threads to come: those mappings are its own and not a leak of ours. The
//! two tunables tell it to keep none, so that what is left over can be counted.

mod host;
mod load;
mod variants;

use std::process::ExitCode;
use std::time::Duration;

/// How large a run is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) spawns: u64,
    pub(crate) threads: u64,
    pub(crate) seed: u64,
    /// Threads, mappings and times are shown, not judged: under a sanitizer, which
    /// has its own of each.
    pub(crate) is_uncounted: bool,
}

/// A run that is not over by then hangs: each takes seconds.
const LIMIT: Duration = Duration::from_secs(240);

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let variant = words.next().unwrap_or_else(|| "plain".into());
    let mut size = Size {
        spawns: 100_000,
        threads: 16,
        seed: 0x005e_ed0f_57e5,
        is_uncounted: false,
    };
    while let Some(option) = words.next() {
        let value = words.next().and_then(|word| word.parse().ok());
        match (option.as_str(), value) {
            ("--spawns", Some(value)) => size.spawns = value,
            ("--threads", Some(value)) if value > 0 => size.threads = value,
            ("--seed", Some(value)) => size.seed = value,
            ("--uncounted", Some(value)) => size.is_uncounted = value != 0,
            _ => {
                eprintln!("stress VARIANT [--spawns N] [--threads N] [--seed N] [--uncounted 1]");
                return ExitCode::from(2);
            }
        }
    }
    let run = match variant.as_str() {
        "plain" => variants::plain,
        "panics" => variants::panics,
        "faults" => variants::faults,
        "nproc" => variants::nproc,
        "inside" => variants::inside,
        _ => {
            eprintln!("stress: no variant is called {variant}");
            return ExitCode::from(2);
        }
    };
    host::end_after(LIMIT);
    report_only_unexpected_panics();
    println!(
        "{variant}: {} spawns from {} threads, seed {:#x}",
        size.spawns, size.threads, size.seed
    );
    let mut verdict = Verdict::default();
    run(size, &mut verdict);
    if verdict.broken == 0 {
        ExitCode::SUCCESS
    } else {
        println!("{} promises broken", verdict.broken);
        ExitCode::FAILURE
    }
}

/// What the panics of this program's own making say.
pub(crate) const ON_PURPOSE: &str = "on purpose";

/// Ten thousand reports of panics made on purpose would hide the one that is not.
fn report_only_unexpected_panics() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let is_expected = info.payload().is::<variants::Spiteful>()
            || info.payload().downcast_ref::<&str>() == Some(&ON_PURPOSE);
        if !is_expected {
            report(info);
        }
    }));
}

/// What was promised, and what was seen.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    broken: u32,
}

impl Verdict {
    pub(crate) fn check(&mut self, what: &str, holds: bool, seen: impl std::fmt::Display) {
        let word = if holds { "holds " } else { "BROKEN" };
        println!("{word}  {what}: {seen}");
        self.broken += u32::from(!holds);
    }
}
