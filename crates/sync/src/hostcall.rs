//! Host calls that may block, and can be kicked out of without losing the kick.
//!
//! The call is made by a few instructions, the *window*: look at the kick word,
//! then `syscall`. A kicker sets the word first and then signals the thread. A
//! signal that arrives before the look is seen by the look; one that arrives
//! inside the window, after the look, finds the pc there and moves it to the
//! abort exit; one that arrives during the call ends it with EINTR. The
//! window's end excludes what follows `syscall`, so that a call which completed
//! keeps its result.

use crate::Kick;
use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

/// How a host call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostError {
    /// The thread's kick came first or ended it; nothing was done.
    Kicked,
    /// The host's errno.
    Errno(i32),
}

/// What the window answers instead of a result; no errno of the host.
const ABORTED: isize = -0x7fff_0000;

macro_rules! window {
    ($call:ident, $begin:ident, $end:ident, $abort:ident, $delay:literal) => {
        std::arch::global_asm!(
            concat!(".pushsection .text.", stringify!($call), ", \"ax\", @progbits"),
            concat!(".hidden ", stringify!($call)),
            concat!(".globl ", stringify!($call)),
            concat!(".type ", stringify!($call), ", @function"),
            concat!(".hidden ", stringify!($begin)),
            concat!(".globl ", stringify!($begin)),
            concat!(".hidden ", stringify!($end)),
            concat!(".globl ", stringify!($end)),
            concat!(".hidden ", stringify!($abort)),
            concat!(".globl ", stringify!($abort)),
            concat!(stringify!($call), ":"),
            // rdi: the kick word, rsi: the number, rdx: six arguments.
            "mov rcx, rdi",
            "mov rax, rsi",
            "mov r11, rdx",
            "mov rdi, [r11]",
            "mov rsi, [r11 + 8]",
            "mov rdx, [r11 + 16]",
            "mov r10, [r11 + 24]",
            "mov r8, [r11 + 32]",
            "mov r9, [r11 + 40]",
            concat!(stringify!($begin), ":"),
            "cmp dword ptr [rcx], 0",
            concat!("jne ", stringify!($abort)),
            $delay,
            "syscall",
            concat!(stringify!($end), ":"),
            "ret",
            concat!(stringify!($abort), ":"),
            "mov rax, {aborted}",
            "ret",
            concat!(".size ", stringify!($call), ", . - ", stringify!($call)),
            ".popsection",
            aborted = const ABORTED,
        );
        unsafe extern "C" {
            fn $call(word: *const AtomicU32, number: usize, args: *const [usize; 6]) -> isize;
            static $begin: u8;
            static $end: u8;
            static $abort: u8;
        }
    };
}

window!(
    rivix_hostcall,
    rivix_hostcall_begin,
    rivix_hostcall_end,
    rivix_hostcall_abort,
    ""
);

// The same with a long way between the look and the call, so that tests hit it.
#[cfg(test)]
window!(
    rivix_hostcall_wide,
    rivix_hostcall_wide_begin,
    rivix_hostcall_wide_end,
    rivix_hostcall_wide_abort,
    "mov r11d, 2000\n2: pause\ndec r11d\njnz 2b"
);

thread_local! {
    static CURRENT: RefCell<Option<Arc<Kick>>> = const { RefCell::new(None) };
}

/// Until dropped, the calling thread's host calls listen to the kick.
pub struct CurrentKick {
    before: Option<Arc<Kick>>,
    _not_send: std::marker::PhantomData<*mut ()>,
}

impl Drop for CurrentKick {
    fn drop(&mut self) {
        let before = self.before.take();
        let _ = CURRENT.try_with(|current| current.replace(before));
    }
}

impl Kick {
    /// Makes this the calling thread's kick, until the guard is dropped.
    #[must_use = "dropping the guard ends it"]
    pub fn enter_thread(kick: &Arc<Kick>) -> CurrentKick {
        kick_signal();
        let before = CURRENT.with(|current| current.replace(Some(kick.clone())));
        CurrentKick {
            before,
            _not_send: std::marker::PhantomData,
        }
    }

    /// The calling thread's kick.
    pub fn current() -> Option<Arc<Kick>> {
        CURRENT
            .try_with(|current| current.borrow().clone())
            .ok()
            .flatten()
    }

