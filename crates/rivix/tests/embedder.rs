//! The embedder's own SIGSEGV handler works beside guests that fault. A program
//! of its own, since handlers belong to the process.

mod common;

use common::{faulter, printer};
use rivix::Sandbox;
use std::sync::atomic::{AtomicUsize, Ordering};

static CAUGHT: AtomicUsize = AtomicUsize::new(0);

/// Makes the page accessible, so that the access succeeds when it is repeated.
extern "C" fn handler(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    CAUGHT.fetch_add(1, Ordering::SeqCst);
    // SAFETY: `info` is the kernel's; the page is the test's own.
    unsafe {
        let page = (*info).si_addr() as usize & !4095;
        libc::mprotect(page as *mut _, 4096, libc::PROT_READ | libc::PROT_WRITE);
    }
}

/// A write to a fresh page without permission.
fn fault_of_our_own() {
    // SAFETY: a fresh mapping; the handler gives permission at the first write.
    unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let page = libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_NONE, flags, -1, 0);
        assert_ne!(page, libc::MAP_FAILED);
        page.cast::<u8>().write_volatile(1);
        libc::munmap(page, 4096);
    }
}

#[test]
fn the_embedders_handler_still_works() {
    // SAFETY: installs a handler that touches only this test's pages.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        assert_eq!(
            libc::sigaction(libc::SIGSEGV, &action, std::ptr::null_mut()),
            0
        );
    }
    fault_of_our_own();
    let sandbox = Sandbox::builder().build().unwrap();
    for turn in 1..=3 {
        let status = sandbox.command_from_image("f", faulter()).status().unwrap();
        assert_eq!(status.signal(), Some(libc::SIGSEGV));
        fault_of_our_own();
        assert_eq!(CAUGHT.load(Ordering::SeqCst), 1 + turn);
    }
    drop(sandbox);
    fault_of_our_own();
    assert_eq!(CAUGHT.load(Ordering::SeqCst), 5);
    let sandbox = Sandbox::builder().build().unwrap();
    assert!(
        sandbox
            .command_from_image("p", printer("", 0))
            .status()
            .unwrap()
            .success()
    );
}
