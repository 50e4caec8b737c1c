//! Host calls that may block, made so that a kick is never lost.
//!
//! The call is one assembly window: look at the kick word, then `syscall`. A
//! kick that lands before the look is seen by it. One that lands inside the
//! window, `syscall` included but not yet entered, raises a signal whose handler
//! moves the program counter to the abort exit. One that lands while the kernel
//! blocks makes the kernel return EINTR, as the handler has no SA_RESTART. The
//! instruction after `syscall` is outside the window, so a call that completed
//! keeps its result.
//!
//! # Invariants
//! - **H1** the kick handler touches only the saved program counter, and only
//!   when it lies inside the window.
//! - **H2** a kicker signals a thread only while the thread's id stands in
//!   [`Kick::in_host_call`]; a late signal finds a program counter outside the
//!   window and does nothing.

use crate::{Kick, hooks};
use std::cell::RefCell;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

/// How an interruptible host call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostError {
    /// The kick word was set before the call had any effect.
    Kicked,
    /// The host's errno.
    Errno(i32),
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<Kick>>> = const { RefCell::new(None) };
}

// With the tests' hooks the window lasts longer. The loop uses a register that
// `syscall` overwrites.
#[cfg(feature = "kick-hooks")]
macro_rules! delay {
    () => {
        "mov r11d, [rip + rivix_hostcall_delay]
        2:
        test r11d, r11d
        jz 3f
        dec r11d
        pause
        jmp 2b
        3:"
    };
}

#[cfg(not(feature = "kick-hooks"))]
macro_rules! delay {
    () => {
        ""
    };
}

// SysV arguments: word, nr, a0, a1, a2, a3, and a4, a5 on the stack. -512 is
// ERESTARTSYS, which the kernel never returns to user space.
std::arch::global_asm!(
    ".pushsection .text.rivix_hostcall, \"ax\", @progbits",
    ".hidden rivix_hostcall_begin",
    ".hidden rivix_hostcall_end",
    ".hidden rivix_hostcall_abort",
    ".globl rivix_hostcall_begin",
    ".globl rivix_hostcall_end",
    ".globl rivix_hostcall_abort",
    ".globl rivix_hostcall",
    ".hidden rivix_hostcall",
    ".type rivix_hostcall, @function",
    "rivix_hostcall:",
    ".cfi_startproc",
    "push rbx",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset rbx, -16",
    "mov rbx, rdi",
    "mov rax, rsi",
    "mov rdi, rdx",
    "mov rsi, rcx",
    "mov rdx, r8",
    "mov r10, r9",
    "mov r8, [rsp + 16]",
    "mov r9, [rsp + 24]",
    "rivix_hostcall_begin:",
    "cmp dword ptr [rbx], 0",
    "jne rivix_hostcall_abort",
    delay!(),
    "syscall",
    "rivix_hostcall_end:",
    "pop rbx",
    ".cfi_remember_state",
    ".cfi_def_cfa_offset 8",
    "ret",
    ".cfi_restore_state",
    "rivix_hostcall_abort:",
    "mov rax, -512",
    "pop rbx",
    ".cfi_def_cfa_offset 8",
    "ret",
    ".cfi_endproc",
    ".size rivix_hostcall, . - rivix_hostcall",
    ".popsection",
);

unsafe extern "C" {
    fn rivix_hostcall(
        word: *const AtomicU32,
        nr: usize,
        a0: usize,
        a1: usize,
        a2: usize,
        a3: usize,
        a4: usize,
        a5: usize,
    ) -> isize;
    static rivix_hostcall_begin: u8;
    static rivix_hostcall_end: u8;
    static rivix_hostcall_abort: u8;
}

/// Turns of the loop in the window.
#[cfg(feature = "kick-hooks")]
#[unsafe(no_mangle)]
static rivix_hostcall_delay: AtomicU32 = AtomicU32::new(0);

const ABORTED: isize = -512;

