//! Failures of our own: one line on stderr and a status.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// What went wrong, as `<thing>: <what is wrong>; <remedy>`.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    pub(crate) fn new(thing: &str, what: impl std::fmt::Display, remedy: &str) -> Failure {
        Failure {
            message: format!("{thing}: {what}; {remedy}"),
            code: 125,
        }
    }

    pub(crate) fn of_path(path: &Path, what: impl std::fmt::Display, remedy: &str) -> Failure {
        Failure::new(&path.display().to_string(), what, remedy)
    }

    pub(crate) fn report(self) -> ExitCode {
        say(&self.message);
        ExitCode::from(self.code)
    }
}

impl From<rivix::Error> for Failure {
    fn from(error: rivix::Error) -> Failure {
        let code = u8::try_from(error.exit_code()).unwrap_or(125);
        Failure {
            message: error.to_string(),
            code,
        }
    }
}

/// One line on stderr. There is nowhere to tell of a failure to write it.
pub(crate) fn say(message: &str) {
    let _ = writeln!(std::io::stderr(), "rivix: {message}");
}

/// `--help` and `--version` are answers; anything else is a mistake in the arguments.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.render().to_string();
    let mut lines = text.trim_end().lines();
    let first = lines.next().unwrap_or_default();
    let first = first.strip_prefix("error: ").unwrap_or(first);
    let remedy = if first.contains("; ") {
        ""
    } else {
        "; see `rivix --help`"
    };
    say(&format!("{first}{remedy}"));
    for line in lines {
        let _ = writeln!(std::io::stderr(), "{line}");
    }
    ExitCode::from(125)
}
