//! What can go wrong on our side. Each error names the thing, what is wrong
//! with it, and what to do; the program prints `rivix: ` and the error.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

/// Exit status of the program when Rivix itself failed.
pub const EXIT_INTERNAL: i32 = 125;
/// Exit status of the program when PROG exists but cannot be executed.
pub const EXIT_NOT_EXECUTABLE: i32 = 126;
/// Exit status of the program when PROG is not found.
pub const EXIT_NOT_FOUND: i32 = 127;

/// Why something could not be started or asked.
///
/// ```
/// let error = rivix::Sandbox::builder().root("/no/such/dir").build().unwrap_err();
/// assert!(error.to_string().starts_with("/no/such/dir: "));
/// assert_eq!(error.exit_code(), 125);
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The host is too old or has another page size.
    #[error("this host: {what}; {remedy}")]
    Host { what: String, remedy: &'static str },

    /// The host refused something Rivix needs to start a sandbox.
    #[error("{what}: {source}; {remedy}")]
    HostRefused {
        what: &'static str,
        source: io::Error,
        remedy: &'static str,
    },

    /// The root directory cannot be opened.
    #[error("{}: cannot be the guest's root: {source}; name a directory you may read", path.display())]
    Root { path: PathBuf, source: io::Error },

    /// The root exists and is something else.
    #[error("{}: cannot be the guest's root: not a directory; name a directory", path.display())]
    RootNotDirectory { path: PathBuf },

    /// The working directory does not exist in the guest.
    #[error("{}: cannot be the guest's working directory: {source}; name a directory inside the guest's root", path.display())]
    WorkingDirectory { path: PathBuf, source: io::Error },

    /// No such engine.
    #[error("{name}: unknown engine; the engines are: {known}")]
    UnknownEngine { name: String, known: String },

    /// No such personality.
    #[error("{name}: unknown ABI; choose one of: {known}")]
    UnknownAbi { name: String, known: String },

    /// PROG does not exist.
    #[error("{}: not found{}; {}", program.display(), where_searched(searched), remedy_not_found(searched))]
    ProgramNotFound {
        program: PathBuf,
        /// The guest's PATH, when the name was looked up there.
        searched: Option<OsString>,
    },

    /// PROG exists; it is a directory, not marked executable, or not a program for this machine.
    #[error("{}: {what}; {remedy}", program.display())]
    NotExecutable {
        program: PathBuf,
        what: String,
        remedy: String,
    },

    /// PROG cannot be loaded for lack of something else: memory, descriptors, or a damaged file.
    #[error("{}: {what}; {remedy}", program.display())]
    Load {
        program: PathBuf,
        what: String,
        remedy: String,
    },

    /// Arguments and environment are larger than the guest's stack limit allows.
    #[error("{}: arguments and environment are too long; pass fewer, or through a file", program.display())]
    ArgumentsTooLong { program: PathBuf },

    /// An argument or environment entry that no program could receive.
    #[error("{thing}: {what}; {remedy}")]
    BadArgument {
        thing: String,
        what: &'static str,
        remedy: &'static str,
    },

    /// A stream of the child could not be made.
    #[error("{stream}: {source}; raise the limit of open files (ulimit -n) or close some")]
    Stream {
        stream: &'static str,
        source: io::Error,
    },

    /// A thread or process could not be made.
    #[error(
        "new guest process: {source}; raise the limit of processes (ulimit -u) or of memory, or stop other sandboxes"
    )]
    Spawn { source: io::Error },

    /// The child has already been waited for, or its sandbox is gone.
    #[error("process {pid}: no longer running; signals reach running processes only")]
    NoSuchProcess { pid: i32 },

    /// Not a signal number of Linux.
    #[error("signal {number}: no such signal; use 1 to 64")]
    BadSignal { number: i32 },
}

impl Error {
    /// The status with which the `rivix` program ends for this error, as env(1)
    /// and sh(1) do it: 127 not found, 126 not executable, 125 anything else.
    pub fn exit_code(&self) -> i32 {
        match self {
            Error::ProgramNotFound { .. } => EXIT_NOT_FOUND,
            Error::NotExecutable { .. } | Error::ArgumentsTooLong { .. } => EXIT_NOT_EXECUTABLE,
            _ => EXIT_INTERNAL,
        }
    }
}

/// Everything here returns this.
pub type Result<T, E = Error> = std::result::Result<T, E>;

fn where_searched(searched: &Option<OsString>) -> String {
    match searched {
        None => String::new(),
        Some(path) => format!(" in the guest's PATH ({})", path.display()),
    }
}

fn remedy_not_found(searched: &Option<OsString>) -> &'static str {
    match searched {
        None => "check the path; with a root, it is looked up inside the root",
        Some(_) => "name it with a slash (./PROG), or set PATH for the guest",
    }
}
