//! Living with another owner of SIGSEGV: one that was there before us. A test
//! binary of its own, because handlers belong to the process.

use rivix_abi::{UserAddress, UserRef};
use rivix_mem::{AddressSpace, MemConfig, fault};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

static SEEN: AtomicUsize = AtomicUsize::new(0);
static PAGE: AtomicUsize = AtomicUsize::new(0);

/// The embedder's handler: counts, and makes the page accessible.
extern "C" fn embedder(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: a fault's siginfo has an address; mprotect is on the test's own page.
    unsafe {
        let page = PAGE.load(Ordering::SeqCst);
        if (*info).si_addr() as usize == page + 8 {
            SEEN.fetch_add(1, Ordering::SeqCst);
        }
        libc::mprotect(page as *mut _, 4096, libc::PROT_READ | libc::PROT_WRITE);
    }
}

#[test]
fn an_earlier_handler_gets_what_is_not_ours() {
    // SAFETY: a handler and a page of this test's own.
    let page = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = embedder as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigaction(libc::SIGSEGV, &raw const action, ptr::null_mut());
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        libc::mmap(ptr::null_mut(), 4096, libc::PROT_NONE, flags, -1, 0)
    };
    PAGE.store(page as usize, Ordering::SeqCst);

    let space = AddressSpace::new(&MemConfig::default()).unwrap();
    fault::verify().unwrap();
    {
        let _guard = fault::ThreadGuard::enter().unwrap();
        assert!(space.read(UserRef::<u32>::new(UserAddress(4096))).is_err());
        assert_eq!(SEEN.load(Ordering::SeqCst), 0, "ours");
        // SAFETY: the embedder's handler makes the page accessible.
        unsafe { page.cast::<u8>().add(8).write_volatile(1) };
        assert_eq!(SEEN.load(Ordering::SeqCst), 1, "theirs");
    }
    assert!(space.read(UserRef::<u32>::new(UserAddress(4096))).is_err());

    // SAFETY: puts the embedder's handler over ours.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = embedder as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        libc::sigaction(libc::SIGSEGV, &raw const action, ptr::null_mut());
    }
    assert_eq!(
        fault::verify(),
        Err(fault::NotInstalled {
            signal: libc::SIGSEGV
        })
    );
}
