//! Pending signals.

use super::room::Room;
use rivix_abi::Signal;
use rivix_abi::signal::{SYNCHRONOUS, SigInfo, si_code};
use std::collections::VecDeque;

/// Which expiry a timer's signal is of: the timer, and how often it had been set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerKey {
    pub(crate) id: i32,
    pub(crate) setting: u64,
}

/// One entry of a queue.
pub(crate) struct Pending {
    pub(crate) info: SigInfo,
    /// A POSIX timer sent it, which goes on when it is taken.
    pub(crate) timer: Option<TimerKey>,
    /// Its share of RLIMIT_SIGPENDING; a timer has its own.
    pub(crate) room: Option<Room>,
}

impl Pending {
    pub(crate) fn new(info: SigInfo) -> Pending {
        Pending {
            info,
            timer: None,
            room: None,
        }
    }
}

/// A signal that was taken from its queue.
pub(crate) struct Taken {
    pub(crate) signal: Signal,
    pub(crate) info: SigInfo,
    pub(crate) timer: Option<TimerKey>,
    /// It was sent to the process, not to the thread.
    pub(crate) is_shared: bool,
}

/// Pending signals of a task or a process. Numbers 1..=31 are held once;
/// 32..=64 queue in order of arrival.
#[derive(Default)]
pub struct SignalQueue {
    set: u64,
    entries: VecDeque<Pending>,
}

impl SignalQueue {
    pub fn set(&self) -> u64 {
        self.set
    }

    /// Adds an entry. Whether an ordinary signal pends already is for the caller to ask.
    pub(crate) fn push(&mut self, signal: Signal, entry: Pending) {
        self.set |= signal.bit();
        self.entries.push_back(entry);
    }

    /// Makes a signal pend that says nothing of its sender: there was no room to queue it.
    pub(crate) fn mark(&mut self, signal: Signal) {
        self.set |= signal.bit();
    }

    /// The next of the signals in `allowed`: synchronous faults, then the lowest number.
    pub fn next(&self, allowed: u64) -> Option<Signal> {
        let ready = self.set & allowed;
        let faults = ready & SYNCHRONOUS;
        Signal::of_mask(if faults != 0 { faults } else { ready }).next()
    }

    /// The oldest fault among the signals in `allowed` that an instruction of the thread
    /// caused: its handler must find the pc there, so it goes before whatever was sent.
    pub(crate) fn next_fault(&self, allowed: u64) -> Option<Signal> {
        let wanted = self.set & allowed & SYNCHRONOUS;
        if wanted == 0 {
            return None;
        }
        let signals = self.entries.iter().filter(|e| e.info.code > si_code::USER);
        signals
            .filter_map(|e| Signal::new(i64::from(e.info.signo)))
            .find(|signal| wanted & signal.bit() != 0)
    }

    /// Takes the oldest entry of `signal`; None when it does not pend.
    pub(crate) fn take(&mut self, signal: Signal) -> Option<Pending> {
        if self.set & signal.bit() == 0 {
            return None;
        }
        let number = i32::from(signal.number());
        let is_its = |entry: &Pending| entry.info.signo == number;
        let at = self.entries.iter().position(is_its);
        let taken = at.and_then(|at| self.entries.remove(at));
        // The one taken was the first.
        if !self.entries.iter().skip(at.unwrap_or(0)).any(is_its) {
            self.set &= !signal.bit();
        }
        // It was only marked: from nobody.
        Some(
            taken
                .unwrap_or_else(|| Pending::new(SigInfo::from_sender(signal, si_code::USER, 0, 0))),
        )
    }

    /// Drops every pending signal in `mask`; the timers whose signals these were.
    pub(crate) fn flush(&mut self, mask: u64) -> Vec<TimerKey> {
        if self.set & mask == 0 {
            return Vec::new();
        }
        self.set &= !mask;
        let mut timers = Vec::new();
        self.entries.retain(|entry| {
            let signal = Signal::new(i64::from(entry.info.signo));
            let is_kept = signal.is_none_or(|s| mask & s.bit() == 0);
            if !is_kept {
                timers.extend(entry.timer);
            }
            is_kept
        });
        timers
    }

