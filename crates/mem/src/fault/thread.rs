//! What a thread needs before it touches guest memory.

use rivix_sync::hostcall;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr;

/// Room for handlers, the embedder's included: a signal frame with AVX-512 state
/// alone is nearly 4 KiB.
const STACK: usize = 64 << 10;
const PAGE: usize = 4096;

/// An alternate signal stack with a guard page for the calling thread; the old
/// one comes back on drop. A thread that runs one guest task after another makes
/// it once: mapping and unmapping it disturbs every other thread of the process.
pub struct SignalStack {
    memory: *mut libc::c_void,
    old: libc::stack_t,
    _not_send: PhantomData<*mut ()>,
}

impl SignalStack {
    /// None when the host has no memory left for it.
    pub fn enter() -> Option<SignalStack> {
        // SAFETY: a fresh mapping; its lowest page becomes the guard, the rest the
        // stack. The calls change only this thread's signal state.
        unsafe {
            let memory = libc::mmap(
                ptr::null_mut(),
                STACK + PAGE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            );
            if memory == libc::MAP_FAILED {
                return None;
            }
            let mut old: libc::stack_t = std::mem::zeroed();
            let stack = libc::stack_t {
                ss_sp: memory.byte_add(PAGE),
                ss_flags: 0,
                ss_size: STACK,
            };
            if libc::mprotect(memory, PAGE, libc::PROT_NONE) != 0
                || libc::sigaltstack(&raw const stack, &raw mut old) != 0
            {
                libc::munmap(memory, STACK + PAGE);
                return None;
            }
            Some(SignalStack {
                memory,
                old,
                _not_send: PhantomData,
            })
        }
    }
}

impl Drop for SignalStack {
    fn drop(&mut self) {
        // SAFETY: the same thread, by `_not_send`; the stack is given back before
        // its memory is. Should somebody have put another stack in our place, ours
        // is not in use either.
        unsafe {
            // SS_ONSTACK is a report, not a request.
            self.old.ss_flags &= libc::SS_DISABLE;
            libc::sigaltstack(&raw const self.old, ptr::null_mut());
            libc::munmap(self.memory, STACK + PAGE);
        }
    }
}

/// Lets the calling thread touch guest memory: it has a signal stack, and
/// SIGSEGV, SIGBUS and the kick signal are unblocked. The old mask comes back on
/// drop, which must be on the thread that made it.
pub struct ThreadGuard<'a> {
    old_mask: libc::sigset_t,
    /// Given back after the mask.
    _own: Option<SignalStack>,
    _stack: PhantomData<&'a SignalStack>,
}

impl ThreadGuard<'static> {
    /// With a signal stack of its own; None when the host has no memory for it.
    pub fn enter() -> Option<ThreadGuard<'static>> {
        let own = SignalStack::enter()?;
        Some(ThreadGuard {
            old_mask: unblock(),
            _own: Some(own),
            _stack: PhantomData,
        })
    }
}

impl<'a> ThreadGuard<'a> {
    /// On the stack that the thread has already.
    pub fn on(_stack: &'a SignalStack) -> ThreadGuard<'a> {
        ThreadGuard {
            old_mask: unblock(),
            _own: None,
            _stack: PhantomData,
        }
    }
}

/// Unblocks what a thread with guest memory must get; the mask before.
fn unblock() -> libc::sigset_t {
    super::install();
    // SAFETY: sets on this stack; the call changes only this thread's mask.
    unsafe {
        let mut wanted = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(wanted.as_mut_ptr());
        for signal in [libc::SIGSEGV, libc::SIGBUS]
            .into_iter()
            .chain(hostcall::install())
        {
            libc::sigaddset(wanted.as_mut_ptr(), signal);
        }
        let mut old_mask: libc::sigset_t = std::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_UNBLOCK, wanted.as_ptr(), &raw mut old_mask);
        old_mask
    }
}

impl Drop for ThreadGuard<'_> {
    fn drop(&mut self) {
        // SAFETY: the same thread: with a stack of its own by that stack's
        // `_not_send`, else by the borrow of one.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.old_mask, ptr::null_mut());
        }
    }
}
