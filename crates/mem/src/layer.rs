//! Memory that address spaces share since a fork, until they touch it.
//!
//! A fork moves the pages of a large private mapping out of the parent's window
//! into a *layer*: host memory at no guest's address, which nobody changes while
//! it is shared. Parent and child are left with windows where those pages are
//! missing, and with a record of where they are. Whoever touches a page gets a
//! copy of it, see [`crate::touch`]; who is left alone with a layer takes all of
//! it back by moving page tables.
//!
//! - **Invariant L1:** records lie only inside private anonymous mappings with the
//!   flag LAZY, and exactly those mappings are registered with the host, so that
//!   their missing pages raise SIGBUS.
//! - **Invariant L2:** a page that is present in the window is newer than any layer's.
//!   Whatever drops pages from a window also drops the records there.
//! - **Invariant L3:** a layer's pages change only while one address space holds it,
//!   under the lock of that space's state.

use crate::budget::{Budget, Charge};
use crate::pages;
use crate::vma::Tree;
use rivix_abi::{Errno, PAGE_SIZE};
use rivix_sync::{Mutex, level};
use smallvec::SmallVec;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// What page tables are moved by instead of page by page: memory that one table
/// of the lowest level describes.
const TABLE: usize = 2 << 20;

/// Pages that several address spaces have in common.
pub(crate) struct Layer {
    /// Host address of the first page.
    host: usize,
    len: usize,
    /// The host protection of the pages; always readable.
    prot: i32,
    charge: Mutex<level::Budget, Charge>,
    /// Bytes that exist; `UNKNOWN` until somebody asks.
    resident: AtomicU64,
}

const UNKNOWN: u64 = u64::MAX;

impl Layer {
    /// Reserves room for the `len` bytes at host address `like`, so placed that
    /// page tables can be moved whole. What is moved there has protection `prot`.
    pub(crate) fn reserve(
        like: usize,
        len: usize,
        prot: i32,
        budget: &Arc<Budget>,
    ) -> Result<Layer, Errno> {
        let mut charge = Charge::new(budget.clone());
        charge.raise(1)?;
        let outer_len = len.checked_add(TABLE).ok_or(Errno::ENOMEM)?;
        // SAFETY: a fresh mapping, of which what is not needed is unmapped again.
        let host = unsafe {
            let outer = libc::mmap(
                ptr::null_mut(),
                outer_len,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            );
            if outer == libc::MAP_FAILED {
                return Err(Errno::ENOMEM);
            }
            let outer = outer as usize;
            let host = outer + (like.wrapping_sub(outer) & (TABLE - 1));
            if host > outer {
                libc::munmap(outer as *mut _, host - outer);
            }
            let end = host + len;
            if outer + outer_len > end {
                libc::munmap(end as *mut _, outer + outer_len - end);
            }
            host
        };
        Ok(Layer {
            host,
            len,
            prot,
            charge: Mutex::new(charge),
            resident: AtomicU64::new(UNKNOWN),
        })
    }

    pub(crate) fn host(&self) -> usize {
        self.host
    }

    /// The part at `host` can be written from here on.
    pub(crate) fn make_writable(&self, host: usize, len: usize) -> Result<(), Errno> {
        const WRITABLE: i32 = libc::PROT_READ | libc::PROT_WRITE;
        if self.prot == WRITABLE {
            return Ok(());
        }
        self.prepare_cut()?;
        self.protect(host, len, WRITABLE)
    }

    /// mprotect(2) of the part at `host`.
    pub(crate) fn protect(&self, host: usize, len: usize, prot: i32) -> Result<(), Errno> {
        // SAFETY: a layer's memory, which only its one holder uses now (L3).
        if unsafe { libc::mprotect(host as *mut _, len, prot) } == 0 {
            Ok(())
        } else {
            Err(Errno::last_host())
        }
    }

    /// Makes sure that a part can be moved out, which cuts the host's mapping.
    pub(crate) fn prepare_cut(&self) -> Result<(), Errno> {
        let mut charge = self.charge.lock();
        let count = charge.count();
        charge.raise(count + 2)
    }

    pub(crate) fn is_whole(&self, host: usize, len: usize) -> bool {
        host == self.host && len == self.len
    }

    /// Its pages have changed (L3).
    pub(crate) fn changed(&self) {
        self.resident.store(UNKNOWN, Ordering::Relaxed);
    }

    /// Bytes of the part at `host` that exist.
    fn resident(&self, host: usize, len: usize) -> u64 {
        let known = self.resident.load(Ordering::Relaxed);
        let is_whole = self.is_whole(host, len);
        if is_whole && known != UNKNOWN {
            return known;
        }
        let mut bytes = 0;
        pages::populated(host, &(0..len as u64), false, &mut |run| {
            bytes += run.end - run.start;
        });
        if is_whole {
            self.resident.store(bytes, Ordering::Relaxed);
        }
        bytes
    }
}

impl Drop for Layer {
    fn drop(&mut self) {
        // SAFETY: the range is this layer's since `reserve`; whatever was moved out
        // left the range mapped, and nobody has a record of it any more.
        unsafe { libc::munmap(self.host as *mut _, self.len) };
    }
}

