//! What a task does between a trap and guest code: die, stop, take signals,
//! restart the interrupted call.

use super::actions::ignores;
use super::queue::Taken;
use super::state::Stop;
use crate::current::CurrentTask;
use crate::error::Restart;
use crate::exit_status::ExitStatus;
use crate::pids::{Process, Report};
use rivix_abi::signal::*;
use rivix_abi::{Errno, Signal};
use rivix_isa::reg;
use std::sync::atomic::Ordering;

/// a7 of restart_syscall(2).
const RESTART_SYSCALL: u64 = 128;

/// Does the task go on?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Run,
    Die,
}

impl CurrentTask {
    /// Everything that waits to be done before guest code runs again.
    pub(crate) fn before_guest_code(&mut self) -> Next {
        self.must_look.set(false);
        self.kick().clear();
        loop {
            if self.exiting.is_some() {
                return Next::Die;
            }
            let tid = self.tid();
            let mut signals = self.group().signals.lock();
            if signals.must_die(tid) {
                let killer = signals.killer.take();
                drop(signals);
                if let Some((signal, info)) = killer {
                    // It was not taken: it ended the process when it was sent.
                    self.tell_delivery(&info);
                    self.kernel().report_fatal(self, signal, &info);
                }
                return Next::Die;
            }
            if signals.stop.is_some() {
                drop(signals);
                self.stop_here();
                continue;
            }
            let allowed = signals.deliverable(tid);
            let taken = if allowed == 0 {
                None
            } else {
                signals.take(tid, allowed)
            };
            drop(signals);
            let Some(mut taken) = taken else {
                break;
            };
            if self.signal_taken(&mut taken) {
                self.deliver(taken.signal, taken.info);
            }
        }
        if let Some(mask) = self.saved_mask.take() {
            // No handler ran: the temporary mask ends here. What it hid is
            // looked at again.
            self.set_signal_mask(mask);
            if self.has_deliverable() {
                return self.before_guest_code();
            }
        }
        match self.restart.take() {
            None => {}
            Some(Restart::Block(_)) => {
                self.rewind();
                self.regs.x[reg::A7] = RESTART_SYSCALL;
            }
            Some(Restart::Sys | Restart::NoHand | Restart::NoIntr) => self.rewind(),
        }
        Next::Run
    }

    fn tell_delivery(&self, info: &SigInfo) {
        let kernel = self.kernel();
        kernel.stats().signals.fetch_add(1, Ordering::Relaxed);
        if let Some(tracer) = kernel.tracer() {
            tracer.signal(self, info);
        }
    }

    fn has_deliverable(&self) -> bool {
        self.group().signals.lock().has_work(self.tid())
    }

    /// Back to the ecall, with its first argument restored.
    fn rewind(&mut self) {
        self.regs.pc = self.regs.pc.wrapping_sub(4);
        self.regs.x[reg::A0] = self.saved_a0;
    }

