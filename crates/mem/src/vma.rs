//! The tree of a process's mappings: the truth about every guest address.

use crate::counters::Usage;
use crate::pages;
use crate::source::MapSource;
use bitflags::bitflags;
use rivix_abi::mman::Prot;
use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::sync::Arc;

bitflags! {
    /// What besides protection tells mappings apart.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub(crate) struct VmaFlags: u32 {
        /// Writes are seen by others.
        const SHARED = 1;
        const GROWSDOWN = 1 << 1;
        const NORESERVE = 1 << 2;
        const LOCKED = 1 << 3;
        const DONTFORK = 1 << 4;
        const WIPEONFORK = 1 << 5;
        const DONTDUMP = 1 << 6;
        const RANDOM = 1 << 7;
        const SEQUENTIAL = 1 << 8;
        const HUGEPAGE = 1 << 9;
        const NOHUGEPAGE = 1 << 10;
        const MERGEABLE = 1 << 11;
        const LOCKONFAULT = 1 << 12;
        /// Has been writable: the host counts it as committed, and keeps it apart
        /// from what is not.
        const ACCOUNTED = 1 << 13;
        /// Missing pages raise SIGBUS: they may be in a layer that a fork left.
        const LAZY = 1 << 14;
    }
}

/// Where a mapping's pages come from.
#[derive(Clone)]
pub(crate) enum Origin {
    /// Fresh memory; `home` is the address its first page was made for. The host
    /// merges neighbours only if they were neighbours there too.
    Anonymous { home: u64 },
    /// A file, or the memfd behind shared anonymous memory; offset of the first page.
    File {
        source: Arc<dyn MapSource>,
        offset: u64,
    },
}

impl Origin {
    /// The origin `bytes` further on.
    pub(crate) fn advanced(&self, bytes: u64) -> Origin {
        match self {
            Origin::Anonymous { home } => Origin::Anonymous {
                home: home.wrapping_add(bytes),
            },
            Origin::File { source, offset } => Origin::File {
                source: source.clone(),
                offset: offset.wrapping_add(bytes),
            },
        }
    }

    /// True when `next` continues this after `bytes`.
    fn continues(&self, bytes: u64, next: &Origin) -> bool {
        match (self, next) {
            (Origin::Anonymous { home: a }, Origin::Anonymous { home: b }) => {
                a.checked_add(bytes) == Some(*b)
            }
            (
                Origin::File {
                    source: a,
                    offset: x,
                },
                Origin::File {
                    source: b,
                    offset: y,
                },
            ) => x.checked_add(bytes) == Some(*y) && same_source(a, b),
            _ => false,
        }
    }
}

fn same_source(a: &Arc<dyn MapSource>, b: &Arc<dyn MapSource>) -> bool {
    use std::os::fd::AsRawFd;
    Arc::ptr_eq(a, b) || a.host_fd().as_raw_fd() == b.host_fd().as_raw_fd()
}

/// One mapping. Its start is its key in the tree.
#[derive(Clone)]
pub(crate) struct Vma {
    pub(crate) end: u64,
    pub(crate) prot: Prot,
    /// What mprotect may ask for.
    pub(crate) max_prot: Prot,
    pub(crate) flags: VmaFlags,
    pub(crate) origin: Origin,
    pub(crate) name: Option<&'static str>,
    /// 0 while there cannot be private pages of its own; else a number that
    /// only parts of one host mapping share. The host merges two mappings that
    /// both have had such pages only if they were one when they got the first;
    /// entries are merged by the same rule, so that one entry is at most one
    /// host mapping and the budget is exact.
    pub(crate) lineage: u64,
    /// It is known that there have been pages of its own. Otherwise the host is
    /// asked when it matters.
    pub(crate) rooted: bool,
}

impl Vma {
    pub(crate) fn is_private(&self) -> bool {
        !self.flags.contains(VmaFlags::SHARED)
    }

    pub(crate) fn is_private_anonymous(&self) -> bool {
        self.is_private() && matches!(self.origin, Origin::Anonymous { .. })
    }

    pub(crate) fn may_load(&self) -> bool {
        // A write mapping can be read: the page table has no write-only form.
        self.prot.intersects(Prot::READ | Prot::WRITE)
    }

    pub(crate) fn host_prot(&self) -> i32 {
        host_prot(self.prot)
    }

    /// The file and offset for `addr`, when there is one; `start` is the key.
    pub(crate) fn file_at(&self, start: u64, addr: u64) -> Option<(&Arc<dyn MapSource>, u64)> {
        match &self.origin {
            Origin::Anonymous { .. } => None,
            Origin::File { source, offset } => {
                Some((source, offset.wrapping_add(addr.wrapping_sub(start))))
            }
        }
    }

    /// True when the two look alike to the guest.
    fn continues(&self, start: u64, next: &Vma) -> bool {
        self.prot == next.prot
            && self.max_prot == next.max_prot
            && self.flags == next.flags
            && self.name == next.name
            && self.origin.continues(self.end - start, &next.origin)
    }
}

