//! madvise(2), msync(2), mincore(2).

use crate::layer;
use crate::space::{AddressSpace, State};
use crate::vma::{Origin, Vma, VmaFlags};
use rivix_abi::mman::{Prot, advice, msync};
use rivix_abi::{Errno, PAGE_SIZE, UserAddress, page_ceil};
use std::ops::Range;

/// What a piece of advice comes to.
enum Effect {
    /// Remembered: these flags off, then those on.
    Flags(VmaFlags, VmaFlags),
    /// The host does it, and its failure counts.
    Host(i32),
    /// The host is told; whether it listens is its own affair.
    Hint(i32),
}

impl AddressSpace {
    /// madvise(2). Holes are skipped and make the result ENOMEM.
    pub fn advise(&self, addr: UserAddress, len: u64, what: i32) -> Result<(), Errno> {
        if !is_known(what) || !addr.is_page_aligned() {
            return Err(Errno::EINVAL);
        }
        let len = page_ceil(len).ok_or(Errno::EINVAL)?;
        let end = addr.0.checked_add(len).ok_or(Errno::EINVAL)?;
        if matches!(what, advice::HWPOISON | advice::SOFT_OFFLINE) {
            return Err(Errno::EPERM);
        }
        let range = addr.0..end;
        if range.is_empty() {
            return Ok(());
        }
        let mut code = Vec::new();
        let mut state = self.write_state();
        let result = self.advise_range(&mut state, &range, what, &mut code);
        self.exec_changed(code);
        result
    }

    fn advise_range(
        &self,
        state: &mut State,
        range: &Range<u64>,
        what: i32,
        code: &mut Vec<Range<u64>>,
    ) -> Result<(), Errno> {
        let parts: Vec<(Range<u64>, Vma)> = state
            .tree
            .clipped(range)
            .map(|(part, _, vma)| (part, vma.clone()))
            .collect();
        let mut reached = range.start;
        let mut result = Ok(());
        for (part, vma) in parts {
            if part.start != reached {
                result = Err(Errno::ENOMEM);
                if matches!(what, advice::POPULATE_READ | advice::POPULATE_WRITE) {
                    return result;
                }
            }
            reached = part.end;
            match effect(&vma, what)? {
                Effect::Flags(off, on) => {
                    if (vma.flags - off) | on != vma.flags {
                        state.prepare(&part)?;
                        state
                            .tree
                            .update(&part, |vma| vma.flags = (vma.flags - off) | on);
                        state.settle();
                    }
                }
                Effect::Host(host) => {
                    if asks_for_pages(host) {
                        let thawed = self.thaw(state, &part);
                        state.settle();
                        thawed?;
                    }
                    state.tree.remember_pages(&part);
                    self.window().advise(&part, host)?;
                    if !asks_for_pages(host) {
                        // What is dropped must not come back from before a fork.
                        state.lazy.remove(&part);
                        self.unregister_rest(state, &part);
                        state.settle();
                    }
                    if vma.prot.contains(Prot::EXEC) {
                        code.push(part);
                    }
                }
                Effect::Hint(host) => {
                    let _ = self.window().advise(&part, host);
                }
            }
        }
        if reached < range.end {
            Err(Errno::ENOMEM)
        } else {
            result
        }
    }

