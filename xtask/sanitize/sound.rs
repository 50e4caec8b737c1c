//! Threads that hand memory over through atomics: no sanitizer has anything to say.

use std::sync::atomic::{AtomicPtr, Ordering};

static SLOT: AtomicPtr<u64> = AtomicPtr::new(std::ptr::null_mut());

fn main() {
    let other = std::thread::spawn(|| {
        for n in 0..1_000 {
            let full = Box::into_raw(Box::new(n));
            while SLOT
                .compare_exchange(std::ptr::null_mut(), full, Ordering::AcqRel, Ordering::Relaxed)
                .is_err()
            {
                std::thread::yield_now();
            }
        }
    });
    let mut sum = 0;
    for _ in 0..1_000 {
        let taken = loop {
            let taken = SLOT.swap(std::ptr::null_mut(), Ordering::AcqRel);
            if !taken.is_null() {
                break taken;
            }
            std::thread::yield_now();
        };
        // SAFETY: the swap made it ours alone.
        sum += *unsafe { Box::from_raw(taken) };
    }
    other.join().unwrap();
    assert_eq!(sum, 499_500);
}
