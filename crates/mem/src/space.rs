//! The address space itself: its state, and what every operation shares.

use crate::budget::{Budget, Charge};
use crate::counters::Usage;
use crate::layer::LazyMap;
use crate::touch::Stride;
use crate::vma::{Tree, VmaFlags};
use crate::window::Window;
use crate::{fault, source};
use rivix_abi::mman::Prot;
use rivix_abi::{Errno, PAGE_SIZE};
use rivix_sync::{Mutex, RwLock, RwLockWriteGuard, level};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// Lowest address a guest may map (vm.mmap_min_addr).
pub(crate) const MMAP_MIN: u64 = PAGE_SIZE;

/// What a stack keeps free below itself (stack_guard_gap, 256 pages).
pub(crate) const STACK_GAP: u64 = 256 * PAGE_SIZE;

/// How to make an address space.
#[derive(Clone, Debug)]
pub struct MemConfig {
    /// Window size as a power of two; smaller ones are tried when it cannot be had.
    pub window_bits: u32,
    pub budget: Arc<Budget>,
    pub limits: MemLimits,
}

impl Default for MemConfig {
    fn default() -> Self {
        MemConfig {
            window_bits: crate::window::SIZES[0],
            budget: Arc::default(),
            limits: MemLimits::default(),
        }
    }
}

/// The soft limits that bound memory, in bytes; `u64::MAX` is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemLimits {
    pub as_: u64,
    pub data: u64,
    pub stack: u64,
    pub memlock: u64,
}

impl Default for MemLimits {
    fn default() -> Self {
        MemLimits {
            as_: u64::MAX,
            data: u64::MAX,
            stack: 8 << 20,
            memlock: 8 << 20,
        }
    }
}

/// What an access wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemAccess {
    Read,
    Write,
    Exec,
}

/// Why an access failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultCause {
    /// Nothing is mapped there.
    MapErr,
    /// Mapped, but without the permission.
    AccErr,
    /// Mapped, but the file does not reach so far.
    BusAdrErr,
    /// The access may succeed now: a stack has grown, or another thread mapped it.
    Retry,
}

/// Told when executable mappings have changed, under the lock of the address space:
/// nobody reads its code or copies it between the change and this.
pub trait ExecObserver: Send + Sync {
    fn exec_changed(&self, range: Range<u64>);
}

/// A guest's memory.
pub struct AddressSpace {
    id: u64,
    window: Window,
    state: RwLock<level::Vmas, State>,
    observer: Mutex<level::Code, Option<Weak<dyn ExecObserver>>>,
    pub(crate) stride: Stride,
}

pub(crate) struct State {
    pub(crate) tree: Tree,
    /// What is missing from the window since a fork.
    pub(crate) lazy: LazyMap,
    pub(crate) charge: Charge,
    pub(crate) limits: MemLimits,
    pub(crate) brk_start: u64,
    pub(crate) brk: u64,
    pub(crate) stack_start: u64,
    /// Where the top-down search for free space begins.
    pub(crate) mmap_top: u64,
    /// What mlockall(MCL_FUTURE) gives new mappings.
    pub(crate) lock_future: VmaFlags,
    /// PR_SET_MDWE.
    pub(crate) refuses_exec_gain: bool,
}

impl AddressSpace {
    pub fn new(config: &MemConfig) -> Result<Arc<AddressSpace>, Errno> {
        let window = Window::acquire(config.window_bits)?;
        let mut state = State {
            tree: Tree::new(window.base()),
            lazy: LazyMap::default(),
            charge: Charge::new(config.budget.clone()),
            limits: config.limits,
            brk_start: 0,
            brk: 0,
            stack_start: 0,
            mmap_top: mmap_top(window.size(), config.limits.stack),
            lock_future: VmaFlags::empty(),
            refuses_exec_gain: false,
        };
        state
            .charge
            .raise(state.tree.host_mappings())
            .map_err(|_| Errno::EAGAIN)?;
        Ok(AddressSpace::assemble(window, state))
    }

    pub(crate) fn assemble(window: Window, state: State) -> Arc<AddressSpace> {
        static IDS: AtomicU64 = AtomicU64::new(1);
        fault::install();
        let space = Arc::new(AddressSpace {
            id: IDS.fetch_add(1, Ordering::Relaxed),
            window,
            state: RwLock::new(state),
            observer: Mutex::new(None),
            stride: Stride::default(),
        });
        source::register(&space);
        space
    }