    /// msync(2).
    pub fn sync_range(&self, addr: UserAddress, len: u64, flags: u32) -> Result<(), Errno> {
        let both = msync::ASYNC | msync::SYNC;
        if flags & !(both | msync::INVALIDATE) != 0
            || !addr.is_page_aligned()
            || flags & both == both
        {
            return Err(Errno::EINVAL);
        }
        // The kernel rounds with wrap-around: a length of ~0 is empty.
        let len = len.wrapping_add(PAGE_SIZE - 1) & !(PAGE_SIZE - 1);
        let end = addr.0.checked_add(len).ok_or(Errno::ENOMEM)?;
        let range = addr.0..end;
        if range.is_empty() {
            return Ok(());
        }
        // Syncing may take long: the lock is not held meanwhile. A mapping that
        // changes under way is synced as it then is.
        let (parts, covered) = {
            let state = self.state().read();
            let parts: Vec<(Range<u64>, bool, bool)> = state
                .tree
                .clipped(&range)
                .map(|(part, _, vma)| {
                    let locked = vma.flags.contains(VmaFlags::LOCKED);
                    let is_file = !vma.is_private() && matches!(vma.origin, Origin::File { .. });
                    (part, locked, is_file)
                })
                .collect();
            (parts, state.tree.covers(&range))
        };
        for (part, locked, is_file) in parts {
            if flags & msync::INVALIDATE != 0 && locked {
                return Err(Errno::EBUSY);
            }
            if flags & msync::SYNC != 0 && is_file {
                self.window().sync(&part, libc::MS_SYNC)?;
            }
        }
        if covered { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    /// mincore(2): `sink` gets the bytes, one for each page, in pieces.
    pub fn resident(
        &self,
        addr: UserAddress,
        len: u64,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        if !addr.is_page_aligned() {
            return Err(Errno::EINVAL);
        }
        let whole = self.range(addr.0, len).ok_or(Errno::ENOMEM)?;
        let end = page_ceil(whole.end).ok_or(Errno::ENOMEM)?;
        let mut at = addr.0;
        while at < end {
            let piece = at..end.min(at + 4096 * PAGE_SIZE);
            let mut bytes = vec![0u8; ((piece.end - piece.start) / PAGE_SIZE) as usize];
            let covered = {
                let state = self.state().read();
                let covered = state.tree.covers(&piece);
                if covered {
                    self.window().resident(&piece, &mut bytes)?;
                    for (part, chain) in state.lazy.clipped(&piece) {
                        let first = ((part.start - piece.start) / PAGE_SIZE) as usize;
                        layer::mark_resident(&part, &chain, bytes.get_mut(first..));
                    }
                }
                covered
            };
            if !covered {
                return Err(Errno::ENOMEM);
            }
            sink(&bytes)?;
            at = piece.end;
        }
        Ok(())
    }
}

/// Whether the host is to make or look at pages, else it drops them.
fn asks_for_pages(host: i32) -> bool {
    matches!(
        host,
        libc::MADV_POPULATE_READ | libc::MADV_POPULATE_WRITE | libc::MADV_COLLAPSE
    )
}

fn is_known(what: i32) -> bool {
    matches!(
        what,
        advice::NORMAL..=advice::DONTNEED
            | advice::FREE..=advice::COLLAPSE
            | advice::HWPOISON
            | advice::SOFT_OFFLINE
    )
}

fn effect(vma: &Vma, what: i32) -> Result<Effect, Errno> {
    let locked = vma.flags.contains(VmaFlags::LOCKED);
    let none = VmaFlags::empty();
    let order = VmaFlags::RANDOM | VmaFlags::SEQUENTIAL;
    let huge = VmaFlags::HUGEPAGE | VmaFlags::NOHUGEPAGE;
    Ok(match what {
        advice::NORMAL => Effect::Flags(order, none),
        advice::RANDOM => Effect::Flags(order, VmaFlags::RANDOM),
        advice::SEQUENTIAL => Effect::Flags(order, VmaFlags::SEQUENTIAL),
        advice::WILLNEED => Effect::Hint(libc::MADV_WILLNEED),
        advice::DONTNEED | advice::FREE | advice::COLD | advice::PAGEOUT if locked => {
            return Err(Errno::EINVAL);
        }
        advice::DONTNEED | advice::DONTNEED_LOCKED => Effect::Host(libc::MADV_DONTNEED),
        advice::FREE if !vma.is_private_anonymous() => return Err(Errno::EINVAL),
        advice::FREE => Effect::Host(libc::MADV_FREE),
        advice::REMOVE => {
            if locked || matches!(vma.origin, Origin::Anonymous { .. }) {
                return Err(Errno::EINVAL);
            }
            if vma.is_private() || !vma.max_prot.contains(Prot::WRITE) {
                return Err(Errno::EACCES);
            }
            Effect::Host(libc::MADV_REMOVE)
        }
        advice::DONTFORK => Effect::Flags(none, VmaFlags::DONTFORK),
        advice::DOFORK => Effect::Flags(VmaFlags::DONTFORK, none),
        advice::MERGEABLE => Effect::Flags(none, VmaFlags::MERGEABLE),
        advice::UNMERGEABLE => Effect::Flags(VmaFlags::MERGEABLE, none),
        advice::HUGEPAGE => Effect::Flags(huge, VmaFlags::HUGEPAGE),
        advice::NOHUGEPAGE => Effect::Flags(huge, VmaFlags::NOHUGEPAGE),
        advice::DONTDUMP => Effect::Flags(none, VmaFlags::DONTDUMP),
        advice::DODUMP => Effect::Flags(VmaFlags::DONTDUMP, none),
        advice::WIPEONFORK if !vma.is_private_anonymous() => return Err(Errno::EINVAL),
        advice::WIPEONFORK => Effect::Flags(none, VmaFlags::WIPEONFORK),
        advice::KEEPONFORK => Effect::Flags(VmaFlags::WIPEONFORK, none),
        advice::COLD => Effect::Hint(libc::MADV_COLD),
        advice::PAGEOUT => Effect::Hint(libc::MADV_PAGEOUT),
        advice::POPULATE_READ => Effect::Host(libc::MADV_POPULATE_READ),
        advice::POPULATE_WRITE => Effect::Host(libc::MADV_POPULATE_WRITE),
        // A request for huge pages that may be refused for any reason.
        advice::COLLAPSE => Effect::Host(libc::MADV_COLLAPSE),
        _ => return Err(Errno::EINVAL),
    })
}
