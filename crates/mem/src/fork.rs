//! Copying an address space for fork(2).
//!
//! Mappings are copied from the tree. Of private ones, pages that hold something
//! of their own are found by asking the host which exist, never by scanning. Where
//! they are few they are copied at once, which is cheaper than the faults that
//! sharing them would cost. Where they are many, parent and child share them in a
//! layer until they touch them ([`crate::layer`]). That is possible for anonymous
//! memory, on hosts that allow userfaultfd(2); elsewhere all are copied.

use crate::budget::Charge;
use crate::code::read_alias;
use crate::copy;
use crate::layer::{Heir, Layer, LazyMap, Link};
use crate::pages::{count_own, populated};
use crate::space::{AddressSpace, State};
use crate::touch::overlay;
use crate::uffd;
use crate::vma::{Origin, Tree, Vma, VmaFlags};
use crate::window::Window;
use rivix_abi::mman::Prot;
use rivix_abi::{Errno, PAGE_SIZE};
use smallvec::SmallVec;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::sync::Arc;

/// Up to so many pages of a mapping are copied at once.
const FEW: u64 = 96;

/// Pages copied at once for which a fork is still cheap; then fewer of each mapping are.
const MANY: u64 = 1024;

/// Up to so many are copied at once even then.
const FEWEST: u64 = 16;

/// Layers that may lie on one another. Deeper, memory that one process alone has
/// is copied at every fork.
const DEEPEST: usize = 6;

const WRITABLE: i32 = libc::PROT_READ | libc::PROT_WRITE;

impl AddressSpace {
    /// A copy, as fork(2) makes: private memory copied, shared memory shared.
    /// Other threads may run meanwhile; each page is copied as it is found.
    pub fn fork(&self) -> Result<Arc<AddressSpace>, Errno> {
        Ok(self.fork_with(|_, _| ())?.0)
    }

    /// As [`AddressSpace::fork`]. `share` makes what the copy has beside its memory: it
    /// gets the copy, and the ranges of code that the copy does not have. It is called
    /// under the lock: no mapping has changed since the copy was made.
    pub fn fork_with<R>(
        &self,
        share: impl FnOnce(&Arc<AddressSpace>, Vec<Range<u64>>) -> R,
    ) -> Result<(Arc<AddressSpace>, R), Errno> {
        let mut lost = Vec::new();
        let mut state = self.write_state();
        let window = Window::acquire_exact(self.window().bits()).map_err(|_| Errno::ENOMEM)?;
        self.share_large(&mut state);
        state.settle();
        let state = &*state;
        let mut child = State {
            tree: Tree::new(window.base()),
            lazy: LazyMap::default(),
            charge: Charge::new(state.charge.budget().clone()),
            limits: state.limits,
            brk_start: state.brk_start,
            brk: state.brk,
            stack_start: state.stack_start,
            mmap_top: state.mmap_top,
            lock_future: VmaFlags::empty(),
            refuses_exec_gain: false,
        };
        child.charge.raise(state.tree.host_mappings())?;
        let mut heir = Heir::default();
        for (start, vma) in state.tree.iter() {
            let stays = VmaFlags::DONTFORK | VmaFlags::WIPEONFORK;
            if vma.flags.intersects(stays) && vma.prot.contains(Prot::EXEC) {
                lost.push(start..vma.end);
            }
            if vma.flags.contains(VmaFlags::DONTFORK) {
                continue;
            }
            let range = start..vma.end;
            let mut copy = vma.clone();
            copy.flags -= VmaFlags::LOCKED | VmaFlags::LOCKONFAULT | VmaFlags::LAZY;
            if let Origin::Anonymous { home } = &mut copy.origin {
                *home = start;
            }
            let has_pages = vma.is_private() && vma.lineage != 0;
            if has_pages {
                // Neighbours in the child get pages of their own one by one: they
                // no longer share a past that lets the host merge them.
                copy.lineage = child.tree.fresh_lineage();
                copy.rooted = false;
            }
            if has_pages && !vma.flags.contains(VmaFlags::WIPEONFORK) {
                if !vma.flags.contains(VmaFlags::NORESERVE) {
                    copy.flags |= VmaFlags::ACCOUNTED;
                }
                let is_lazy = vma.flags.contains(VmaFlags::LAZY);
                copy_private(self.window(), &window, &range, &copy, is_lazy)?;
                if is_lazy && heir.inherit(&state.lazy, &range, &mut child.lazy) {
                    copy.flags |= VmaFlags::LAZY;
                    let uffd = uffd::get().ok_or(Errno::ENOMEM)?;
                    let host = window.base() + start as usize;
                    uffd.register(host, (vma.end - start) as usize)
                        .map_err(|_| Errno::ENOMEM)?;
                }
            } else {
                copy.flags -= VmaFlags::ACCOUNTED;
                map_copy(&window, &range, &copy, copy.host_prot())?;
            }
            child.tree.place(start, copy);
        }
        child.settle();
        let copy = AddressSpace::assemble(window, child);
        let shared = share(&copy, lost);
        Ok((copy, shared))
    }