    fn deliver(&mut self, signal: Signal, info: SigInfo) {
        let actions = self.group().actions();
        let action = actions.get(signal);
        if ignores(signal, &action) {
            return;
        }
        self.tell_delivery(&info);
        if action.handler == SIG_DFL || signal == Signal::SIGSTOP {
            match signal.default_action() {
                DefaultAction::Ignore | DefaultAction::Continue => {}
                DefaultAction::Stop => self.begin_stop(signal),
                kind @ (DefaultAction::Core | DefaultAction::Terminate) => {
                    self.kernel().report_fatal(self, signal, &info);
                    if kind == DefaultAction::Core {
                        self.dump_core(signal, &info);
                    } else {
                        let core = false;
                        self.group().begin_exit(ExitStatus::Signal { signal, core });
                    }
                }
            }
            return;
        }
        let flags = SigActionFlags::from_bits_truncate(action.flags);
        match self.restart.take() {
            None => {}
            Some(Restart::NoIntr) => self.rewind(),
            Some(Restart::Sys) if flags.contains(SigActionFlags::RESTART) => self.rewind(),
            Some(_) => self.regs.x[reg::A0] = Errno::EINTR.to_a0(),
        }
        if flags.contains(SigActionFlags::RESETHAND) {
            actions.set(
                signal,
                KSigAction {
                    handler: SIG_DFL,
                    ..action
                },
            );
        }
        self.rseq_before_signal(signal);
        let current = self.signal_mask();
        let saved = self.saved_mask.unwrap_or(current);
        if self.push_frame(signal, &info, &action, saved).is_err() {
            if signal == Signal::SIGSEGV {
                actions.set(
                    signal,
                    KSigAction {
                        handler: SIG_DFL,
                        ..action
                    },
                );
            }
            // A temporary mask goes on: SIGSEGV's own frame will hold the old one.
            self.force_signal(SigInfo::kernel(Signal::SIGSEGV));
            return;
        }
        self.saved_mask = None;
        let mut mask = current | action.mask;
        if !flags.contains(SigActionFlags::NODEFER) {
            mask |= signal.bit();
        }
        self.set_signal_mask(mask);
    }

    pub fn signal_mask(&self) -> u64 {
        self.group()
            .signals
            .lock()
            .threads
            .get(&self.tid())
            .map_or(0, |t| t.mask)
    }

    /// Sets the mask; what it uncovers is delivered before guest code runs.
    pub fn set_signal_mask(&self, mask: u64) {
        let mut signals = self.group().signals.lock();
        let tid = self.tid();
        let Some(thread) = signals.threads.get_mut(&tid) else {
            return;
        };
        let newly_blocked = mask & !thread.mask;
        thread.mask = mask & !UNBLOCKABLE;
        let pending = signals.shared.set();
        if signals.has_work(tid) {
            self.kick().kick();
        }
        // A process signal that waited for this thread goes to another one.
        if pending & newly_blocked != 0 {
            for thread in signals.threads.values() {
                if pending & newly_blocked & !thread.mask != 0 {
                    thread.task.kick().kick();
                }
            }
        }
    }

    /// ppoll, pselect6, epoll_pwait, sigsuspend: `mask` until the call is over
    /// and signals have been looked at. When a handler runs, it sees `mask`,
    /// and its return restores the old one.
    pub fn set_temporary_mask(&mut self, mask: u64) {
        let old = self.signal_mask();
        self.saved_mask = Some(old);
        self.set_signal_mask(mask);
    }

    /// The call succeeded, or failed otherwise than by a signal: the old mask at once.
    pub fn restore_mask(&mut self) {
        if let Some(mask) = self.saved_mask.take() {
            self.set_signal_mask(mask);
        }
    }

    /// Runs `call` under a temporary mask, when there is one. The old mask
    /// comes back at once unless a signal interrupted the call.
    pub fn with_temporary_mask<R>(
        &mut self,
        mask: Option<u64>,
        call: impl FnOnce(&mut Self) -> crate::SysResult<R>,
    ) -> crate::SysResult<R> {
        if let Some(mask) = mask {
            self.set_temporary_mask(mask);
        }
        let result = call(self);
        let is_interrupted = match &result {
            Err(crate::SysError::Restart(_)) => true,
            Err(crate::SysError::Errno(errno)) => *errno == Errno::EINTR,
            Ok(_) => false,
        };
        if !is_interrupted {
            self.restore_mask();
        }
        result
    }

    /// sigaction(2)'s setting half. What is ignored from now on is not pending;
    /// timers whose signal was ignored go on once it is not.
    pub fn set_action(&self, signal: Signal, action: KSigAction) -> KSigAction {
        let old = self.group().actions().set(signal, action);
        if ignores(signal, &action) {
            let timers = {
                let mut signals = self.group().signals.lock();
                signals.flush_everywhere(signal.bit())
            };
            self.group().timers_ignored(&timers);
        } else {
            self.group().timers_listened_to(self.kernel(), signal);
        }
        old
    }

