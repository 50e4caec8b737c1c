//! Signal dispositions (sigaction(2)).

use rivix_abi::Signal;
use rivix_abi::signal::{DefaultAction, KSigAction, SIG_DFL, SIG_IGN, SigActionFlags, UNBLOCKABLE};
use rivix_sync::{Mutex, level};

/// The dispositions that the threads of a process, or tasks made with
/// CLONE_SIGHAND, share.
pub struct SignalActions {
    table: Mutex<level::SignalActions, [KSigAction; 64]>,
}

impl Default for SignalActions {
    fn default() -> Self {
        SignalActions {
            table: Mutex::new([KSigAction::default(); 64]),
        }
    }
}

impl SignalActions {
    pub fn get(&self, signal: Signal) -> KSigAction {
        self.table.lock()[usize::from(signal.number() - 1)]
    }

    /// Sets a disposition and returns the old one. Unknown flags are cleared,
    /// and KILL and STOP leave the mask.
    pub fn set(&self, signal: Signal, mut action: KSigAction) -> KSigAction {
        action.flags = SigActionFlags::from_bits_truncate(action.flags).bits();
        action.mask &= !UNBLOCKABLE;
        let mut table = self.table.lock();
        std::mem::replace(&mut table[usize::from(signal.number() - 1)], action)
    }

    /// A copy for a new process.
    pub fn copy(&self) -> SignalActions {
        SignalActions {
            table: Mutex::new(*self.table.lock()),
        }
    }

    /// What execve(2) keeps: ignored stays ignored, handlers are dropped.
    pub fn for_exec(&self) -> SignalActions {
        let mut table = *self.table.lock();
        for action in &mut table {
            let handler = if action.handler == SIG_IGN {
                SIG_IGN
            } else {
                SIG_DFL
            };
            *action = KSigAction {
                handler,
                ..KSigAction::default()
            };
        }
        SignalActions {
            table: Mutex::new(table),
        }
    }

    /// Would `signal` do nothing, if it were delivered?
    pub fn is_ignored(&self, signal: Signal) -> bool {
        ignores(signal, &self.get(signal))
    }

    /// The masks of ignored and of caught signals, as /proc/PID/status shows them.
    pub fn masks(&self) -> (u64, u64) {
        let table = self.table.lock();
        let (mut ignored, mut caught) = (0, 0);
        for (at, action) in table.iter().enumerate() {
            match action.handler {
                SIG_DFL => {}
                SIG_IGN => ignored |= 1 << at,
                _ => caught |= 1 << at,
            }
        }
        (ignored, caught)
    }
}

pub(crate) fn ignores(signal: Signal, action: &KSigAction) -> bool {
    match action.handler {
        SIG_IGN => UNBLOCKABLE & signal.bit() == 0,
        // That SIGCONT continues is done when it is sent.
        SIG_DFL => matches!(
            signal.default_action(),
            DefaultAction::Ignore | DefaultAction::Continue
        ),
        _ => false,
    }
}