/// One address space's hold on a layer; all its records of the layer have it.
pub(crate) struct Share {
    layer: Arc<Layer>,
    /// What the tree calls the past of pages that come back from the layer; 0: none
    /// has. Changed under the lock of the space's state.
    lineage: AtomicU64,
}

impl Share {
    fn new(layer: Arc<Layer>) -> Arc<Share> {
        Arc::new(Share {
            layer,
            lineage: AtomicU64::new(0),
        })
    }
}

/// A part of a layer, from a host address on.
#[derive(Clone)]
pub(crate) struct Link {
    share: Arc<Share>,
    host: usize,
}

impl Link {
    pub(crate) fn new(layer: Layer) -> Link {
        let host = layer.host;
        let share = Share::new(Arc::new(layer));
        Link { share, host }
    }

    pub(crate) fn host(&self) -> usize {
        self.host
    }

    pub(crate) fn layer(&self) -> &Layer {
        &self.share.layer
    }

    /// The link for guest address `to`, when this one is for `from`.
    pub(crate) fn at(&self, from: u64, to: u64) -> Link {
        Link {
            share: self.share.clone(),
            host: (self.host as u64).wrapping_add(to).wrapping_sub(from) as usize,
        }
    }

    /// The guest addresses that the whole layer has room for, when this link is for `from`.
    pub(crate) fn extent(&self, from: u64) -> Range<u64> {
        let layer = self.layer();
        let start = from.saturating_sub((self.host - layer.host) as u64);
        start..start.saturating_add(layer.len as u64)
    }

    /// True when this link, for guest address `to`, is where `other`, for `from`, leads.
    pub(crate) fn continues(&self, other: &Link, from: u64, to: u64) -> bool {
        Arc::ptr_eq(&self.share, &other.share) && self.host == other.at(from, to).host
    }

    /// Empties a part of a layer that is ours alone (L3).
    pub(crate) fn drop_pages(&self, offset: u64, len: u64) -> Result<(), Errno> {
        if len == 0 {
            return Ok(());
        }
        let host = self.host + offset as usize;
        // SAFETY: inside the layer, as the caller found; nobody else uses it.
        if unsafe { libc::madvise(host as *mut _, len as usize, libc::MADV_DONTNEED) } == 0 {
            Ok(())
        } else {
            Err(Errno::last_host())
        }
    }

    /// The lineage of what comes back from the layer: the host gives it one past, and
    /// merges what lies side by side.
    pub(crate) fn lineage(&self, tree: &mut Tree) -> u64 {
        match self.share.lineage.load(Ordering::Relaxed) {
            0 => {
                let lineage = tree.fresh_lineage();
                self.share.lineage.store(lineage, Ordering::Relaxed);
                lineage
            }
            lineage => lineage,
        }
    }

    /// No other address space has the layer. Only who holds it could give it to
    /// another, by a fork, for which it needs its own state's lock.
    pub(crate) fn is_sole(&self) -> bool {
        let is_sole = Arc::strong_count(&self.share.layer) == 1;
        // What others did with the layer came before they let it go.
        fence(Ordering::Acquire);
        is_sole
    }
}

/// Layers from the newest on: the first that has a page is the one that counts.
/// A page that none has is zeros.
pub(crate) type Chain = SmallVec<[Link; 1]>;

#[derive(Clone)]
struct Record {
    end: u64,
    chain: Chain,
}

/// Which guest memory is missing from the window, and where it is.
#[derive(Default)]
pub(crate) struct LazyMap {
    records: BTreeMap<u64, Record>,
}

fn advanced(chain: &Chain, bytes: u64) -> Chain {
    chain
        .iter()
        .map(|link| Link {
            share: link.share.clone(),
            host: link.host + bytes as usize,
        })
        .collect()
}

impl LazyMap {
    /// The record that has `addr` inside: its range and chain from its start on.
    pub(crate) fn at(&self, addr: u64) -> Option<(Range<u64>, &Chain)> {
        let (&start, record) = self.records.range(..=addr).next_back()?;
        (addr < record.end).then_some((start..record.end, &record.chain))
    }

    /// Where the first record at or after `addr` starts.
    pub(crate) fn next_start(&self, addr: u64) -> Option<u64> {
        self.records.range(addr..).next().map(|(&start, _)| start)
    }

    /// The parts of records inside `range`, in order.
    pub(crate) fn clipped(&self, range: &Range<u64>) -> Vec<(Range<u64>, Chain)> {
        if range.is_empty() {
            return Vec::new();
        }
        let first = self.at(range.start).map_or(range.start, |(r, _)| r.start);
        self.records
            .range(first..range.end)
            .map(|(&start, record)| {
                let part = start.max(range.start)..record.end.min(range.end);
                let chain = advanced(&record.chain, part.start - start);
                (part, chain)
            })
            .collect()
    }

    pub(crate) fn touches(&self, range: &Range<u64>) -> bool {
        self.at(range.start).is_some()
            || self
                .next_start(range.start)
                .is_some_and(|start| start < range.end)
    }

