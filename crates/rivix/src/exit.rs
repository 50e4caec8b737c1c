//! How a guest process ended.

use std::fmt;

/// Why a process ended, beyond what wait(2) tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExitReason {
    /// It ended by itself: exit, or a signal of the guest's own world.
    Guest,
    /// Its deadline passed.
    Deadline,
    /// It used up its instruction budget.
    InstructionBudget,
    /// [`Child::kill`](crate::Child::kill).
    Killed,
    /// Its [`Sandbox`](crate::Sandbox) was dropped.
    SandboxDropped,
    /// A defect of Rivix: please report it.
    Internal(String),
}

/// The exit status of a guest process: a code, or a signal; and the reason.
///
/// ```
/// # fn main() -> rivix::Result<()> {
/// let sandbox = rivix::Sandbox::builder().build()?;
/// let status = sandbox.demo().stdout(rivix::Stdio::null()).spawn()?.wait();
/// assert!(status.success());
/// assert_eq!((status.code(), status.signal()), (Some(0), None));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitStatus {
    /// As wait4(2) gives it.
    raw: i32,
    reason: ExitReason,
}

impl ExitStatus {
    pub(crate) fn new(raw: i32, reason: ExitReason) -> ExitStatus {
        ExitStatus { raw, reason }
    }

    /// Exited with code 0.
    pub fn success(&self) -> bool {
        self.code() == Some(0)
    }

    /// The exit code; None when a signal ended the process.
    pub fn code(&self) -> Option<i32> {
        (self.raw & 0x7f == 0).then_some((self.raw >> 8) & 0xff)
    }

    /// The signal that ended the process; None when it exited.
    pub fn signal(&self) -> Option<i32> {
        let signal = self.raw & 0x7f;
        (signal != 0).then_some(signal)
    }

    /// A native process would have dumped core. Rivix writes no core files.
    pub fn core_dumped(&self) -> bool {
        self.raw & 0x80 != 0
    }

    /// Why it ended.
    pub fn reason(&self) -> &ExitReason {
        &self.reason
    }

    /// The status word of wait4(2).
    pub fn into_raw(self) -> i32 {
        self.raw
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code(), self.signal()) {
            (Some(code), _) => write!(f, "exit status: {code}")?,
            (None, signal) => {
                let signal = signal.unwrap_or_default();
                write!(f, "signal: {signal} ({})", signal_name(signal))?;
                if self.core_dumped() {
                    f.write_str(" (core dumped)")?;
                }
            }
        }
        match &self.reason {
            ExitReason::Guest => Ok(()),
            ExitReason::Deadline => f.write_str(", its deadline passed"),
            ExitReason::InstructionBudget => f.write_str(", its instruction budget was used up"),
            ExitReason::Killed => f.write_str(", killed by its owner"),
            ExitReason::SandboxDropped => f.write_str(", its sandbox was dropped"),
            ExitReason::Internal(what) => write!(f, ", a defect of rivix: {what}"),
        }
    }
}

/// The name of a signal, as in `SIGSEGV`; real-time signals as `SIGRTMIN+n`
/// with the kernel's SIGRTMIN, 32.
pub fn signal_name(signal: i32) -> String {
    const NAMES: [&str; 32] = [
        "0", "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV",
        "USR2", "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU",
        "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ];
    match usize::try_from(signal) {
        Ok(n @ 1..=31) => format!("SIG{}", NAMES[n]),
        Ok(32) => "SIGRTMIN".to_string(),
        Ok(n @ 33..=64) => format!("SIGRTMIN+{}", n - 32),
        _ => format!("signal {signal}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_words_read_as_wait4_defines_them() {
        let check = |raw: i32, code, signal, core, text: &str| {
            let status = ExitStatus::new(raw, ExitReason::Guest);
            assert_eq!(
                (
                    status.code(),
                    status.signal(),
                    status.core_dumped(),
                    status.to_string().as_str()
                ),
                (code, signal, core, text)
            );
        };
        check(0, Some(0), None, false, "exit status: 0");
        check(0x2a00, Some(42), None, false, "exit status: 42");
        check(0xff00, Some(255), None, false, "exit status: 255");
        check(9, None, Some(9), false, "signal: 9 (SIGKILL)");
        check(
            0x8b,
            None,
            Some(11),
            true,
            "signal: 11 (SIGSEGV) (core dumped)",
        );
        check(34, None, Some(34), false, "signal: 34 (SIGRTMIN+2)");
    }
}
