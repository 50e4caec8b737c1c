//! Pending signals.

use rivix_abi::Signal;
use rivix_abi::signal::{SYNCHRONOUS, SigInfo};
use std::collections::VecDeque;

/// Pending signals of a task or a process. Numbers 1..=31 are held once;
/// 32..=64 queue in order of arrival.
#[derive(Default)]
pub struct SignalQueue {
    set: u64,
    infos: VecDeque<SigInfo>,
}

impl SignalQueue {
    pub fn set(&self) -> u64 {
        self.set
    }

    pub fn len(&self) -> usize {
        self.infos.len()
    }

    pub fn is_empty(&self) -> bool {
        self.infos.is_empty()
    }

    /// False when it is an ordinary signal that is pending already.
    pub fn push(&mut self, signal: Signal, info: SigInfo) -> bool {
        if !signal.is_realtime() && self.set & signal.bit() != 0 {
            return false;
        }
        self.set |= signal.bit();
        self.infos.push_back(info);
        true
    }

    /// As `push`, but each entry counts: a timer's expiry is its own.
    pub fn push_always(&mut self, signal: Signal, info: SigInfo) {
        self.set |= signal.bit();
        self.infos.push_back(info);
    }

    /// The next of the signals in `allowed`: synchronous faults, then the lowest number.
    pub fn next(&self, allowed: u64) -> Option<Signal> {
        let ready = self.set & allowed;
        let faults = ready & SYNCHRONOUS;
        Signal::of_mask(if faults != 0 { faults } else { ready }).next()
    }

    /// Takes the oldest entry of `signal`.
    pub fn take(&mut self, signal: Signal) -> Option<SigInfo> {
        let number = i32::from(signal.number());
        let at = self.infos.iter().position(|info| info.signo == number)?;
        let info = self.infos.remove(at);
        if !self.infos.iter().any(|info| info.signo == number) {
            self.set &= !signal.bit();
        }
        info
    }

    /// Drops every pending signal in `mask`.
    pub fn flush(&mut self, mask: u64) {
        if self.set & mask == 0 {
            return;
        }
        self.set &= !mask;
        self.infos
            .retain(|info| Signal::new(i64::from(info.signo)).is_none_or(|s| mask & s.bit() == 0));
    }

    /// Drops entries that `unwanted` names (a deleted timer's).
    pub fn retain(&mut self, mut keep: impl FnMut(&SigInfo) -> bool) {
        self.infos.retain(|info| keep(info));
        self.set = self
            .infos
            .iter()
            .filter_map(|info| Signal::new(i64::from(info.signo)))
            .fold(0, |set, s| set | s.bit());
    }
}

#[cfg(all(test, not(rivix_model)))]
mod tests {
    use super::*;

    /// Pushes by number, then takes everything allowed; numbers with the order of arrival.
    fn check(pushed: &[u8], allowed: u64, expect: &[(u8, u64)]) {
        let mut queue = SignalQueue::default();
        for (at, &number) in pushed.iter().enumerate() {
            let signal = Signal::new(number.into()).unwrap();
            let mut info = SigInfo::new(signal, 0);
            info.fields[1] = at as u64;
            queue.push(signal, info);
        }
        let mut got = Vec::new();
        while let Some(signal) = queue.next(allowed) {
            let info = queue.take(signal).unwrap();
            got.push((signal.number(), info.fields[1]));
        }
        assert_eq!(got, expect);
        assert_eq!(queue.set() & allowed, 0);
    }

    #[test]
    fn ordinary_collapse_and_realtime_queue() {
        check(
            &[10, 10, 40, 40, 40],
            u64::MAX,
            &[(10, 0), (40, 2), (40, 3), (40, 4)],
        );
        check(&[15, 2, 11], u64::MAX, &[(11, 2), (2, 1), (15, 0)]);
        check(&[15, 2], !(1 << 1), &[(15, 0)]);
    }

    #[test]
    fn flush_empties_the_set() {
        let mut queue = SignalQueue::default();
        queue.push(Signal::SIGTSTP, SigInfo::kernel(Signal::SIGTSTP));
        queue.push(Signal::SIGINT, SigInfo::kernel(Signal::SIGINT));
        queue.flush(rivix_abi::signal::STOP_SIGNALS);
        assert_eq!(queue.set(), Signal::SIGINT.bit());
        assert_eq!(queue.len(), 1);
    }
}
