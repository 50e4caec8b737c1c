//! The handlers, and living with those of others.

use super::table;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const SIGNALS: [i32; 2] = [libc::SIGSEGV, libc::SIGBUS];

/// Who handled each of [`SIGNALS`] before us. Written before our handler can
/// run, then only read.
struct Previous(std::cell::UnsafeCell<MaybeUninit<libc::sigaction>>);

// SAFETY: written once, by `install`, before anyone can read it.
unsafe impl Sync for Previous {}

static PREVIOUS: [Previous; 2] =
    [const { Previous(std::cell::UnsafeCell::new(MaybeUninit::zeroed())) }; 2];

static INSTALL: Once = Once::new();
static EMBEDDER: AtomicBool = AtomicBool::new(false);

/// A compiler tier's `fn(pc) -> pad`, or 0.
static LOOKUP: AtomicUsize = AtomicUsize::new(0);

/// Another handler has replaced ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotInstalled {
    pub signal: i32,
}

impl std::fmt::Display for NotInstalled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the handler of signal {} was replaced: let the new one call rivix::handle_signal",
            self.signal
        )
    }
}

impl std::error::Error for NotInstalled {}

/// Installs our handlers, once in the life of the host process.
pub fn install() {
    INSTALL.call_once(|| {
        table::prepare();
        if EMBEDDER.load(Ordering::SeqCst) {
            return;
        }
        for (signal, previous) in SIGNALS.into_iter().zip(&PREVIOUS) {
            // SAFETY: a valid action; `previous` is ours alone inside the `Once`,
            // and is filled in before the new handler is put in place.
            unsafe {
                libc::sigaction(signal, ptr::null(), (*previous.0.get()).as_mut_ptr());
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = on_signal as *const () as usize;
                action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
                libc::sigemptyset(&raw mut action.sa_mask);
                libc::sigaction(signal, &raw const action, ptr::null_mut());
            }
        }
    });
}

/// The embedder's own handlers will call [`handle_signal`]: install nothing.
/// To be called before the first address space is made.
pub fn leave_to_embedder() {
    EMBEDDER.store(true, Ordering::SeqCst);
    table::prepare();
}

/// Checks that our handlers are still the ones the host calls.
pub fn verify() -> Result<(), NotInstalled> {
    install();
    if EMBEDDER.load(Ordering::SeqCst) {
        return Ok(());
    }
    for signal in SIGNALS {
        // SAFETY: only asks.
        let current = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            libc::sigaction(signal, ptr::null(), &raw mut action);
            action.sa_sigaction
        };
        if current != on_signal as *const () as usize {
            return Err(NotInstalled { signal });
        }
    }
    Ok(())
}

/// Names the function that finds landing pads in compiled code. It is called in
/// a signal handler: it must not lock or allocate.
pub fn set_code_lookup(lookup: fn(usize) -> Option<usize>) {
    LOOKUP.store(lookup as *const () as usize, Ordering::Release);
}

/// Handles a SIGSEGV or SIGBUS if guest code or a user copy caused it; false:
/// it is not ours, and nothing was changed.
///
/// # Safety
/// The three arguments are those of an SA_SIGINFO handler that is running.
pub unsafe fn handle_signal(
    signal: i32,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) -> bool {
    // SAFETY: the caller's promise.
    let (info, context) = unsafe { (&*info, &mut *context.cast::<libc::ucontext_t>()) };
    // A signal that somebody sent is not a fault.
    if info.si_code <= 0 {
        return false;
    }
    let registers = &mut context.uc_mcontext.gregs;
    let pc = registers[libc::REG_RIP as usize] as usize;
    let Some(pad) = table::find(pc).or_else(|| compiled(pc)) else {
        return false;
    };
    // SAFETY: a fault's siginfo carries an address.
    registers[libc::REG_R10 as usize] = unsafe { info.si_addr() } as i64;
    registers[libc::REG_R11 as usize] = if signal == libc::SIGBUS { 2 } else { 1 };
    registers[libc::REG_RIP as usize] = pad as i64;
    true
}

fn compiled(pc: usize) -> Option<usize> {
    let lookup = LOOKUP.load(Ordering::Acquire);
    if lookup == 0 {
        return None;
    }
    // SAFETY: only `set_code_lookup` stores here, and it takes this type.
    let lookup: fn(usize) -> Option<usize> = unsafe { std::mem::transmute(lookup) };
    lookup(pc)
}

extern "C" fn on_signal(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: we are that handler.
    unsafe {
        if !handle_signal(signal, info, context) {
            pass_on(signal, info, context);
        }
    }
}

/// Does what the host would have done without us.
///
/// # Safety
/// As for [`handle_signal`].
unsafe fn pass_on(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let Some(at) = SIGNALS.iter().position(|&s| s == signal) else {
        return;
    };
    // SAFETY: filled in before our handler was installed.
    let previous = unsafe { (*PREVIOUS[at].0.get()).assume_init_ref() };
    // SAFETY: `info` is the running handler's.
    let is_sent = unsafe { (*info).si_code } <= 0;
    match previous.sa_sigaction {
        libc::SIG_IGN if is_sent => {}
        // The host kills by a fault whose signal is ignored.
        libc::SIG_DFL | libc::SIG_IGN => {
            // SAFETY: async-signal-safe calls. A fault happens again on return and
            // meets the default action; a sent signal is sent again, and stays
            // blocked until we return.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = libc::SIG_DFL;
                libc::sigaction(signal, &raw const action, ptr::null_mut());
                if is_sent {
                    libc::raise(signal);
                }
            }
        }
        handler => {
            // SAFETY: the address of a handler of the kind its flags say; the mask
            // it asked for holds while it runs, as if the host had called it.
            unsafe {
                let mut before = MaybeUninit::<libc::sigset_t>::uninit();
                libc::pthread_sigmask(
                    libc::SIG_BLOCK,
                    &raw const previous.sa_mask,
                    before.as_mut_ptr(),
                );
                if previous.sa_flags & libc::SA_NODEFER != 0 {
                    let mut own = MaybeUninit::<libc::sigset_t>::uninit();
                    libc::sigemptyset(own.as_mut_ptr());
                    libc::sigaddset(own.as_mut_ptr(), signal);
                    libc::pthread_sigmask(libc::SIG_UNBLOCK, own.as_ptr(), ptr::null_mut());
                }
                if previous.sa_flags & libc::SA_SIGINFO != 0 {
                    let call: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) =
                        std::mem::transmute(handler);
                    call(signal, info, context);
                } else {
                    let call: extern "C" fn(i32) = std::mem::transmute(handler);
                    call(signal);
                }
                libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut());
            }
        }
    }
}
