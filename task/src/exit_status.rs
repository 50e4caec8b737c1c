//! How a process ended.

use rivix_abi::Signal;
use rivix_abi::signal::si_code;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    Code(u8),
    Signal { signal: Signal, core: bool },
}

impl ExitStatus {
    pub const KILLED: ExitStatus = ExitStatus::Signal {
        signal: Signal::SIGKILL,
        core: false,
    };

    /// siginfo's code (CLD_*) and status.
    pub(crate) fn child_code(self) -> (i32, i32) {
        match self {
            ExitStatus::Code(code) => (si_code::CLD_EXITED, i32::from(code)),
            ExitStatus::Signal { signal, core } => {
                let code = if core {
                    si_code::CLD_DUMPED
                } else {
                    si_code::CLD_KILLED
                };
                (code, i32::from(signal.number()))
            }
        }
    }

    /// wait(2)'s status word.
    pub fn wait_status(self) -> i32 {
        match self {
            ExitStatus::Code(code) => i32::from(code) << 8,
            ExitStatus::Signal { signal, core } => {
                i32::from(signal.number()) | if core { 0x80 } else { 0 }
            }
        }
    }
}
