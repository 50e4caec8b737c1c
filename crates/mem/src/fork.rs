//! Copying an address space for fork(2).
//!
//! Mappings are copied from the tree. Of private ones, pages that hold something
//! of their own are found by asking the host which exist, never by scanning,
//! and copied at once. [`copy_private`] is the one place that would change for
//! copy-on-write.

use crate::budget::Charge;
use crate::code::read_alias;
use crate::copy;
use crate::pages::populated;
use crate::space::{AddressSpace, State};
use crate::vma::{Origin, Tree, Vma, VmaFlags};
use crate::window::Window;
use rivix_abi::{Errno, PAGE_SIZE};
use smallvec::SmallVec;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::sync::Arc;

impl AddressSpace {
    /// A copy, as fork(2) makes: private memory copied, shared memory shared.
    /// Other threads may run meanwhile; each page is copied as it is found.
    pub fn fork(&self) -> Result<Arc<AddressSpace>, Errno> {
        // The lock is held for reading: mappings stay as they are, pages may change.
        let state = self.state().read();
        let window = Window::acquire_exact(self.window().bits()).map_err(|_| Errno::ENOMEM)?;
        let mut child = State {
            tree: Tree::new(window.base()),
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
        for (start, vma) in state.tree.iter() {
            if vma.flags.contains(VmaFlags::DONTFORK) {
                continue;
            }
            let range = start..vma.end;
            let mut copy = vma.clone();
            copy.flags -= VmaFlags::LOCKED | VmaFlags::LOCKONFAULT;
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
                copy_private(self.window(), &window, &range, &copy)?;
            } else {
                copy.flags -= VmaFlags::ACCOUNTED;
                map_copy(&window, &range, &copy, copy.host_prot())?;
            }
            child.tree.place(start, copy);
        }
        child.settle();
        drop(state);
        Ok(AddressSpace::assemble(window, child))
    }
}

fn map_copy(window: &Window, range: &Range<u64>, vma: &Vma, prot: i32) -> Result<(), Errno> {
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
) -> Result<(), Errno> {
    const WRITABLE: i32 = libc::PROT_READ | libc::PROT_WRITE;
    let mut runs: SmallVec<[Range<u64>; 16]> = SmallVec::new();
    populated(parent, range, true, &mut |run| runs.push(run));
    if runs.is_empty() {
        return map_copy(child, range, vma, vma.host_prot());
    }
    map_copy(child, range, vma, WRITABLE)?;
    let readable = vma.host_prot() != libc::PROT_NONE;
    for run in &runs {
        copy_run(parent, child, run, readable)?;
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
