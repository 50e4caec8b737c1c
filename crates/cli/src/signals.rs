//! Signals: those sent to `rivix` reach the guest, and one that ended the guest
//! ends `rivix`.

use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask};
use std::sync::Arc;

/// What is passed on. Faults (SEGV, BUS, ILL, FPE, TRAP, SYS) are never sent
/// to us on the guest's behalf; KILL and STOP cannot be caught; CHLD, URG and IO
/// tell of our own doings. TTIN and TTOU stop this process, and every guest with it:
/// it is the one that reads the terminal from the background.
const FORWARDED: [Signal; 13] = [
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
    Signal::SIGPWR,
];

fn forwarded() -> SigSet {
    FORWARDED.into_iter().collect()
}

/// Who gets a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// kill(2) means one process.
    Process,
    /// The terminal's keys mean the whole foreground group.
    Foreground,
    /// A shell's `fg` means every process of the job, which stopped as one.
    Job,
}

impl Target {
    fn of(signal: i32, code: i32) -> Target {
        match (signal, code) {
            (libc::SIGCONT, _) => Target::Job,
            (_, libc::SI_KERNEL) => Target::Foreground,
            _ => Target::Process,
        }
    }
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
                send(signal, Target::of(signal, code));
            }
        })?;
    Ok(())
}

/// Stops this process as its terminal's suspend key would, until SIGCONT.
pub(crate) fn stop_self() {
    let mut stop = SigSet::empty();
    stop.add(Signal::SIGTSTP);
    // The signal is held for the forwarding thread; here, for once, it is our own. It
    // is not ignored by us, or the guest would have inherited that and not stopped.
    let _ = pthread_sigmask(SigmaskHow::SIG_UNBLOCK, Some(&stop), None);
    let _ = nix::sys::signal::raise(Signal::SIGTSTP);
    let _ = pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&stop), None);
}

/// Is there a shell that would continue this process? Otherwise its process group
/// is orphaned, and the terminal does not stop those (setpgid(2)).
pub(crate) fn is_under_job_control() -> bool {
    use nix::unistd::{Pid, getpgid, getpgrp, getpid, getsid};
    let (group, session) = (getpgrp(), getsid(None));
    let mut pid = getpid();
    // Up to the first ancestor in another group: the others of a script's job.
    while let Some(parent) = parent_of(pid).filter(|parent| parent.as_raw() > 1) {
        match getpgid(Some(parent)) {
            Ok(other) if other == group => pid = parent,
            Ok(_) => return session.is_ok() && getsid(Some(parent)) == session,
            Err(_) => return false,
        }
    }
    return false;

    fn parent_of(pid: Pid) -> Option<Pid> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, fields) = stat.rsplit_once(')')?;
        fields
            .split_whitespace()
            .nth(1)?
            .parse()
            .ok()
            .map(Pid::from_raw)
    }
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
