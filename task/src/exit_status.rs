//! How a process ended.

use rivix_abi::Signal;

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
