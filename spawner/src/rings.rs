//! A doorbell's count, without its wire: what a ring and an answer do in memory.
//!
//! - **Invariant G1:** no ring is lost. A ringer counts first and raises the flag
//!   second; the answerer lowers the flag first and takes the count second. So a
//!   ringer that finds the flag raised has counted before that count is taken,
//!   and one that finds it down uses the wire, and the answerer comes again.

use rivix_sync::sys::atomic::{AtomicBool, AtomicU64, Ordering};
use rivix_sync::sys::mutant;

#[derive(Debug, Default)]
pub(crate) struct Rings {
    /// Rings nobody has answered.
    count: AtomicU64,
    /// The answerer was called by wire, or is about to be.
    is_called: AtomicBool,
}

impl Rings {
    /// Counts a ring; true: the caller must use the wire.
    pub(crate) fn add(&self) -> bool {
        if mutant("doorbell-flag-first") {
            let must_call = !self.is_called.swap(true, Ordering::AcqRel);
            self.count.fetch_add(1, Ordering::Relaxed);
            return must_call;
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        // Releases the count to the swap in `take` that lowers the flag.
        !self.is_called.swap(true, Ordering::AcqRel)
    }

    /// Takes the rings since the last answer. After the wire was quieted.
    pub(crate) fn take(&self) -> u64 {
        if mutant("doorbell-count-first") {
            let count = self.count.swap(0, Ordering::Relaxed);
            self.is_called.swap(false, Ordering::AcqRel);
            return count;
        }
        self.is_called.swap(false, Ordering::AcqRel);
        self.count.swap(0, Ordering::Relaxed)
    }
}

#[cfg(all(test, rivix_loom))]
mod model {
    use super::*;
    use rivix_sync::Parker;
    use rivix_sync::sys::thread;
    use std::sync::Arc;

    /// Two ringers, once each: both rings are answered. A lost one leaves
    /// the answerer asleep, which loom reports.
    #[test]
    fn every_ring_is_answered() {
        let mut model = rivix_sync::loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let rings = Arc::new(Rings::default());
            let wire = Arc::new(Parker::new());
            let ringers: Vec<_> = (0..2)
                .map(|_| {
                    let (rings, wire) = (rings.clone(), wire.clone());
                    let ring = move || {
                        if rings.add() {
                            wire.unpark();
                        }
                    };
                    thread::spawn("ringer", 0, ring).unwrap()
                })
                .collect();
            let mut heard = 0;
            while heard < 2 {
                wire.park();
                heard += rings.take();
            }
            assert_eq!(heard, 2);
            for ringer in ringers {
                ringer.join().unwrap();
            }
        });
    }
}