    /// sigtimedwait(2) sleeps for `set`: its members wake although blocked.
    pub fn set_wanted_signals(&self, set: u64) {
        if let Some(thread) = self.group().signals.lock().threads.get_mut(&self.tid()) {
            thread.wanted = set & !UNBLOCKABLE;
        }
    }

    /// A stop signal's default action (setpgid(2), "orphaned process group").
    fn begin_stop(&mut self, signal: Signal) {
        if signal != Signal::SIGSTOP {
            let pids = self.kernel().pids.lock();
            let process = pids.processes.get(&self.pid());
            let orphaned = process.is_none_or(|p| pids.is_orphaned(p.pgid(), None));
            // Of what the embedder started, it is the parent in a session of its own.
            let is_ours = process.is_some_and(Process::is_embedders);
            if orphaned && !(is_ours && self.kernel().hooks().continues_stopped()) {
                return;
            }
        }
        let mut signals = self.group().signals.lock();
        // A SIGCONT since the signal was taken wins.
        let may_stop = std::mem::take(&mut signals.may_stop);
        if may_stop && signals.exit.is_none() && signals.stop.is_none() {
            signals.stop = Some(Stop {
                signal,
                is_reported: false,
            });
            signals.kick_all();
        }
    }

    /// Sleeps until the stop ends; the last thread to arrive reports it.
    fn stop_here(&self) {
        let tid = self.tid();
        let report = {
            let mut signals = self.group().signals.lock();
            if let Some(thread) = signals.threads.get_mut(&tid) {
                thread.is_stopped = true;
            }
            signals.stop_completed()
        };
        if let Some(signal) = report {
            self.kernel()
                .report_state(self.pid(), Report::Stopped(signal));
        }
        loop {
            {
                let mut signals = self.group().signals.lock();
                if signals.stop.is_none() || signals.must_die(tid) {
                    if let Some(thread) = signals.threads.get_mut(&tid) {
                        thread.is_stopped = false;
                    }
                    return;
                }
            }
            self.asleep(|| self.kick().park_until(None));
            self.kick().clear();
        }
    }
}

impl crate::Task {
    /// Signals pending for this thread, its process's included.
    pub fn pending_signals(&self) -> u64 {
        let signals = self.group().signals.lock();
        let own = signals
            .threads
            .get(&self.tid())
            .map_or(0, |t| t.pending.set());
        own | signals.shared.set()
    }

    /// Takes a pending signal of `set`, whatever the mask: sigtimedwait, signalfd.
    pub fn take_signal(&self, set: u64) -> Option<(Signal, SigInfo)> {
        loop {
            let taken = {
                let mut signals = self.group().signals.lock();
                signals.take(self.tid(), set & !UNBLOCKABLE)
            };
            let mut taken = taken?;
            if self.signal_taken(&mut taken) {
                return Some((taken.signal, taken.info));
            }
        }
    }

    /// What follows when a signal leaves its queue. False: it was of a timer that
    /// has been set anew meanwhile, and is nobody's.
    pub(crate) fn signal_taken(&self, taken: &mut Taken) -> bool {
        if let Some(key) = taken.timer {
            return self.timer_signal_taken(key, &mut taken.info);
        }
        if taken.is_shared && taken.signal == Signal::SIGALRM {
            self.alarm_taken();
        }
        true
    }
}

impl super::state::GroupSignals {
    /// The stop's signal, once, when every thread has stopped.
    pub(crate) fn stop_completed(&mut self) -> Option<Signal> {
        let all = self.threads.values().all(|t| t.is_stopped);
        match &mut self.stop {
            Some(stop) if all && !stop.is_reported => {
                stop.is_reported = true;
                Some(stop.signal)
            }
            _ => None,
        }
    }
}
