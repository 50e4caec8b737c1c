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

use crate::Kick;
use crate::sys::{self, atomic::Ordering};
use std::cell::RefCell;
use std::sync::Arc;

#[cfg(not(rivix_model))]
mod window;
#[cfg(rivix_model)]
#[path = "hostcall/window_model.rs"]
mod window;

#[cfg(rivix_model)]
pub(crate) use window::ModelThread;

/// How an interruptible host call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostError {
    /// The kick word was set before the call had any effect.
    Kicked,
    /// The host's errno.
    Errno(i32),
}

crate::thread_local_var! {
    static CURRENT: RefCell<Option<Arc<Kick>>> = RefCell::new(None);
}

/// Makes host call `nr`. When this thread runs a task (see [`Kick::enter_thread`])
/// the call ends with [`HostError::Kicked`] as soon as the task is kicked; a
/// call that already took effect keeps its result. A thread without a task makes
/// a plain call, repeated on EINTR.
///
/// # Safety
/// The caller vouches for the arguments as for any raw host call: pointers are
/// valid for what the call does with them.
pub unsafe fn interruptible(nr: i64, args: [usize; 6]) -> Result<usize, HostError> {
    let kick = Kick::current();
    // SAFETY: the arguments are the caller's.
    unsafe { call(kick.as_deref(), nr, args) }
}

/// As [`interruptible`], for the task of this kick.
///
/// # Safety
/// As there.
unsafe fn call(kick: Option<&Kick>, nr: i64, args: [usize; 6]) -> Result<usize, HostError> {
    let _inside = kick.map(Inside::enter);
    loop {
        // SAFETY: the arguments are the caller's.
        let result = unsafe { window::call(kick, nr, args) };
        match result {
            // Our kick; or a late one for an earlier owner of this thread's id, or
            // a signal of the embedder's that concerns no guest: then once more.
            error if error == window::ABORTED || error == -(libc::EINTR as isize) => {
                if kick.is_some_and(Kick::is_set) {
                    return Err(HostError::Kicked);
                }
            }
            error @ -4095..=-1 => return Err(HostError::Errno(-error as i32)),
            value => return Ok(value as usize),
        }
    }
}

/// The model's call, which has no arguments.
#[cfg(all(test, rivix_loom))]
pub(crate) fn call_for(kick: &Kick) -> Result<usize, HostError> {
    // SAFETY: no pointers are passed.
    unsafe { call(Some(kick), 0, [0; 6]) }
}

/// Names this thread as blocking, for kickers, until dropped.
struct Inside<'a>(&'a Kick);

impl<'a> Inside<'a> {
    fn enter(kick: &'a Kick) -> Self {
        // Published before the window looks at the word, so that a kicker which
        // sets the word after that look sees the id.
        if !sys::mutant("hostcall-unnamed") {
            kick.in_host_call
                .store(window::thread_id(), Ordering::Relaxed);
        }
        // A kicker stores the word and looks for the id: one of the two sees the
        // other's store.
        sys::atomic::fence(Ordering::SeqCst);
        Inside(kick)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.in_host_call.store(0, Ordering::SeqCst);
    }
}

/// Why no kick signal could be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoKickSignal;

/// Chooses a free real-time signal and installs its handler, once per process.
/// Gives its number.
pub fn install() -> Result<i32, NoKickSignal> {
    window::install()
}

/// Ends the host call that `kick`'s owner makes on thread `tid`, if it still does.
pub(crate) fn interrupt(kick: &Kick, tid: u32) {
    window::interrupt(kick, tid);
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
        window::let_in();
        Kick::tie(kick)
    }

    /// As [`enter_thread`](Self::enter_thread), in a thread that has the kick
    /// signal unblocked already.
    pub fn tie(kick: &Arc<Kick>) -> ThreadKick {
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
