//! Two threads add to one number without any order between them: the thread
//! sanitizer must say so.

use std::cell::UnsafeCell;

struct Shared(UnsafeCell<u64>);

// SAFETY: none; this is the fault.
unsafe impl Sync for Shared {}

static NUMBER: Shared = Shared(UnsafeCell::new(0));

fn add() {
    for _ in 0..1_000 {
        // SAFETY: none, as above.
        unsafe { *NUMBER.0.get() += 1 };
    }
}

fn main() {
    let other = std::thread::spawn(add);
    add();
    other.join().unwrap();
    // SAFETY: the other thread has been joined.
    println!("{}", unsafe { *NUMBER.0.get() });
}