    /// Unlike any other address space's, ever.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// One past the highest guest address.
    pub fn task_size(&self) -> u64 {
        self.window().size()
    }

    /// Where guest address 0 lies. An engine makes host addresses as
    /// `base + guest` after checking `guest <= task_size - len` (M2).
    pub fn host_base(&self) -> *mut u8 {
        self.window().base() as *mut u8
    }

    #[inline(always)]
    pub(crate) fn window(&self) -> &Window {
        &self.window
    }

    pub(crate) fn state(&self) -> &RwLock<level::Vmas, State> {
        &self.state
    }

    pub(crate) fn write_state(&self) -> RwLockWriteGuard<'_, level::Vmas, State> {
        self.state.write()
    }

    pub fn budget(&self) -> Arc<Budget> {
        self.state.read().charge.budget().clone()
    }

    pub fn limits(&self) -> MemLimits {
        self.state.read().limits
    }

    /// prlimit(2) changed a limit of the process.
    pub fn set_limits(&self, limits: MemLimits) {
        self.state.write().limits = limits;
    }

    /// The stack pointer at program start: names \[stack\] in /proc/self/maps.
    pub fn set_stack_start(&self, addr: u64) {
        self.state.write().stack_start = addr;
    }

    pub fn usage(&self) -> Usage {
        self.state.read().tree.usage()
    }

    /// Who is told when executable mappings change. One per address space.
    pub fn set_exec_observer(&self, observer: Weak<dyn ExecObserver>) {
        *self.observer.lock() = Some(observer);
    }

    /// Called with the state's lock held: who reads code that is new, or forks, comes
    /// after the observer.
    pub(crate) fn exec_changed(&self, ranges: impl IntoIterator<Item = Range<u64>>) {
        let mut ranges = ranges.into_iter().filter(|r| !r.is_empty()).peekable();
        if ranges.peek().is_none() {
            return;
        }
        let observer = self.observer.lock().as_ref().and_then(Weak::upgrade);
        if let Some(observer) = observer {
            ranges.for_each(|range| observer.exec_changed(range));
        }
    }

    pub(crate) fn file_truncated(&self, dev_ino: (u64, u64), len: u64) {
        let state = self.state.read();
        let dropped = state
            .tree
            .iter()
            .filter(|(_, vma)| vma.prot.contains(Prot::EXEC))
            .filter_map(|(start, vma)| {
                let (source, offset) = vma.file_at(start, start)?;
                if source.dev_ino() != dev_ino {
                    return None;
                }
                let kept = len.saturating_sub(offset).next_multiple_of(PAGE_SIZE);
                Some(start.saturating_add(kept)..vma.end)
            });
        self.exec_changed(dropped);
    }

    /// `addr..addr + len`, when it is inside the window.
    pub(crate) fn range(&self, addr: u64, len: u64) -> Option<Range<u64>> {
        let end = addr.checked_add(len)?;
        (end <= self.task_size()).then_some(addr..end)
    }
}

/// As the kernel places mmap_base: below the stack's limit and a gap, which is
/// at least 128 MiB and at most five sixths of everything.
fn mmap_top(size: u64, stack_limit: u64) -> u64 {
    let gap = stack_limit
        .saturating_add(STACK_GAP)
        .clamp(128 << 20, size / 6 * 5);
    (size - gap) & !(PAGE_SIZE - 1)
}

impl State {
    /// ENOMEM when the host could run short of mappings after `range` changes.
    pub(crate) fn prepare(&mut self, range: &Range<u64>) -> Result<(), Errno> {
        // What will be cut must be known while its pages are still there.
        self.tree.remember_pages(&(range.start..range.start));
        self.tree.remember_pages(&(range.end..range.end));
        let most = self
            .tree
            .host_mappings()
            .saturating_add(self.tree.growth(range));
        self.charge.raise(most)
    }

    /// Charges what is really mapped now.
    pub(crate) fn settle(&mut self) {
        let count = self.tree.host_mappings();
        self.charge.settle(count);
    }

    /// RLIMIT_AS and RLIMIT_DATA for `bytes` more, of which `freed` are replaced.
    pub(crate) fn may_expand(&self, bytes: u64, freed: u64, is_data: bool) -> Result<(), Errno> {
        let usage = self.tree.usage();
        let total = usage.total.saturating_sub(freed).saturating_add(bytes);
        if total > self.limits.as_ {
            return Err(Errno::ENOMEM);
        }
        if is_data && usage.data.saturating_add(bytes) > self.limits.data {
            return Err(Errno::ENOMEM);
        }
        Ok(())
    }
}