    pub(crate) fn interrupt_host_call(&self) {
        // Taking the mark keeps the owner inside its call until the signal is
        // sent, so that the thread id cannot have passed to another thread. When
        // another kicker holds it, that one's signal does.
        let seen = self.in_host_call.fetch_or(KICKING, Ordering::SeqCst);
        if seen & KICKING != 0 {
            return;
        }
        if seen != 0 {
            // SAFETY: a signal of ours, with a handler, to a thread of this process.
            unsafe {
                libc::syscall(
                    libc::SYS_tgkill,
                    libc::getpid(),
                    seen as libc::pid_t,
                    kick_signal(),
                );
            }
        }
        self.in_host_call.fetch_and(!KICKING, Ordering::SeqCst);
    }

    fn begin_host_call(&self) {
        let tid = thread_id();
        // A kicker that found nobody inside may still hold the mark for a moment.
        while self
            .in_host_call
            .compare_exchange(0, tid, Ordering::SeqCst, Ordering::SeqCst)
            .is_err()
        {
            std::thread::yield_now();
        }
    }

    fn end_host_call(&self) {
        let tid = thread_id();
        while self
            .in_host_call
            .compare_exchange(tid, 0, Ordering::SeqCst, Ordering::SeqCst)
            .is_err()
        {
            std::hint::spin_loop();
        }
    }
}

/// Set in `in_host_call` while a kicker signals.
const KICKING: u32 = 1 << 31;

fn thread_id() -> u32 {
    thread_local! {
        // SAFETY: gettid always succeeds.
        static TID: u32 = unsafe { libc::gettid() } as u32;
    }
    TID.with(|tid| *tid)
}

/// Makes a host call that a kick of the calling thread's [`Kick`] interrupts.
/// Without a current kick it is a plain call, and EINTR is an errno like others.
///
/// # Safety
/// As for the host call itself: pointers among `args` must be valid for it.
pub unsafe fn interruptible(number: usize, args: [usize; 6]) -> Result<usize, HostError> {
    // SAFETY: the caller's promise.
    unsafe { call_with(rivix_hostcall, number, args) }
}

type Call = unsafe extern "C" fn(*const AtomicU32, usize, *const [usize; 6]) -> isize;

unsafe fn call_with(call: Call, number: usize, args: [usize; 6]) -> Result<usize, HostError> {
    static NEVER: AtomicU32 = AtomicU32::new(0);
    let kick = Kick::current();
    let got = match &kick {
        None => {
            // SAFETY: the caller's promise; the word lives for ever.
            unsafe { call(&raw const NEVER, number, &raw const args) }
        }
        Some(kick) => {
            kick.begin_host_call();
            // SAFETY: the caller's promise; `kick` is held through the call.
            let got = unsafe { call(ptr::from_ref(kick.word()), number, &raw const args) };
            kick.end_host_call();
            got
        }
    };
    if got == ABORTED {
        return Err(HostError::Kicked);
    }
    if (-4095..0).contains(&got) {
        let errno = -got as i32;
        let kicked = kick.is_some_and(|kick| kick.is_set());
        return Err(if errno == libc::EINTR && kicked {
            HostError::Kicked
        } else {
            HostError::Errno(errno)
        });
    }
    Ok(got as usize)
}

/// The signal that interrupts host calls: a real-time signal that nobody
/// handled when it was first needed. Its handler is installed for good.
pub fn kick_signal() -> i32 {
    static SIGNAL: OnceLock<i32> = OnceLock::new();
    *SIGNAL.get_or_init(|| {
        let free = (libc::SIGRTMIN()..=libc::SIGRTMAX()).find(|&signal| {
            // SAFETY: only asks.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                libc::sigaction(signal, ptr::null(), &raw mut action) == 0
                    && action.sa_sigaction == libc::SIG_DFL
            }
        });
        // With every one in use, the first is shared: a kick is then also theirs.
        let signal = free.unwrap_or_else(|| libc::SIGRTMIN());
        // SAFETY: a valid action. No SA_RESTART: a kicked call must end.
        unsafe {
            let mut action = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
            action.sa_sigaction = on_kick as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigemptyset(&raw mut action.sa_mask);
            libc::sigaction(signal, &raw const action, ptr::null_mut());
        }
        signal
    })
}

extern "C" fn on_kick(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the context of the handler that is running.
    let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    let pc = &mut context.uc_mcontext.gregs[libc::REG_RIP as usize];
    let at = |symbol: *const u8| symbol as i64;
    let (begin, end) = (
        at(&raw const rivix_hostcall_begin),
        at(&raw const rivix_hostcall_end),
    );
    if (begin..end).contains(pc) {
        *pc = at(&raw const rivix_hostcall_abort);
    }
    #[cfg(test)]
    {
        let begin = at(&raw const rivix_hostcall_wide_begin);
        let end = at(&raw const rivix_hostcall_wide_end);
        if (begin..end).contains(pc) {
            *pc = at(&raw const rivix_hostcall_wide_abort);
        }
    }
}
