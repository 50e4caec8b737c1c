//! Item 3: a C++ program and a pthread program, exact and without a hang, 50
//! times each. What the host's build prints is what is expected.

use anyhow::Result;
use rivix_testsuite::paths;
use rivix_testsuite::process::{self, Job};
use rivix_testsuite::toolchain::{Build, Machine};

use super::AcceptArgs;
use super::report::Report;
use crate::bench::Runner;

const RUNS: usize = 50;

pub(crate) fn show(report: &mut Report, _: &AcceptArgs) -> Result<()> {
    for (source, what) in [
        (
            "modern.cc",
            "std::thread, exceptions across frames, thread_local, iostreams",
        ),
        ("pthreads.c", "mutex, condvar, rwlock, barrier, cancel"),
    ] {
        let path = paths::testsuite().join("guests").join(source);
        let host = Build::new(&path, Machine::Host).program()?;
        let guest = Build::new(&path, Machine::Riscv64).program()?;
        let expected = process::run(&Job::new([host.as_os_str()]).limit(60))?;
        report.check(
            format!("{source} on the host"),
            expected.success(),
            expected.ending(),
        );
        let mut exact = 0;
        let mut slowest = 0.0f64;
        for run in 1..=RUNS {
            let words = Runner::rivix()
                .prefix
                .into_iter()
                .map(Into::into)
                .chain([guest.clone().into_os_string()]);
            let outcome = process::run(&Job::new::<std::ffi::OsString>(words).limit(30))?;
            slowest = slowest.max(outcome.wall.as_secs_f64());
            let same = outcome.stdout == expected.stdout && outcome.stderr == expected.stderr;
            if outcome.success() && same {
                exact += 1;
            } else {
                report.note(format!("run {run}: {}", outcome.ending()));
                report.note(outcome.err().lines().last().unwrap_or(""));
                if run - exact > 4 {
                    break;
                }
            }
        }
        report.check(
            format!("{source} ({what})"),
            exact == RUNS,
            format!("{exact} of {RUNS} runs exact, slowest {slowest:.2} s"),
        );
    }
    Ok(())
}