    /// Drops what timers sent: one's, or of all (None).
    pub(crate) fn drop_timer(&mut self, id: Option<i32>) {
        let is_of = |entry: &Pending| {
            let timer = entry.timer.as_ref();
            timer.is_some_and(|key| id.is_none_or(|id| id == key.id))
        };
        let mut gone = 0;
        self.entries.retain(|entry| {
            if is_of(entry) {
                gone |= 1u64 << ((entry.info.signo - 1) & 63);
            }
            !is_of(entry)
        });
        let left = self.entries.iter().fold(0, |set, entry| {
            set | Signal::new(i64::from(entry.info.signo)).map_or(0, Signal::bit)
        });
        self.set &= !gone | left;
    }
}

#[cfg(all(test, not(rivix_model)))]
mod tests {
    use super::*;

    fn entry(signal: Signal, value: u64) -> Pending {
        let mut info = SigInfo::new(signal, 0);
        info.fields[1] = value;
        Pending::new(info)
    }

    /// Pushes by number, then takes everything allowed; numbers with the order of arrival.
    fn check(pushed: &[u8], allowed: u64, expect: &[(u8, u64)]) {
        let mut queue = SignalQueue::default();
        for (at, &number) in pushed.iter().enumerate() {
            let signal = Signal::new(number.into()).unwrap();
            queue.push(signal, entry(signal, at as u64));
        }
        let mut got = Vec::new();
        while let Some(signal) = queue.next(allowed) {
            let info = queue.take(signal).unwrap().info;
            got.push((signal.number(), info.fields[1]));
        }
        assert_eq!(got, expect);
        assert_eq!(queue.set() & allowed, 0);
    }

    #[test]
    fn faults_then_numbers_then_arrival() {
        check(
            &[10, 40, 40, 40],
            u64::MAX,
            &[(10, 0), (40, 1), (40, 2), (40, 3)],
        );
        check(&[15, 2, 11], u64::MAX, &[(11, 2), (2, 1), (15, 0)]);
        check(&[15, 2], !(1 << 1), &[(15, 0)]);
    }

    #[test]
    fn a_mark_is_taken_once_after_what_was_queued() {
        let signal = Signal::new(40).unwrap();
        let mut queue = SignalQueue::default();
        queue.mark(signal);
        assert_eq!(queue.take(signal).map(|e| e.info.pid()), Some(0));
        assert!(queue.take(signal).is_none());
        queue.push(signal, entry(signal, 5));
        queue.mark(signal);
        assert_eq!(queue.take(signal).map(|e| e.info.fields[1]), Some(5));
        assert!(queue.take(signal).is_none());
    }

    #[test]
    fn a_fault_goes_before_what_was_sent() {
        let mut queue = SignalQueue::default();
        let sent = SigInfo::from_sender(Signal::SIGTRAP, si_code::TKILL, 1, 0);
        queue.push(Signal::SIGTRAP, Pending::new(sent));
        assert_eq!(queue.next_fault(u64::MAX), None);
        let fault = SigInfo::fault(Signal::SIGSEGV, si_code::SEGV_MAPERR, 8);
        queue.push(Signal::SIGSEGV, Pending::new(fault));
        assert_eq!(queue.next_fault(u64::MAX), Some(Signal::SIGSEGV));
        assert_eq!(queue.next_fault(!Signal::SIGSEGV.bit()), None);
    }

    #[test]
    fn flush_empties_the_set() {
        let mut queue = SignalQueue::default();
        queue.push(Signal::SIGTSTP, entry(Signal::SIGTSTP, 0));
        queue.push(Signal::SIGINT, entry(Signal::SIGINT, 0));
        queue.flush(rivix_abi::signal::STOP_SIGNALS);
        assert_eq!(queue.set(), Signal::SIGINT.bit());
        assert!(queue.take(Signal::SIGTSTP).is_none());
    }

    #[test]
    fn a_timers_entries_go_and_others_stay() {
        let mut queue = SignalQueue::default();
        let mut timers = entry(Signal::SIGUSR1, 1);
        timers.timer = Some(TimerKey { id: 3, setting: 1 });
        queue.push(Signal::SIGUSR1, timers);
        queue.push(Signal::SIGUSR2, entry(Signal::SIGUSR2, 2));
        queue.mark(Signal::SIGHUP);
        queue.drop_timer(Some(4));
        assert_eq!(queue.set().count_ones(), 3);
        queue.drop_timer(Some(3));
        assert_eq!(queue.set(), Signal::SIGUSR2.bit() | Signal::SIGHUP.bit());
    }
}
