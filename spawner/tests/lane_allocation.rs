//! Submitting a small closure allocates nothing. Its own program: it counts every
//! allocation of the process.

use rivix_spawner::lane::{Close, Join, Lane, LaneKey, Lanes, Service};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: all is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, SeqCst);
        // SAFETY: the caller's duties are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Sum(u64);

impl Service for Sum {
    type Utilities = ();

    fn init(_: LaneKey) -> Self {
        Sum(0)
    }

    fn utilities(&self) {}
}

fn host(_: &str, body: Box<dyn FnOnce() + Send>) -> Result<Join, nix::errno::Errno> {
    let thread = std::thread::spawn(body);
    Ok(Box::new(move || thread.join().unwrap()))
}

#[test]
fn small_closures_are_submitted_and_called_without_allocation() {
    let lanes = Lanes::new(host);
    let lane = Lane::<Sum>::new(&lanes, LaneKey::new("sum", 0)).unwrap();
    let round = |value: u64| {
        for at in 0..100_000 {
            // 48 bytes.
            let captures = [value, at, 0, 0, 0, 1];
            lane.submit(move |sum| sum.0 += captures.iter().sum::<u64>())
                .unwrap();
        }
        lane.call(|sum| std::mem::take(&mut sum.0)).unwrap()
    };
    // Each thread's own place to sleep is made when it is first needed.
    round(1);
    let before = ALLOCATIONS.load(SeqCst);
    let sum = round(2);
    let during = ALLOCATIONS.load(SeqCst) - before;
    assert_eq!(sum, 100_000 * 3 + 99_999 * 50_000);
    // Full rings were slept for on the way; none of it allocated.
    assert_eq!(during, 0);
    // A capture one word larger is stored in blocks, made once per slot and kept.
    let large = || {
        for _ in 0..10_000 {
            let captures = [1u64; 7];
            lane.submit(move |sum| sum.0 += captures.iter().sum::<u64>())
                .unwrap();
        }
        lane.barrier().unwrap();
    };
    let before = ALLOCATIONS.load(SeqCst);
    large();
    large();
    let made = ALLOCATIONS.load(SeqCst) - before;
    assert!((1..=2048).contains(&made), "{made} blocks for 2048 slots");
    lane.close(Close::Drain).unwrap();
}