/// What the host gets for a guest's protection: never execution (M4).
pub(crate) fn host_prot(prot: Prot) -> i32 {
    if prot.contains(Prot::WRITE) {
        libc::PROT_READ | libc::PROT_WRITE
    } else if prot.contains(Prot::READ) {
        libc::PROT_READ
    } else {
        libc::PROT_NONE
    }
}

/// Non-overlapping mappings by start address.
pub(crate) struct Tree {
    /// Host address of guest address 0, to ask the host about pages.
    base: usize,
    map: BTreeMap<u64, Vma>,
    usage: Usage,
    /// Gaps between mappings, less one: a gap is a host mapping too.
    gaps: u64,
    last_lineage: u64,
}

impl Tree {
    pub(crate) fn new(base: usize) -> Tree {
        Tree {
            base,
            map: BTreeMap::new(),
            usage: Usage::default(),
            gaps: 0,
            last_lineage: 0,
        }
    }

    pub(crate) fn usage(&self) -> Usage {
        self.usage
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    /// Host mappings that this tree needs.
    pub(crate) fn host_mappings(&self) -> u64 {
        self.map.len() as u64 + self.gaps + 1
    }

    pub(crate) fn fresh_lineage(&mut self) -> u64 {
        self.last_lineage += 1;
        self.last_lineage
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, &Vma)> {
        self.map.iter().map(|(&start, vma)| (start, vma))
    }

    /// The mapping that contains `addr`.
    pub(crate) fn at(&self, addr: u64) -> Option<(u64, &Vma)> {
        self.before(addr.checked_add(1)?)
            .filter(|(_, vma)| addr < vma.end)
    }

    /// The first mapping that ends after `addr`.
    pub(crate) fn at_or_after(&self, addr: u64) -> Option<(u64, &Vma)> {
        self.at(addr).or_else(|| self.starting_from(addr))
    }

    /// The first mapping that starts at `addr` or later.
    pub(crate) fn starting_from(&self, addr: u64) -> Option<(u64, &Vma)> {
        self.map
            .range(addr..)
            .next()
            .map(|(&start, vma)| (start, vma))
    }

    /// The last mapping that starts before `addr`.
    pub(crate) fn before(&self, addr: u64) -> Option<(u64, &Vma)> {
        self.map
            .range(..addr)
            .next_back()
            .map(|(&start, vma)| (start, vma))
    }

    /// The mappings that touch `range`, unclipped.
    pub(crate) fn overlapping(&self, range: &Range<u64>) -> impl Iterator<Item = (u64, &Vma)> {
        let first = self.at(range.start).map_or(range.start, |(start, _)| start);
        let end = range.end.max(first);
        self.map.range(first..end).map(|(&start, vma)| (start, vma))
    }

    /// The parts of mappings inside `range`, in order.
    pub(crate) fn clipped<'a>(
        &'a self,
        range: &'a Range<u64>,
    ) -> impl Iterator<Item = (Range<u64>, u64, &'a Vma)> {
        self.overlapping(range)
            .map(move |(start, vma)| (start.max(range.start)..vma.end.min(range.end), start, vma))
    }

    pub(crate) fn is_free(&self, range: &Range<u64>) -> bool {
        self.overlapping(range).next().is_none()
    }

    /// True when no page of `range` is unmapped.
    pub(crate) fn covers(&self, range: &Range<u64>) -> bool {
        let mut reached = range.start;
        for (part, _, _) in self.clipped(range) {
            if part.start != reached {
                return false;
            }
            reached = part.end;
        }
        reached >= range.end
    }

    /// Host mappings that an operation on exactly `range` can add, at most: one
    /// for each end that is not yet an edge.
    pub(crate) fn growth(&self, range: &Range<u64>) -> u64 {
        let is_edge = |addr: u64| {
            self.map.contains_key(&addr) || self.before(addr).is_some_and(|(_, v)| v.end == addr)
        };
        u64::from(!is_edge(range.start)) + u64::from(!is_edge(range.end))
    }

    /// Puts a mapping into free space, without merging.
    pub(crate) fn insert(&mut self, start: u64, mut vma: Vma) {
        debug_assert!(start < vma.end);
        debug_assert!(self.is_free(&(start..vma.end)));
        if vma.is_private()
            && vma.prot.contains(Prot::WRITE)
            && !vma.flags.contains(VmaFlags::NORESERVE)
        {
            vma.flags |= VmaFlags::ACCOUNTED;
        }
        self.gaps = self.gaps.wrapping_add(self.gap_delta(start, vma.end));
        self.usage.add(vma.end - start, &vma);
        self.map.insert(start, vma);
    }

    fn take(&mut self, start: u64) -> Option<Vma> {
        let vma = self.map.remove(&start)?;
        self.gaps = self.gaps.wrapping_sub(self.gap_delta(start, vma.end));
        self.usage.sub(vma.end - start, &vma);
        Some(vma)
    }

