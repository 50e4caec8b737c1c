//! What prctl(2) and membarrier(2) note of an address space: of all its threads,
//! and of whoever else shares it.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

bitflags::bitflags! {
    /// PR_SET_MDWE: execution is not gained.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Mdwe: u32 {
        const REFUSE_EXEC_GAIN = 1;
        const NO_INHERIT = 2;
    }
}

bitflags::bitflags! {
    /// Which memory a core file holds (core(5)).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct CoreFilter: u32 {
        const PRIVATE = 1;
        const SHARED = 1 << 1;
        const PRIVATE_FILES = 1 << 2;
        const SHARED_FILES = 1 << 3;
        const ELF_HEADERS = 1 << 4;
        const PRIVATE_HUGE_PAGES = 1 << 5;
        const SHARED_HUGE_PAGES = 1 << 6;
        const PRIVATE_DAX = 1 << 7;
        const SHARED_DAX = 1 << 8;
    }
}

impl Default for CoreFilter {
    fn default() -> CoreFilter {
        CoreFilter::PRIVATE
            | CoreFilter::SHARED
            | CoreFilter::ELF_HEADERS
            | CoreFilter::PRIVATE_HUGE_PAGES
    }
}

/// Notes of an address space.
#[derive(Debug)]
pub struct MemoryTraits {
    dumpable: AtomicU32,
    membarrier: AtomicU32,
    mdwe: AtomicU32,
    no_huge_pages: AtomicBool,
    core_filter: AtomicU32,
    merges: AtomicBool,
}

impl Default for MemoryTraits {
    fn default() -> MemoryTraits {
        MemoryTraits {
            dumpable: AtomicU32::new(1),
            membarrier: AtomicU32::new(0),
            mdwe: AtomicU32::new(0),
            no_huge_pages: AtomicBool::new(false),
            core_filter: AtomicU32::new(CoreFilter::default().bits()),
            merges: AtomicBool::new(false),
        }
    }
}

impl MemoryTraits {
    /// A new program's: PR_SET_MDWE, PR_SET_THP_DISABLE, PR_SET_MEMORY_MERGE and the
    /// filter of core files stay.
    pub(crate) fn after_exec(&self, old: &MemoryTraits) {
        let mdwe = old.mdwe();
        if !mdwe.contains(Mdwe::NO_INHERIT) {
            self.set_mdwe(mdwe);
        }
        self.set_no_huge_pages(old.has_no_huge_pages());
        self.set_core_filter(old.core_filter());
        self.set_merges(old.merges());
    }

    /// A forked child's.
    pub(crate) fn after_fork(&self, parent: &MemoryTraits) {
        self.after_exec(parent);
        self.set_dumpable(parent.dumpable());
        self.register_membarrier(parent.membarrier_registrations());
    }

    /// PR_GET_DUMPABLE.
    pub fn dumpable(&self) -> u32 {
        self.dumpable.load(Ordering::Relaxed)
    }

    pub fn set_dumpable(&self, value: u32) {
        self.dumpable.store(value, Ordering::Relaxed);
    }

    /// What membarrier(2)'s register commands have left, in the caller's bits.
    pub fn membarrier_registrations(&self) -> u32 {
        self.membarrier.load(Ordering::SeqCst)
    }

    pub fn register_membarrier(&self, bits: u32) {
        self.membarrier.fetch_or(bits, Ordering::SeqCst);
    }

    pub fn mdwe(&self) -> Mdwe {
        Mdwe::from_bits_truncate(self.mdwe.load(Ordering::Relaxed))
    }

    pub fn set_mdwe(&self, mdwe: Mdwe) {
        self.mdwe.store(mdwe.bits(), Ordering::Relaxed);
    }

    /// PR_SET_THP_DISABLE. Huge pages are the host's choice; the wish is kept only.
    pub fn has_no_huge_pages(&self) -> bool {
        self.no_huge_pages.load(Ordering::Relaxed)
    }

    pub fn set_no_huge_pages(&self, value: bool) {
        self.no_huge_pages.store(value, Ordering::Relaxed);
    }

    /// /proc/PID/coredump_filter.
    pub fn core_filter(&self) -> CoreFilter {
        CoreFilter::from_bits_truncate(self.core_filter.load(Ordering::Relaxed))
    }

    pub fn set_core_filter(&self, filter: CoreFilter) {
        self.core_filter.store(filter.bits(), Ordering::Relaxed);
    }

    /// PR_SET_MEMORY_MERGE: a wish as well.
    pub fn merges(&self) -> bool {
        self.merges.load(Ordering::Relaxed)
    }

    pub fn set_merges(&self, value: bool) {
        self.merges.store(value, Ordering::Relaxed);
    }
}
