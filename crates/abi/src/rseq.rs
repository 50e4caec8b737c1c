//! Restartable sequences (linux/rseq.h).

use crate::Errno;
use bytemuck::{Pod, Zeroable};

/// struct rseq as it was first; what a registration is at least long.
pub const AREA_SIZE: u32 = 32;
/// AT_RSEQ_FEATURE_SIZE: up to and with mm_cid.
pub const FEATURE_SIZE: u64 = 28;
/// AT_RSEQ_ALIGN.
pub const ALIGNMENT: u64 = 32;
/// RSEQ_FLAG_UNREGISTER.
pub const UNREGISTER: i32 = 1;
/// RSEQ_CPU_ID_UNINITIALIZED.
pub const UNINITIALIZED: u32 = u32::MAX;

/// struct rseq_cs: a sequence, from its first instruction to behind its commit.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub struct RseqDescriptor {
    pub version: u32,
    pub flags: u32,
    pub start: u64,
    pub length: u64,
    pub abort: u64,
}

impl RseqDescriptor {
    /// EINVAL: a version we do not know, an address outside `task_size`, an abort
    /// address inside the sequence.
    pub fn check(&self, task_size: u64) -> Result<(), Errno> {
        let end = self.start.checked_add(self.length);
        let is_good = self.version == 0
            && self.start < task_size
            && end.is_some_and(|end| end < task_size)
            && self.abort < task_size
            && self.abort.wrapping_sub(self.start) >= self.length;
        if is_good { Ok(()) } else { Err(Errno::EINVAL) }
    }

    pub fn contains(&self, pc: u64) -> bool {
        pc.wrapping_sub(self.start) < self.length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 1 << 38;

    fn sequence(start: u64, length: u64, abort: u64) -> RseqDescriptor {
        RseqDescriptor {
            start,
            length,
            abort,
            ..Default::default()
        }
    }

    #[test]
    fn descriptors() {
        assert_eq!(size_of::<RseqDescriptor>(), 32);
        let good = sequence(0x1000, 16, 0x2000);
        assert!(good.check(SIZE).is_ok());
        assert!(good.contains(0x1000) && good.contains(0x100f));
        assert!(!good.contains(0x1010) && !good.contains(0xfff));
        for bad in [
            sequence(SIZE, 16, 0x2000),
            sequence(0x1000, 16, SIZE),
            sequence(0x1000, SIZE, 0x200),
            sequence(0x1000, u64::MAX, 0x200),
            sequence(0x1000, 16, 0x100f),
            sequence(0x1000, 16, 0x1000),
            RseqDescriptor { version: 1, ..good },
        ] {
            assert!(bad.check(SIZE).is_err(), "{bad:?}");
        }
        // Behind the last instruction, and just before the first.
        assert!(sequence(0x1000, 16, 0x1010).check(SIZE).is_ok());
        assert!(sequence(0x1000, 16, 0xfff).check(SIZE).is_ok());
    }
}