    /// Forgets all records inside `range`.
    pub(crate) fn remove(&mut self, range: &Range<u64>) {
        if range.is_empty() || self.records.is_empty() {
            return;
        }
        self.split(range.start);
        self.split(range.end);
        let gone: SmallVec<[u64; 8]> = self
            .records
            .range(range.clone())
            .map(|(&start, _)| start)
            .collect();
        for start in gone {
            self.records.remove(&start);
        }
    }

    fn split(&mut self, addr: u64) {
        let Some((range, chain)) = self.at(addr) else {
            return;
        };
        if range.start == addr {
            return;
        }
        let high = Record {
            end: range.end,
            chain: advanced(chain, addr - range.start),
        };
        if let Some(low) = self.records.get_mut(&range.start) {
            low.end = addr;
        }
        self.records.insert(addr, high);
    }

    /// Forgets the newest layer of `range`, which lies in one record.
    pub(crate) fn pop(&mut self, range: &Range<u64>) {
        self.split(range.start);
        self.split(range.end);
        if let Some(record) = self.records.get_mut(&range.start) {
            record.chain.remove(0);
        }
    }

    /// Records that all of `range` is in a new layer, and below it where it was.
    pub(crate) fn push(&mut self, range: &Range<u64>, link: &Link) {
        let below = self.clipped(range);
        self.remove(range);
        let mut reached = range.start;
        let mut add = |part: Range<u64>, below: Chain| {
            if part.is_empty() {
                return;
            }
            let mut chain = Chain::new();
            chain.push(Link {
                share: link.share.clone(),
                host: link.host + (part.start - range.start) as usize,
            });
            chain.extend(below);
            let record = Record {
                end: part.end,
                chain,
            };
            self.records.insert(part.start, record);
        };
        for (part, chain) in below {
            add(reached..part.start, Chain::new());
            reached = part.end;
            add(part, chain);
        }
        add(reached..range.end, Chain::new());
    }
}

/// Gives a child its parent's records, mapping by mapping.
#[derive(Default)]
pub(crate) struct Heir {
    shares: HashMap<usize, Arc<Share>>,
}

impl Heir {
    /// The child gets the parent's records inside `range`; false: there are none.
    pub(crate) fn inherit(
        &mut self,
        from: &LazyMap,
        range: &Range<u64>,
        child: &mut LazyMap,
    ) -> bool {
        let parts = from.clipped(range);
        let any = !parts.is_empty();
        for (part, chain) in parts {
            let chain = chain.iter().map(|link| Link {
                share: self.share_of(&link.share),
                host: link.host,
            });
            let record = Record {
                end: part.end,
                chain: chain.collect(),
            };
            child.records.insert(part.start, record);
        }
        any
    }

    fn share_of(&mut self, parents: &Arc<Share>) -> Arc<Share> {
        self.shares
            .entry(parents.layer.host)
            .or_insert_with(|| Share::new(parents.layer.clone()))
            .clone()
    }
}

/// Bytes of `range` that exist in the window at `base` or in the chain's layers.
pub(crate) fn resident(base: usize, range: &Range<u64>, chain: &Chain) -> u64 {
    let len = (range.end - range.start) as usize;
    if let [link] = chain.as_slice()
        && link.layer().resident(link.host, len) == len as u64
    {
        return len as u64;
    }
    let mut own = Vec::new();
    pages::populated(base, range, false, &mut |run| own.push(run));
    let in_window: u64 = own.iter().map(|run| run.end - run.start).sum();
    if let [link] = chain.as_slice() {
        // Only what the window has needs looking up: it counts once.
        let mut twice = 0;
        for run in own {
            let offset = run.start - range.start..run.end - range.start;
            pages::populated(link.host, &offset, false, &mut |run| {
                twice += run.end - run.start;
            });
        }
        return in_window + link.layer().resident(link.host, len).saturating_sub(twice);
    }
    let mut exists = vec![false; len / PAGE_SIZE as usize];
    let mut mark = |run: Range<u64>| {
        let pages = (run.start / PAGE_SIZE) as usize..(run.end / PAGE_SIZE) as usize;
        if let Some(pages) = exists.get_mut(pages) {
            pages.fill(true);
        }
    };
    for run in own {
        mark(run.start - range.start..run.end - range.start);
    }
    for link in chain {
        pages::populated(link.host, &(0..len as u64), false, &mut mark);
    }
    exists.iter().filter(|&&exists| exists).count() as u64 * PAGE_SIZE
}

/// Says in `bytes`, one for each page of `range`, which pages the chain's layers have.
pub(crate) fn mark_resident(range: &Range<u64>, chain: &Chain, bytes: Option<&mut [u8]>) {
    let Some(bytes) = bytes else { return };
    for link in chain {
        let whole = 0..range.end - range.start;
        pages::populated(link.host, &whole, false, &mut |run| {
            let pages = (run.start / PAGE_SIZE) as usize..(run.end / PAGE_SIZE) as usize;
            if let Some(pages) = bytes.get_mut(pages) {
                pages.iter_mut().for_each(|byte| *byte |= 1);
            }
        });
    }
}