/// Makes host call `nr`. When this thread runs a task (see [`Kick::enter_thread`])
/// the call ends with [`HostError::Kicked`] as soon as the task is kicked; a
/// call that already took effect keeps its result. A thread without a task makes
/// a plain call, repeated on EINTR.
///
/// # Safety
/// The caller vouches for the arguments as for any raw host call: pointers are
/// valid for what the call does with them.
pub unsafe fn interruptible(nr: i64, args: [usize; 6]) -> Result<usize, HostError> {
    static NEVER: AtomicU32 = AtomicU32::new(0);
    let kick = Kick::current();
    let word = kick.as_ref().map_or(&NEVER, |kick| kick.word());
    #[cfg(feature = "kick-hooks")]
    rivix_hostcall_delay.store(
        crate::hooks::delay().load(Ordering::Relaxed),
        Ordering::Relaxed,
    );
    let _inside = kick.as_ref().map(|kick| Inside::enter(kick));
    loop {
        let [a0, a1, a2, a3, a4, a5] = args;
        // SAFETY: the word outlives the call (held by `kick`); the arguments are the caller's.
        let result = unsafe { rivix_hostcall(word, nr as usize, a0, a1, a2, a3, a4, a5) };
        match result {
            // Our kick; or a late one for an earlier owner of this thread's id, or
            // a signal of the embedder's that concerns no guest: then once more.
            error if error == ABORTED || error == -(libc::EINTR as isize) => {
                if word.load(Ordering::SeqCst) != 0 {
                    return Err(HostError::Kicked);
                }
            }
            error @ -4095..=-1 => return Err(HostError::Errno(-error as i32)),
            value => return Ok(value as usize),
        }
    }
}

/// Names this thread as blocking, for kickers, until dropped.
struct Inside<'a>(&'a Kick);

impl<'a> Inside<'a> {
    fn enter(kick: &'a Kick) -> Self {
        thread_local! {
            // SAFETY: gettid has no preconditions.
            static TID: u32 = unsafe { libc::gettid() } as u32;
        }
        // Published before the window looks at the word, so that a kicker which
        // sets the word after that look sees the id.
        kick.in_host_call
            .store(TID.with(|tid| *tid), Ordering::SeqCst);
        Inside(kick)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.in_host_call.store(0, Ordering::SeqCst);
    }
}

/// The signal that interrupts host calls, once chosen; 0 before.
static KICK_SIGNAL: AtomicI32 = AtomicI32::new(0);

/// Why no kick signal could be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoKickSignal;

/// Chooses a free real-time signal and installs its handler, once per process.
/// Gives its number.
pub fn install() -> Result<i32, NoKickSignal> {
    static CHOSEN: OnceLock<Result<i32, NoKickSignal>> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        // The highest are the least used by others (libraries count up from SIGRTMIN).
        for signal in (libc::SIGRTMIN()..libc::SIGRTMAX()).rev() {
            if install_on(signal) {
                KICK_SIGNAL.store(signal, Ordering::SeqCst);
                return Ok(signal);
            }
        }
        Err(NoKickSignal)
    })
}

/// Takes `signal` if nobody has it.
fn install_on(signal: i32) -> bool {
    // SAFETY: plain sigaction calls with initialised structures; the handler obeys H1.
    unsafe {
        let mut old: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(signal, std::ptr::null(), &mut old) != 0
            || old.sa_sigaction != libc::SIG_DFL
        {
            return false;
        }
        let mut new: libc::sigaction = std::mem::zeroed();
        new.sa_sigaction = on_kick as *const () as usize;
        // No SA_RESTART: a blocked call must come back.
        new.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigemptyset(&mut new.sa_mask);
        libc::sigaction(signal, &new, std::ptr::null_mut()) == 0
    }
}

extern "C" fn on_kick(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: H1; with SA_SIGINFO the kernel passes a ucontext; the symbols' addresses are code.
    unsafe {
        let context = &mut *context.cast::<libc::ucontext_t>();
        let pc = &mut context.uc_mcontext.gregs[libc::REG_RIP as usize];
        let begin = &raw const rivix_hostcall_begin as i64;
        let end = &raw const rivix_hostcall_end as i64;
        if (begin..end).contains(pc) && hooks::has_fixup() {
            hooks::count_moved();
            *pc = &raw const rivix_hostcall_abort as i64;
        }
    }
}

