//! A hook for tests: thread creation that fails though the host would grant it.

use nix::errno::Errno;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

static PER_MILLION: AtomicU32 = AtomicU32::new(0);
static STATE: AtomicU64 = AtomicU64::new(0x9e37_79b9_7f4a_7c15);

/// From now on this many of a million thread creations of this process fail
/// with EAGAIN, chosen at random. 0, the default: none.
pub fn fail_creations(per_million: u32) {
    PER_MILLION.store(per_million, Ordering::Relaxed);
}

/// Does this creation fail?
pub(crate) fn creation() -> Result<(), Errno> {
    let per_million = PER_MILLION.load(Ordering::Relaxed);
    if per_million == 0 {
        return Ok(());
    }
    // splitmix64: a test's dice, nothing more.
    let mut z = STATE.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    if (z ^ (z >> 31)) % 1_000_000 < u64::from(per_million) {
        return Err(Errno::EAGAIN);
    }
    Ok(())
}
