//! Memory mapping flags (asm-generic/mman-common.h, asm-generic/mman.h, linux/mman.h).

use bitflags::bitflags;

bitflags! {
    /// `prot` of mmap(2) and mprotect(2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
    pub struct Prot: u32 {
        const READ = 1;
        const WRITE = 2;
        const EXEC = 4;
        const SEM = 8;
        const GROWSDOWN = 0x0100_0000;
        const GROWSUP = 0x0200_0000;
    }
}

bitflags! {
    /// `flags` of mmap(2). The low four bits are a type, not a set: see [`MapFlags::kind`].
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
    pub struct MapFlags: u32 {
        const SHARED = 0x01;
        const PRIVATE = 0x02;
        const SHARED_VALIDATE = 0x03;
        const DROPPABLE = 0x08;
        const FIXED = 0x10;
        const ANONYMOUS = 0x20;
        const GROWSDOWN = 0x100;
        const DENYWRITE = 0x800;
        const EXECUTABLE = 0x1000;
        const LOCKED = 0x2000;
        const NORESERVE = 0x4000;
        const POPULATE = 0x8000;
        const NONBLOCK = 0x1_0000;
        const STACK = 0x2_0000;
        const HUGETLB = 0x4_0000;
        const SYNC = 0x8_0000;
        const FIXED_NOREPLACE = 0x10_0000;
        const UNINITIALIZED = 0x400_0000;
        // Unknown bits are kept: MAP_SHARED_VALIDATE refuses them, the others ignore them.
        const _ = !0;
    }
}

impl MapFlags {
    /// The sharing type: SHARED, PRIVATE, SHARED_VALIDATE or another number.
    pub fn kind(self) -> u32 {
        self.bits() & 0x0f
    }
}

/// mremap(2).
pub mod mremap {
    pub const MAYMOVE: u32 = 1;
    pub const FIXED: u32 = 2;
    pub const DONTUNMAP: u32 = 4;
}

/// msync(2).
pub mod msync {
    pub const ASYNC: u32 = 1;
    pub const INVALIDATE: u32 = 2;
    pub const SYNC: u32 = 4;
}

/// mlock2(2), mlockall(2).
pub mod mlock {
    pub const ONFAULT: u32 = 1;
    pub const ALL_CURRENT: u32 = 1;
    pub const ALL_FUTURE: u32 = 2;
    pub const ALL_ONFAULT: u32 = 4;
}

/// memfd_create(2).
pub mod memfd {
    pub const CLOEXEC: u32 = 1;
    pub const ALLOW_SEALING: u32 = 2;
    pub const HUGETLB: u32 = 4;
    pub const NOEXEC_SEAL: u32 = 8;
    pub const EXEC: u32 = 16;
}

/// `advice` of madvise(2).
pub mod advice {
    pub const NORMAL: i32 = 0;
    pub const RANDOM: i32 = 1;
    pub const SEQUENTIAL: i32 = 2;
    pub const WILLNEED: i32 = 3;
    pub const DONTNEED: i32 = 4;
    pub const FREE: i32 = 8;
    pub const REMOVE: i32 = 9;
    pub const DONTFORK: i32 = 10;
    pub const DOFORK: i32 = 11;
    pub const MERGEABLE: i32 = 12;
    pub const UNMERGEABLE: i32 = 13;
    pub const HUGEPAGE: i32 = 14;
    pub const NOHUGEPAGE: i32 = 15;
    pub const DONTDUMP: i32 = 16;
    pub const DODUMP: i32 = 17;
    pub const WIPEONFORK: i32 = 18;
    pub const KEEPONFORK: i32 = 19;
    pub const COLD: i32 = 20;
    pub const PAGEOUT: i32 = 21;
    pub const POPULATE_READ: i32 = 22;
    pub const POPULATE_WRITE: i32 = 23;
    pub const DONTNEED_LOCKED: i32 = 24;
    pub const COLLAPSE: i32 = 25;
    pub const HWPOISON: i32 = 100;
    pub const SOFT_OFFLINE: i32 = 101;
    pub const GUARD_INSTALL: i32 = 102;
    pub const GUARD_REMOVE: i32 = 103;
}
