//! Host mappings are one resource of the whole host process: `max_map_count`
//! bounds them, and past it every mmap, mprotect and splitting munmap fails,
//! the host's own malloc included. So they are charged, to the address space,
//! to its kernel and to the host process, and refused with ENOMEM well before.

use rivix_abi::Errno;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// What this host allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostLimits {
    /// vm.max_map_count.
    pub max_map_count: u64,
    /// Kept for the host's malloc, thread stacks and teardown.
    pub reserve: u64,
}

impl HostLimits {
    pub fn get() -> HostLimits {
        static LIMITS: OnceLock<HostLimits> = OnceLock::new();
        *LIMITS.get_or_init(|| {
            let max_map_count = std::fs::read_to_string("/proc/sys/vm/max_map_count")
                .ok()
                .and_then(|text| text.trim().parse().ok())
                .unwrap_or(65530);
            HostLimits {
                max_map_count,
                reserve: (max_map_count / 8).max(1024).min(max_map_count / 2),
            }
        })
    }

    fn usable(self) -> u64 {
        self.max_map_count.saturating_sub(self.reserve)
    }
}

/// All address spaces of this host process together.
static HOST_USED: AtomicU64 = AtomicU64::new(0);

/// One kernel's share.
#[derive(Debug)]
pub struct Budget {
    mappings: AtomicU64,
    max_mappings: u64,
    /// What one address space may take.
    per_space: u64,
}

impl Default for Budget {
    fn default() -> Self {
        let usable = HostLimits::get().usable();
        Budget::new(usable / 4 * 3, usable / 4)
    }
}

impl Budget {
    pub fn new(max_mappings: u64, per_space: u64) -> Budget {
        Budget {
            mappings: AtomicU64::new(0),
            max_mappings,
            per_space,
        }
    }

    /// Host mappings charged now.
    pub fn mappings(&self) -> u64 {
        self.mappings.load(Ordering::Relaxed)
    }

    fn add(&self, count: u64) -> Result<(), Errno> {
        take(&self.mappings, count, self.max_mappings)?;
        take(&HOST_USED, count, HostLimits::get().usable()).inspect_err(|_| {
            self.mappings.fetch_sub(count, Ordering::Relaxed);
        })
    }

    fn remove(&self, count: u64) {
        self.mappings.fetch_sub(count, Ordering::Relaxed);
        HOST_USED.fetch_sub(count, Ordering::Relaxed);
    }
}

fn take(used: &AtomicU64, count: u64, max: u64) -> Result<(), Errno> {
    used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
        used.checked_add(count).filter(|&sum| sum <= max)
    })
    .map(drop)
    .map_err(|_| Errno::ENOMEM)
}

/// What one address space has charged; given back on drop.
#[derive(Debug)]
pub(crate) struct Charge {
    budget: Arc<Budget>,
    count: u64,
}

impl Charge {
    pub(crate) fn new(budget: Arc<Budget>) -> Charge {
        Charge { budget, count: 0 }
    }

    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Makes sure that `count` mappings are charged.
    pub(crate) fn raise(&mut self, count: u64) -> Result<(), Errno> {
        if count <= self.count {
            return Ok(());
        }
        if count > self.budget.per_space {
            return Err(Errno::ENOMEM);
        }
        self.budget.add(count - self.count)?;
        self.count = count;
        Ok(())
    }

    /// The true number, at most what `raise` ensured.
    pub(crate) fn settle(&mut self, count: u64) {
        if count < self.count {
            self.budget.remove(self.count - count);
            self.count = count;
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.remove(self.count);
    }
}