    /// Gaps that a mapping at `start..end`, not in the tree, adds: a gap becomes
    /// none, one or two.
    fn gap_delta(&self, start: u64, end: u64) -> u64 {
        let left = self.before(start).is_some_and(|(_, v)| v.end == start);
        let right = self.map.contains_key(&end);
        (u64::from(!left) + u64::from(!right)).wrapping_sub(1)
    }

    /// Makes `addr` an edge if it lies inside a mapping.
    fn split(&mut self, addr: u64) {
        let Some((start, vma)) = self.at(addr) else {
            return;
        };
        if start == addr {
            return;
        }
        let (mut low, mut high) = (vma.clone(), vma.clone());
        low.end = addr;
        high.origin = vma.origin.advanced(addr - start);
        if vma.lineage != 0 {
            let rooted = self.is_rooted(start, vma) == Some(true);
            (low.rooted, high.rooted) = (rooted, rooted);
            if !rooted {
                // Each part will get pages by itself.
                high.lineage = self.fresh_lineage();
            }
        }
        self.take(start);
        self.insert(start, low);
        self.insert(addr, high);
    }

    /// Whether the mapping has had pages of its own, asking the host if need be.
    pub(crate) fn is_rooted(&self, start: u64, vma: &Vma) -> Option<bool> {
        if vma.rooted {
            return Some(true);
        }
        if vma.lineage == 0 {
            return Some(false);
        }
        pages::has_own(self.base, &(start..vma.end))
    }

    /// To be called before pages of `range` are dropped or moved away; for an
    /// empty range, of the mapping that has it inside.
    pub(crate) fn remember_pages(&mut self, range: &Range<u64>) {
        let inside = self
            .at(range.start)
            .filter(|&(start, _)| start < range.start);
        let rooted: Vec<u64> = inside
            .into_iter()
            .chain(
                self.map
                    .range(range.clone())
                    .map(|(&start, vma)| (start, vma)),
            )
            .filter(|(start, vma)| !vma.rooted && self.is_rooted(*start, vma) == Some(true))
            .map(|(start, _)| start)
            .collect();
        for start in rooted {
            if let Some(vma) = self.map.get_mut(&start) {
                vma.rooted = true;
            }
        }
    }

    /// The lineage of two like neighbours if the host merges them.
    fn joined(&self, start: u64, low: &Vma, high: &Vma) -> Option<(u64, bool)> {
        if low.lineage == high.lineage {
            return Some((low.lineage, low.rooted || high.rooted));
        }
        if self.is_rooted(low.end, high) == Some(false) {
            return Some(if low.lineage == 0 {
                (high.lineage, false)
            } else {
                (low.lineage, low.rooted)
            });
        }
        if self.is_rooted(start, low) == Some(false) {
            return Some((high.lineage, high.rooted));
        }
        None
    }

    /// Takes everything inside `range` out, splitting at its ends.
    pub(crate) fn remove(&mut self, range: &Range<u64>) -> Vec<(u64, Vma)> {
        self.split(range.start);
        self.split(range.end);
        let starts: Vec<u64> = self
            .map
            .range((
                Bound::Included(range.start),
                Bound::Excluded(range.end.max(range.start)),
            ))
            .map(|(&start, _)| start)
            .collect();
        starts
            .into_iter()
            .filter_map(|start| Some((start, self.take(start)?)))
            .collect()
    }

    /// Changes everything inside `range`, then merges what has become alike.
    pub(crate) fn update(&mut self, range: &Range<u64>, mut change: impl FnMut(&mut Vma)) {
        for (start, mut vma) in self.remove(range) {
            change(&mut vma);
            self.insert(start, vma);
        }
        self.merge(range);
    }

    /// Inserts and merges.
    pub(crate) fn place(&mut self, start: u64, vma: Vma) {
        let range = start..vma.end;
        self.insert(start, vma);
        self.merge(&range);
    }

    /// Merges neighbours in and around `range`; then numbers what may hold
    /// pages of its own from now on.
    fn merge(&mut self, range: &Range<u64>) {
        let mut at = self
            .before(range.start)
            .filter(|(_, vma)| vma.end >= range.start)
            .map_or(range.start, |(start, _)| start);
        while let Some((start, vma)) = self.starting_from(at) {
            if start > range.end {
                break;
            }
            let end = vma.end;
            let next = self.map.get(&end).filter(|next| vma.continues(start, next));
            if let Some((lineage, rooted)) = next.and_then(|next| self.joined(start, vma, next)) {
                let next = self.take(end);
                let low = self.take(start);
                if let (Some(mut low), Some(next)) = (low, next) {
                    low.end = next.end;
                    (low.lineage, low.rooted) = (lineage, rooted);
                    self.insert(start, low);
                }
                at = start;
                continue;
            }
            if vma.lineage == 0 && vma.is_private() && vma.prot.contains(Prot::WRITE) {
                let lineage = self.fresh_lineage();
                if let Some(vma) = self.map.get_mut(&start) {
                    vma.lineage = lineage;
                }
            }
            at = end;
        }
    }
}
