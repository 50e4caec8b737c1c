//! The window of a host call, and the signal that ends the call.

use super::NoKickSignal;
use crate::{Kick, hooks};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

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

/// What [`call`] gives when the word was set before the call had any effect.
pub(super) const ABORTED: isize = -512;

/// Looks at the kick's word and makes the call: its result, or [`ABORTED`].
///
/// # Safety
/// The arguments are valid for what the call does with them.
pub(super) unsafe fn call(kick: Option<&Kick>, nr: i64, args: [usize; 6]) -> isize {
    static NEVER: AtomicU32 = AtomicU32::new(0);
    let word = kick.map_or(&NEVER, Kick::word);
    #[cfg(feature = "kick-hooks")]
    rivix_hostcall_delay.store(hooks::delay().load(Ordering::Relaxed), Ordering::Relaxed);
    let [a0, a1, a2, a3, a4, a5] = args;
    // SAFETY: the word outlives the call; the arguments are the caller's.
    unsafe { rivix_hostcall(word, nr as usize, a0, a1, a2, a3, a4, a5) }
}

/// This thread's number for [`interrupt`].
pub(super) fn thread_id() -> u32 {
    thread_local! {
        // SAFETY: gettid has no preconditions.
        static TID: u32 = unsafe { libc::gettid() } as u32;
    }
    TID.with(|tid| *tid)
}

/// The signal that interrupts host calls, once chosen; 0 before.
static KICK_SIGNAL: AtomicI32 = AtomicI32::new(0);

/// Chooses a free real-time signal and installs its handler, once per process.
/// Gives its number.
pub(super) fn install() -> Result<i32, NoKickSignal> {
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
pub(super) fn interrupt(_: &Kick, tid: u32) {
    let signal = KICK_SIGNAL.load(Ordering::SeqCst);
    if signal != 0 {
        // SAFETY: no memory is involved; H2 makes a late signal harmless.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), tid, signal) };
    }
}

/// Lets the signal reach this thread.
pub(super) fn let_in() {
    if let Ok(signal) = install() {
        // SAFETY: sigset operations on an initialised local set.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&mut set);
            libc::sigaddset(&mut set, signal);
            libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut());
        }
    }
}
