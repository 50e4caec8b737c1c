//! What happens when memory shared since a fork is touched; see [`crate::layer`].
//!
//! A touched page that is missing raises SIGBUS. The engine or the copy routine
//! reports a fault, and [`AddressSpace::fault_cause`] comes here: in a thread's
//! ordinary context, where locks may be taken.

use crate::copy;
use crate::layer::{Chain, LazyMap, Link};
use crate::pages;
use crate::space::{AddressSpace, FaultCause, State};
use crate::uffd;
use crate::vma::{Vma, VmaFlags};
use rivix_abi::{Errno, PAGE_SIZE};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// Pages brought at once, at most, when they are touched one after the other.
const MOST: u64 = 64;

/// Pages of zeros to copy from.
#[repr(align(4096))]
struct Zeros([u8; (MOST * PAGE_SIZE) as usize]);

static ZEROS: Zeros = Zeros([0; (MOST * PAGE_SIZE) as usize]);

/// Where the last touched pages ended, and how many came then: who walks through
/// memory gets twice as many each time. Guest addresses are page-aligned, so the
/// exponent fits in the low bits.
#[derive(Debug, Default)]
pub(crate) struct Stride(AtomicU64);

impl Stride {
    /// How many pages to bring at `page`.
    fn pages(&self, page: u64) -> u64 {
        let last = self.0.load(Ordering::Relaxed);
        let exponent = if last & !(PAGE_SIZE - 1) == page {
            (last % PAGE_SIZE + 1).min(MOST.ilog2().into())
        } else {
            0
        };
        1 << exponent
    }

    fn note(&self, wanted: u64, end: u64) {
        self.0
            .store(end | u64::from(wanted.ilog2()), Ordering::Relaxed);
    }
}

impl AddressSpace {
    /// Puts the page at `addr`, which may be missing from a mapping with the flag
    /// LAZY, into the window. `Retry`: the access may succeed now, or what is
    /// mapped there has changed.
    pub(crate) fn bring(&self, addr: u64) -> FaultCause {
        let page = addr & !(PAGE_SIZE - 1);
        {
            let state = self.state().read();
            let Some((_, vma)) = state.tree.at(page) else {
                return FaultCause::Retry;
            };
            if !vma.flags.contains(VmaFlags::LAZY) {
                return FaultCause::Retry;
            }
            if !takes_back(&state, page, vma) {
                return self.bring_locked(&state, page);
            }
        }
        let mut state = self.write_state();
        if self.take_back_at(&mut state, page).is_ok() {
            state.settle();
            return FaultCause::Retry;
        }
        state.settle();
        self.bring_locked(&state, page)
    }

    /// As `bring`, by copying. The state's lock is held: mappings stay as they are.
    pub(crate) fn bring_locked(&self, state: &State, page: u64) -> FaultCause {
        let (Some(uffd), Some((_, vma))) = (uffd::get(), state.tree.at(page)) else {
            return FaultCause::Retry;
        };
        let wanted = self.stride.pages(page);
        let end = page.saturating_add(wanted * PAGE_SIZE).min(vma.end);
        let (from, end) = match state.lazy.at(page) {
            Some((range, chain)) => {
                let (host, alone) = source(chain, (page - range.start) as usize);
                let end = if alone {
                    end.min(range.end)
                } else {
                    page + PAGE_SIZE
                };
                (host, end)
            }
            None => {
                let next = state.lazy.next_start(page).unwrap_or(u64::MAX);
                (ZEROS.0.as_ptr() as usize, end.min(next))
            }
        };
        let dst = self.window().base() + page as usize;
        // SAFETY: M2: inside one mapping of the tree; the source is a layer, which
        // this state's record keeps, or zeros.
        match unsafe { uffd.copy(dst, from, (end - page) as usize) } {
            Ok(len) => {
                self.stride.note(wanted, page + len as u64);
                FaultCause::Retry
            }
            // Another thread was faster, or the host was busy.
            Err(Errno::EEXIST | Errno::EAGAIN) => FaultCause::Retry,
            // Out of memory, which kills as the host's own would.
            Err(_) => FaultCause::BusAdrErr,
        }
    }

    /// Brings the pages of `range`, a few, which lies in a mapping with the flag LAZY.
    pub(crate) fn bring_range(&self, state: &State, range: &Range<u64>) {
        let first = range.start & !(PAGE_SIZE - 1);
        for page in (first..range.end).step_by(PAGE_SIZE as usize) {
            // A page that cannot be had is found missing by who reads it.
            let _ = self.bring_locked(state, page);
        }
    }