    /// Moves what mappings have many pages of into layers.
    fn share_large(&self, state: &mut State) {
        if uffd::get().is_none() {
            return;
        }
        let base = self.window().base();
        let candidates: Vec<Range<u64>> = state
            .tree
            .iter()
            .filter(|(_, vma)| {
                vma.is_private_anonymous()
                    && vma.lineage != 0
                    && vma.host_prot() != libc::PROT_NONE
                    && !vma
                        .flags
                        .intersects(VmaFlags::DONTFORK | VmaFlags::WIPEONFORK)
            })
            .map(|(start, vma)| start..vma.end)
            .collect();
        let mut copied = 0;
        for mapping in candidates {
            for piece in pieces(&state.lazy, mapping) {
                let few = if copied < MANY { FEW } else { FEWEST };
                if (piece.end - piece.start) / PAGE_SIZE <= few {
                    copied += few;
                    continue;
                }
                let Some(count) = count_own(base, &piece, few + 1) else {
                    continue;
                };
                // What cannot be shared is copied, as few pages are.
                if count <= few || self.share(state, &piece).is_err() {
                    copied += count;
                }
            }
        }
    }

    /// Moves the window's pages of `piece`, all in one record or in none, to a layer.
    fn share(&self, state: &mut State, piece: &Range<u64>) -> Result<(), Errno> {
        let Some((range, chain)) = state.lazy.at(piece.start) else {
            return self.freeze(state, piece);
        };
        match chain.first() {
            Some(newest) if newest.is_sole() => {
                let newest = newest.clone();
                let host = newest.host() + (piece.start - range.start) as usize;
                self.fold(state, piece, &newest, host)
            }
            _ if chain.len() < DEEPEST => self.freeze(state, piece),
            _ => Err(Errno::ENOMEM),
        }
    }

    /// Moves the pages of `piece` into a new layer. They go by page table entries,
    /// and are missing at once for everybody else who touches them.
    fn freeze(&self, state: &mut State, piece: &Range<u64>) -> Result<(), Errno> {
        let uffd = uffd::get().ok_or(Errno::ENOMEM)?;
        let (_, vma) = state.tree.at(piece.start).ok_or(Errno::EFAULT)?;
        let was_lazy = vma.flags.contains(VmaFlags::LAZY);
        let prot = vma.host_prot();
        let host = self.window().base() + piece.start as usize;
        let len = (piece.end - piece.start) as usize;
        state.prepare(piece)?;
        let layer = Layer::reserve(host, len, prot, state.charge.budget())?;
        if !was_lazy {
            uffd.register(host, len)?;
        }
        // The tree is cut while the pages are still there, which it may ask for.
        // What is left behind may or may not have its past: it merges with nothing.
        let lineage = state.tree.fresh_lineage();
        state.tree.update(piece, |vma| {
            vma.flags |= VmaFlags::LAZY;
            vma.lineage = lineage;
            vma.rooted = true;
        });
        if let Err(error) = self.window().move_out(piece, layer.host()) {
            if !was_lazy && uffd.unregister(host, len).is_ok() {
                state.tree.update(piece, |vma| vma.flags -= VmaFlags::LAZY);
            }
            return Err(error);
        }
        state.lazy.push(piece, &Link::new(layer));
        // There is nothing to drop but empty page tables, which every later search
        // for pages would walk. Hosts before Linux 6.14 keep them.
        let _ = self.window().advise(piece, libc::MADV_DONTNEED);
        Ok(())
    }

