//! Reads a box after its drop: the address sanitizer must say so.

fn main() {
    let kept = Box::new(std::env::args().count());
    let stale: *const usize = &*kept;
    drop(kept);
    // SAFETY: none; this is the fault.
    println!("{}", unsafe { stale.read_volatile() });
}