    /// Takes back the layer that has `page`, as far as it belongs to one mapping,
    /// which so becomes again what it was.
    fn take_back_at(&self, state: &mut State, page: u64) -> Result<(), Errno> {
        let (start, vma) = state.tree.at(page).ok_or(Errno::EFAULT)?;
        if !takes_back(state, page, vma) {
            return Err(Errno::EBUSY);
        }
        let entry = start..vma.end;
        for (piece, chain) in state.lazy.clipped(&entry) {
            if chain.iter().all(Link::is_sole) {
                while squash(state, &piece)? {}
            }
        }
        let (span, link) = span(&state.lazy, &entry, page).ok_or(Errno::EFAULT)?;
        self.take_back(state, &span, &link)?;
        self.unregister_rest(state, &entry);
        Ok(())
    }

    /// Moves the part of a layer of our own from `link` on to `piece`, which lies in
    /// one readable mapping: by page tables, whatever its size. The layer is all that
    /// the records inside `piece` know.
    fn take_back(&self, state: &mut State, piece: &Range<u64>, link: &Link) -> Result<(), Errno> {
        let host = link.host();
        let len = (piece.end - piece.start) as usize;
        let (_, vma) = state.tree.at(piece.start).ok_or(Errno::EFAULT)?;
        let prot = vma.host_prot();
        const WRITABLE: i32 = libc::PROT_READ | libc::PROT_WRITE;

        state.prepare(piece)?;
        if !link.layer().is_whole(host, len) {
            link.layer().prepare_cut()?;
        }
        link.layer().make_writable(host, len)?;
        // Nobody writes from here on: who tries waits for the state's lock.
        if prot != libc::PROT_READ {
            self.window().protect(piece, libc::PROT_READ)?;
        }
        link.layer().changed();
        // What has been dropped since the fork has no record: from here on it has.
        let mut reached = piece.start;
        for (part, _) in state.lazy.clipped(piece) {
            link.drop_pages(reached - piece.start, part.start - reached)?;
            reached = part.end;
        }
        link.drop_pages(reached - piece.start, piece.end - reached)?;
        state.lazy.remove(piece);
        state.lazy.push(piece, link);
        // The pages come with their past, which they share with the layer's others.
        // The tree is cut first: it asks the host where pages are.
        let lineage = link.lineage(&mut state.tree);
        state.tree.update(piece, |vma| {
            vma.flags -= VmaFlags::LAZY;
            vma.lineage = lineage;
            vma.rooted = true;
        });
        let window = self.window().base() + piece.start as usize;
        // SAFETY: `piece` is inside the window (M2); the layer is ours alone (L3).
        let moved = unsafe { overlay(window, len as u64, host) }.and_then(|()| {
            if prot != WRITABLE {
                link.layer().protect(host, len, prot)?;
            }
            self.window().move_in(host, piece)
        });
        if let Err(error) = moved {
            self.restore(piece, prot);
            state.tree.update(piece, |vma| vma.flags |= VmaFlags::LAZY);
            return Err(error);
        }
        state.lazy.remove(piece);
        Ok(())
    }

    /// After a move that failed: the window's pages there may be gone, but the
    /// layer has them all. Missing pages must be seen as such again.
    fn restore(&self, piece: &Range<u64>, prot: i32) {
        let Some(uffd) = uffd::get() else { return };
        let host = self.window().base() + piece.start as usize;
        let len = (piece.end - piece.start) as usize;
        // Should this fail too, accesses there go on failing.
        if uffd.register(host, len).is_ok() {
            let _ = self.window().protect(piece, prot);
        }
    }

    /// Lets the host make missing pages again where no record needs it to tell us.
    pub(crate) fn unregister_rest(&self, state: &mut State, range: &Range<u64>) {
        let idle: Vec<Range<u64>> = state
            .tree
            .overlapping(range)
            .filter(|(_, vma)| vma.flags.contains(VmaFlags::LAZY))
            .map(|(start, vma)| start..vma.end)
            .filter(|entry| !state.lazy.touches(entry))
            .collect();
        for entry in idle {
            let _ = self.unregister(state, &entry);
        }
    }

    fn unregister(&self, state: &mut State, part: &Range<u64>) -> Result<(), Errno> {
        state.prepare(part)?;
        let host = self.window().base() + part.start as usize;
        let uffd = uffd::get().ok_or(Errno::ENOMEM)?;
        uffd.unregister(host, (part.end - part.start) as usize)?;
        state.tree.update(part, |vma| vma.flags -= VmaFlags::LAZY);
        Ok(())
    }

    /// Brings everything inside `range`, and makes its mappings ordinary ones: for
    /// calls that leave missing pages to the host.
    pub(crate) fn thaw(&self, state: &mut State, range: &Range<u64>) -> Result<(), Errno> {
        for part in lazy_parts(state, range) {
            for (piece, chain) in state.lazy.clipped(&part) {
                // More than this piece may have come back with another.
                if !state.lazy.touches(&piece) || self.take_back_at(state, piece.start).is_ok() {
                    continue;
                }
                self.bring_all(&piece, &chain)?;
                state.lazy.remove(&piece);
            }
            for rest in lazy_parts(state, &part) {
                self.unregister(state, &rest)?;
            }
        }
        Ok(())
    }