    /// Puts the window's pages of `piece` into the newest layer, at `host`, which
    /// nobody else has: the cost is that of the pages touched since the last fork.
    fn fold(
        &self,
        state: &mut State,
        piece: &Range<u64>,
        newest: &Link,
        host: usize,
    ) -> Result<(), Errno> {
        let (_, vma) = state.tree.at(piece.start).ok_or(Errno::EFAULT)?;
        let prot = vma.host_prot();
        let layer = newest.layer();
        let len = piece.end - piece.start;
        state.prepare(piece)?;
        layer.make_writable(host, len as usize)?;
        // Nobody writes from here on: who tries waits for the state's lock.
        if prot != libc::PROT_READ {
            self.window().protect(piece, libc::PROT_READ)?;
        }
        layer.changed();
        let window = self.window().base() + piece.start as usize;
        // SAFETY: `piece` is inside the window (M2) and inside a record, and so in its
        // layer, which is ours alone (L3).
        let folded = unsafe { overlay(window, len, host) }
            .and_then(|()| self.window().advise(piece, libc::MADV_DONTNEED));
        if prot != libc::PROT_READ {
            self.window().protect(piece, prot)?;
        }
        folded
    }
}

/// `mapping`, cut where records begin and end.
fn pieces(lazy: &LazyMap, mapping: Range<u64>) -> SmallVec<[Range<u64>; 4]> {
    let mut pieces = SmallVec::new();
    let mut reached = mapping.start;
    for (part, _) in lazy.clipped(&mapping) {
        if reached < part.start {
            pieces.push(reached..part.start);
        }
        reached = part.end;
        pieces.push(part);
    }
    if reached < mapping.end {
        pieces.push(reached..mapping.end);
    }
    pieces
}

/// Maps `range` of `window` anew, as `vma` has it, but with the host's `prot`.
pub(crate) fn map_copy(
    window: &Window,
    range: &Range<u64>,
    vma: &Vma,
    prot: i32,
) -> Result<(), Errno> {
    let shared = if vma.is_private() {
        libc::MAP_PRIVATE
    } else {
        libc::MAP_SHARED
    };
    let no_reserve = if vma.flags.contains(VmaFlags::NORESERVE) {
        libc::MAP_NORESERVE
    } else {
        0
    };
    let file = match &vma.origin {
        Origin::Anonymous { .. } => None,
        Origin::File { source, offset } => Some((source.host_fd().as_raw_fd(), *offset)),
    };
    window
        .map(range, prot, shared | no_reserve, file)
        .map_err(|_| Errno::ENOMEM)
}

/// Maps `range` in the child and copies the pages that the parent has there of
/// its own.
fn copy_private(
    parent: &Window,
    child: &Window,
    range: &Range<u64>,
    vma: &Vma,
    is_lazy: bool,
) -> Result<(), Errno> {
    let mut runs: SmallVec<[Range<u64>; 16]> = SmallVec::new();
    // A page of zeros is like a missing one, but not where older ones are below it.
    populated(parent.base(), range, !is_lazy, &mut |run| runs.push(run));
    if runs.is_empty() {
        return map_copy(child, range, vma, vma.host_prot());
    }
    map_copy(child, range, vma, WRITABLE)?;
    let readable = vma.host_prot() != libc::PROT_NONE;
    for run in &runs {
        if copy_run(parent, child, run, readable).is_err() {
            // A page that madvise(MADV_FREE) gave up may go at any time.
            let missing = (run.start..run.end).step_by(PAGE_SIZE as usize);
            for at in missing.filter(|_| is_lazy) {
                let _ = copy_run(parent, child, &(at..at + PAGE_SIZE), readable);
            }
            if !is_lazy {
                return Err(Errno::ENOMEM);
            }
        }
    }
    if vma.host_prot() != WRITABLE {
        child.protect(range, vma.host_prot())?;
    }
    Ok(())
}

fn copy_run(
    parent: &Window,
    child: &Window,
    run: &Range<u64>,
    readable: bool,
) -> Result<(), Errno> {
    let len = (run.end - run.start) as usize;
    let src = parent.host(run.start, len).ok_or(Errno::ENOMEM)?;
    let dst = child.host(run.start, len).ok_or(Errno::ENOMEM)?;
    if len > PAGE_SIZE as usize {
        // One call instead of a fault for each page.
        let _ = child.advise(run, libc::MADV_POPULATE_WRITE);
    }
    let left = if readable {
        // SAFETY: M2 by `host`, both sides with entries; the child does not run yet.
        unsafe { copy::copy(dst, src, len) }
    } else {
        // SAFETY: `dst` is writable window memory of the child, which does not run yet.
        len - unsafe { read_alias(src, dst, len) }
    };
    if left == 0 {
        Ok(())
    } else {
        Err(Errno::ENOMEM)
    }
}