/// Signals `tid` of this process, if a handler is installed.
pub(crate) fn signal_thread(tid: u32) {
    let signal = KICK_SIGNAL.load(Ordering::SeqCst);
    if signal != 0 {
        // SAFETY: no memory is involved; H2 makes a late signal harmless.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), tid, signal) };
    }
}

/// Ends this thread's tie to a task when dropped.
pub struct ThreadKick {
    outer: Option<Arc<Kick>>,
}

impl Drop for ThreadKick {
    fn drop(&mut self) {
        let outer = self.outer.take();
        let _ = CURRENT.try_with(|current| current.replace(outer));
    }
}

impl Kick {
    /// Makes `kick` the one that interrupts this thread's host calls, until the
    /// guard is dropped. Unblocks the kick signal in this thread.
    pub fn enter_thread(kick: &Arc<Kick>) -> ThreadKick {
        if let Ok(signal) = install() {
            // SAFETY: sigset operations on an initialised local set.
            unsafe {
                let mut set: libc::sigset_t = std::mem::zeroed();
                libc::sigemptyset(&mut set);
                libc::sigaddset(&mut set, signal);
                libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut());
            }
        }
        let outer = CURRENT.with(|current| current.replace(Some(kick.clone())));
        ThreadKick { outer }
    }

    /// The kick of the task that this thread runs, if any.
    pub fn current() -> Option<Arc<Kick>> {
        CURRENT
            .try_with(|current| current.borrow().clone())
            .ok()
            .flatten()
    }
}

#[cfg(all(test, not(rivix_model)))]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn pipe() -> [i32; 2] {
        let mut ends = [0; 2];
        // SAFETY: the array has room for two descriptors.
        assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
        ends
    }

    fn read_byte(fd: i32) -> Result<usize, HostError> {
        let mut byte = 0u8;
        let args = [fd as usize, &raw mut byte as usize, 1, 0, 0, 0];
        // SAFETY: one writable byte.
        unsafe { interruptible(libc::SYS_read, args) }
    }

    fn close(ends: [i32; 2]) {
        for fd in ends {
            // SAFETY: closes what this test opened.
            unsafe { libc::close(fd) };
        }
    }

    #[test]
    fn a_kick_before_the_call_is_seen_by_it() {
        let kick = Arc::new(Kick::new());
        let _tie = Kick::enter_thread(&kick);
        let ends = pipe();
        kick.kick();
        assert_eq!(read_byte(ends[0]), Err(HostError::Kicked));
        close(ends);
    }

    #[test]
    fn a_host_error_is_passed_on() {
        assert_eq!(read_byte(-1), Err(HostError::Errno(libc::EBADF)));
    }

    /// A number from the environment, for longer runs.
    fn scale(variable: &str, default: u64) -> u64 {
        let set = std::env::var(variable).ok();
        set.and_then(|text| text.parse().ok()).unwrap_or(default)
    }

    /// Every kick, wherever it lands, ends a read that would block for ever.
    #[test]
    fn no_kick_is_lost() {
        // The full million: RIVIX_ROUNDS=1000000 RIVIX_SECONDS=600.
        let rounds = scale("RIVIX_ROUNDS", 20_000);
        let seconds = scale("RIVIX_SECONDS", 60);
        let kick = Arc::new(Kick::new());
        let ends = pipe();
        let (tell, told) = std::sync::mpsc::channel::<()>();
        let reader = {
            let kick = kick.clone();
            std::thread::spawn(move || {
                let _tie = Kick::enter_thread(&kick);
                for _ in 0..rounds {
                    tell.send(()).unwrap();
                    assert_eq!(read_byte(ends[0]), Err(HostError::Kicked));
                    kick.clear();
                }
            })
        };
        let limit = Instant::now() + Duration::from_secs(seconds);
        for round in 0..rounds {
            told.recv_timeout(Duration::from_secs(10))
                .expect("a kick was lost");
            // Spread the kicks over the reader's way into the call.
            for _ in 0..round % 97 {
                std::hint::spin_loop();
            }
            kick.kick();
            if Instant::now() > limit {
                panic!("{round} rounds took {seconds} s");
            }
        }
        reader.join().unwrap();
        close(ends);
    }
}