    /// Copies all that the chain's layers have for `piece` into the window.
    fn bring_all(&self, piece: &Range<u64>, chain: &Chain) -> Result<(), Errno> {
        let uffd = uffd::get().ok_or(Errno::ENOMEM)?;
        let base = self.window().base() + piece.start as usize;
        let len = piece.end - piece.start;
        for link in chain {
            let mut result = Ok(());
            pages::populated(link.host(), &(0..len), false, &mut |run| {
                let mut at = run.start as usize;
                let end = run.end as usize;
                while at < end && result.is_ok() {
                    // SAFETY: M2: inside `piece`, which is inside a mapping; the chain
                    // keeps the layer.
                    match unsafe { uffd.copy(base + at, link.host() + at, end - at) } {
                        Ok(len) => at += len,
                        Err(Errno::EEXIST) => at += PAGE_SIZE as usize,
                        Err(Errno::EAGAIN) => {}
                        Err(_) => result = Err(Errno::ENOMEM),
                    }
                }
            });
            result?;
        }
        Ok(())
    }
}

/// The parts of mappings with the flag LAZY inside `range`.
fn lazy_parts(state: &State, range: &Range<u64>) -> Vec<Range<u64>> {
    state
        .tree
        .clipped(range)
        .filter(|(_, _, vma)| vma.flags.contains(VmaFlags::LAZY))
        .map(|(part, _, _)| part)
        .collect()
}

/// What of the mapping `entry` can come back at once with `page`, and from where:
/// all that its layer has room for, or the one record if others are in between.
fn span(lazy: &LazyMap, entry: &Range<u64>, page: u64) -> Option<(Range<u64>, Link)> {
    let (range, chain) = lazy.at(page)?;
    let [link] = chain.as_slice() else {
        return None;
    };
    let part = entry.start.max(range.start)..entry.end.min(range.end);
    let whole = link.extent(range.start);
    let whole = entry.start.max(whole.start)..entry.end.min(whole.end);
    let is_alike = lazy.clipped(&whole).iter().all(|(part, chain)| {
        matches!(chain.as_slice(), [other] if other.continues(link, range.start, part.start))
    });
    let span = if is_alike { whole } else { part };
    let link = link.at(range.start, span.start);
    Some((span, link))
}

/// Puts the newest layer's pages of `piece` into the next, both ours alone; false:
/// there is but one.
fn squash(state: &mut State, piece: &Range<u64>) -> Result<bool, Errno> {
    let (range, chain) = state.lazy.at(piece.start).ok_or(Errno::EFAULT)?;
    let [newest, next, ..] = chain.as_slice() else {
        return Ok(false);
    };
    let offset = (piece.start - range.start) as usize;
    let (from, to) = (newest.host() + offset, next.host() + offset);
    let len = piece.end - piece.start;
    next.layer().make_writable(to, len as usize)?;
    next.layer().changed();
    // SAFETY: records lie inside their layers; both layers are ours (L3).
    unsafe { overlay(from, len, to)? };
    state.lazy.pop(piece);
    Ok(true)
}

/// Whether all layers at `page` are ours alone and can be moved into the window.
fn takes_back(state: &State, page: u64, vma: &Vma) -> bool {
    vma.host_prot() != libc::PROT_NONE
        && state
            .lazy
            .at(page)
            .is_some_and(|(_, chain)| chain.iter().all(Link::is_sole))
}

/// Where the page `offset` bytes into a chain's records is, and whether its
/// neighbours are found in the same way.
fn source(chain: &Chain, offset: usize) -> (usize, bool) {
    if let [link] = chain.as_slice() {
        // A page that it has not reads as zeros.
        return (link.host() + offset, true);
    }
    let found = chain
        .iter()
        .find(|link| pages::exists(link.host() + offset) == Some(true));
    match found {
        Some(link) => (link.host() + offset, false),
        None => (ZEROS.0.as_ptr() as usize, false),
    }
}

/// Copies the pages that exist at host address `from` over those at `to`, which are
/// older.
///
/// # Safety
/// `from` is `len` bytes of a window or a layer, `to` as many of a layer that only
/// this address space has (L3), with its state's lock held for writing.
pub(crate) unsafe fn overlay(from: usize, len: u64, to: usize) -> Result<(), Errno> {
    let mut result = Ok(());
    pages::populated(from, &(0..len), false, &mut |run| {
        let (dst, src) = (to + run.start as usize, from + run.start as usize);
        let bytes = (run.end - run.start) as usize;
        // SAFETY: the caller's promise; `run` is inside `0..len`.
        if unsafe { copy::copy(dst as *mut u8, src as *const u8, bytes) } != 0 {
            result = Err(Errno::ENOMEM);
        }
    });
    result
}
