//! What a thread needs before it touches guest memory.

use rivix_sync::hostcall;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr;

/// Room for handlers, the embedder's included: a signal frame with AVX-512 state
/// alone is nearly 4 KiB.
const STACK: usize = 64 << 10;
const PAGE: usize = 4096;

/// Gives the calling thread an alternate signal stack with a guard page and
/// unblocks SIGSEGV, SIGBUS and the kick signal; puts everything back on drop.
/// It must be dropped on the thread that made it.
pub struct ThreadGuard {
    memory: *mut libc::c_void,
    old_stack: libc::stack_t,
    old_mask: libc::sigset_t,
    _not_send: PhantomData<*mut ()>,
}

impl ThreadGuard {
    /// None when the host has no memory left for a signal stack.
    pub fn enter() -> Option<ThreadGuard> {
        super::install();
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
            let mut old_stack: libc::stack_t = std::mem::zeroed();
            let stack = libc::stack_t {
                ss_sp: memory.byte_add(PAGE),
                ss_flags: 0,
                ss_size: STACK,
            };
            if libc::mprotect(memory, PAGE, libc::PROT_NONE) != 0
                || libc::sigaltstack(&raw const stack, &raw mut old_stack) != 0
            {
                libc::munmap(memory, STACK + PAGE);
                return None;
            }
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
            Some(ThreadGuard {
                memory,
                old_stack,
                old_mask,
                _not_send: PhantomData,
            })
        }
    }
}

impl Drop for ThreadGuard {
    fn drop(&mut self) {
        // SAFETY: the same thread, by `_not_send`; the stack is given back before
        // its memory is. Should somebody have put another stack in our place, ours
        // is not in use either.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.old_mask, ptr::null_mut());
            // SS_ONSTACK is a report, not a request.
            self.old_stack.ss_flags &= libc::SS_DISABLE;
            libc::sigaltstack(&raw const self.old_stack, ptr::null_mut());
            libc::munmap(self.memory, STACK + PAGE);
        }
    }
}
