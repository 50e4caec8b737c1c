//! Signals: those sent to `rivix` reach the guest, and one that ended the guest
//! ends `rivix`.

use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask};
use std::sync::Arc;

/// What is passed on. Faults (SEGV, BUS, ILL, FPE, TRAP, SYS) are never sent
/// to us on the guest's behalf; KILL and STOP cannot be caught; CHLD, URG and IO
/// tell of our own doings.
const FORWARDED: [Signal; 14] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
    Signal::SIGVTALRM,
    Signal::SIGPROF,
    Signal::SIGWINCH,
    Signal::SIGCONT,
    Signal::SIGTSTP,
    Signal::SIGTTIN,
    Signal::SIGPWR,
];

fn forwarded() -> SigSet {
    FORWARDED.into_iter().collect()
}

/// Who gets a signal: the terminal signals the whole foreground group, kill(2)
/// one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Process,
    Group,
}

/// Blocks the forwarded signals in this thread and those it makes. Called
/// before any other thread exists, so that only the thread of [`forward`] takes them.
/// Returns those the caller had ignored (nohup(1)): the guest should inherit that.
pub(crate) fn hold() -> Vec<i32> {
    let set = forwarded();
    // The set holds valid signals only, so this cannot fail.
    let _ = pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&set), None);
    FORWARDED
        .into_iter()
        .filter(|&signal| is_ignored(signal))
        .map(|s| s as i32)
        .collect()
}

fn is_ignored(signal: Signal) -> bool {
    // SAFETY: C1, a null new action only reads; `old` is plain bytes that the
    // kernel fills.
    unsafe {
        let mut old: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal as i32, std::ptr::null(), &mut old) == 0
            && old.sa_sigaction == libc::SIG_IGN
    }
}

/// Passes signals on until the program ends.
pub(crate) fn forward(send: impl Fn(i32, Target) + Send + 'static) -> std::io::Result<()> {
    let set = Arc::new(forwarded());
    std::thread::Builder::new()
        .name("rivix-signals".into())
        .spawn(move || {
            loop {
                // SAFETY: C1, the set outlives the call and `info` is plain bytes
                // that the kernel fills.
                let (signal, code) = unsafe {
                    let mut info: libc::siginfo_t = std::mem::zeroed();
                    let signal = libc::sigwaitinfo(set.as_ref().as_ref(), &mut info);
                    (signal, info.si_code)
                };
                if signal <= 0 {
                    continue;
                }
                let target = if code == libc::SI_KERNEL {
                    Target::Group
                } else {
                    Target::Process
                };
                send(signal, target);
            }
        })?;
    Ok(())
}

/// Stops this process as job control would, until SIGCONT.
pub(crate) fn stop_self() {
    let _ = nix::sys::signal::raise(Signal::SIGSTOP);
}

/// Ends this process by `signal`, without a core file of ours. Returns only
/// when that is impossible.
pub(crate) fn die_by(signal: i32) {
    use nix::sys::resource::{Resource, setrlimit};
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    // SAFETY: C1, the default action replaces a handler; the mask is plain bytes.
    // The process ends in raise, or goes on to exit.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, signal);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut());
        libc::raise(signal);
    }
}
