//! `rivix run --check-leaks`, for the stress tests: what a guest that waited for
//! all it made leaves behind, and what the sandbox leaves behind when it has ended.

use rivix::{Sandbox, Stats};
use std::time::{Duration, Instant};

/// The last thread of a process is on its way out for a moment after its parent
/// was told.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the sandbox itself holds before anything runs in it.
#[derive(Clone, Copy)]
pub(crate) struct Baseline {
    host_fds: usize,
}

impl Baseline {
    pub(crate) fn of(sandbox: &Sandbox) -> Baseline {
        Baseline {
            host_fds: sandbox.stats().host_fds,
        }
    }
}

/// Guests that are there though their program's first process has ended.
#[derive(Clone, Copy, Default)]
pub(crate) struct Stray {
    processes: usize,
    threads: usize,
    ids: usize,
}

impl Stray {
    fn of(stats: &Stats) -> Stray {
        Stray {
            processes: stats.processes_now,
            threads: stats.threads_now,
            ids: stats.ids_now,
        }
    }

    fn is_none(self) -> bool {
        self.processes + self.threads + self.ids == 0
    }
}

/// Call it before the sandbox ends, which would kill them.
pub(crate) fn stray(sandbox: &Sandbox) -> Stray {
    let limit = Instant::now() + PATIENCE;
    loop {
        let stray = Stray::of(&sandbox.stats());
        if stray.is_none() || Instant::now() > limit {
            return stray;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Says on stderr what is left; true: nothing.
pub(crate) fn report(before: Baseline, stray: Stray, sandbox: &Sandbox, is_over: bool) -> bool {
    let stats = sandbox.stats();
    let counts = [
        (stray.processes, "processes"),
        (stray.threads, "threads"),
        (stray.ids, "ids"),
        (stats.windows, "windows"),
        (stats.host_mappings as usize, "mappings"),
        (
            stats.host_fds.saturating_sub(before.host_fds),
            "descriptors",
        ),
        (stats.host_threads, "host threads"),
        (stats.panics as usize, "defects"),
    ];
    let texts: Vec<String> = counts.map(|(n, what)| format!("{n} {what}")).into();
    eprintln!(
        "rivix: left over: {}; lived: {} processes, {} threads",
        texts.join(", "),
        stats.processes_created,
        stats.threads_created
    );
    #[cfg(feature = "kick-hooks")]
    {
        let (moved, caught) = rivix::testing::kicks_in_windows();
        eprintln!("rivix: kicks in windows: {moved} at host calls, {caught} at sleeps");
    }
    is_over && counts.iter().all(|(n, _)| *n == 0)
}
