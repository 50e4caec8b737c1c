//! Core files (core(5)).

use crate::current::CurrentTask;
use crate::exit_status::ExitStatus;
use rivix_abi::Signal;
use rivix_abi::signal::SigInfo;

/// A core file in the making.
pub(crate) struct Gather {
    /// The process was killed meanwhile.
    pub(crate) is_given_up: bool,
}

impl CurrentTask {
    /// A signal's default action that ends the process and dumps it.
    pub(crate) fn dump_core(&mut self, signal: Signal, _info: &SigInfo) {
        let core = false;
        self.group().begin_exit(ExitStatus::Signal { signal, core });
    }
}
