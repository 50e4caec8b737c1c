//! The command line.

use crate::duration;
use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

/// What `--version` prints.
fn version() -> &'static str {
    static LINE: OnceLock<String> = OnceLock::new();
    LINE.get_or_init(rivix::info::version_line)
}

/// Runs riscv64 Linux programs on this host: no kernel module, no root, no virtual machine.
#[derive(Parser, Debug)]
#[command(
    name = "rivix",
    version = version(),
    disable_help_subcommand = true,
    after_help = "Without arguments, rivix runs a small program that it carries with it.\n\n\
        Examples:\n  \
        rivix run ./hello                         a static riscv64 program\n  \
        rivix run --root ./debian bash -c 'ls /'  one with its own files\n  \
        rivix run --strace ./hello                its system calls, as strace shows them\n  \
        rivix info ./hello                        what the file is, and whether it can run\n  \
        rivix doctor                              what of this host would not work",
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) task: Option<Task>,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Task {
    /// Run a riscv64 program
    Run(Box<RunArgs>),
    /// Say what a program file is, and whether it can run
    Info(InfoArgs),
    /// Say what of this host would not work, and the remedy
    Doctor,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Terminal, standard streams and exit status pass through. When PROG ends, the processes it left \
behind end too.

Signals sent to rivix (HUP, INT, QUIT, TERM, USR1, USR2, ALRM, VTALRM, PROF, PWR, WINCH, TSTP, \
CONT) reach PROG; the terminal's own keys and changes of its size reach the foreground job in \
PROG's session, and shells run jobs there as anywhere (fg, bg, Ctrl-Z). When PROG stops, so does \
rivix, until it is continued. Signals that rivix was started with as ignored, as by nohup, PROG \
ignores as well. KILL ends and STOP stops all at once.

Without --root, PROG sees the files that you see, and may do to them what you may do.

Exit status: that of PROG; 124 when the deadline passed, 125 when rivix itself failed, 126 when \
PROG cannot be executed, 127 when it is not found. When a signal ended PROG, the same signal ends \
rivix.

Examples:
  rivix run ./hello one two
  rivix run --root ./debian --cwd /tmp --clear-env --env PATH=/bin:/usr/bin bash
  rivix run --deadline 10s --stats ./compute
  rivix run --strace=trace.txt -- ./hello --its-own-option")]
pub(crate) struct RunArgs {
    /// Directory that is / for the guest
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub(crate) root: PathBuf,

    /// Working directory of the guest, inside its root [default: the caller's, or / with --root]
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<PathBuf>,

    /// Set a variable of the guest's environment (repeatable)
    #[arg(long = "env", value_name = "K=V")]
    pub(crate) env: Vec<OsString>,

    /// Start from an empty environment instead of the caller's
    #[arg(long)]
    pub(crate) clear_env: bool,

    /// Show system calls and signals as strace does, on stderr or in FILE
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    pub(crate) strace: Option<PathBuf>,

    /// Print counters on stderr at the end
    #[arg(long)]
    pub(crate) stats: bool,

    /// What executes guest instructions: interp
    #[arg(long, value_name = "ENGINE", default_value = rivix::Engine::DEFAULT_NAME)]
    pub(crate) engine: String,

    /// Whose system calls PROG makes: linux, or a teaching kernel's: rcore, ucore
    #[arg(long, value_name = "ABI", default_value = rivix::Abi::DEFAULT_NAME)]
    pub(crate) abi: String,

    /// Kill the guest after this time: 500ms, 10s, 2m, 1h
    #[arg(long, value_name = "T", value_parser = duration::parse)]
    pub(crate) deadline: Option<Duration>,

    /// Print nothing of our own but failures to start
    #[arg(long)]
    pub(crate) quiet: bool,

    /// For tests: let so many of a million creations of host threads fail, at random
    #[arg(long, value_name = "PER_MILLION", hide = true, default_value_t = 0)]
    pub(crate) fail_threads: u32,

    /// For tests: say at the end what is left of processes, threads, ids, memory and
    /// descriptors; status 125 if anything is
    #[arg(long, hide = true)]
    pub(crate) check_leaks: bool,

    /// The program; without a slash, it is looked up in the guest's PATH
    #[arg(value_name = "PROG", required = true)]
    pub(crate) program: OsString,

    /// Its arguments
    #[arg(
        value_name = "ARGS",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub(crate) args: Vec<OsString>,
}

#[derive(Args, Debug)]
pub(crate) struct InfoArgs {
    /// The program file
    #[arg(value_name = "PROG")]
    pub(crate) program: PathBuf,
}
