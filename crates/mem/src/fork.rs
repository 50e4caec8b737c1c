//! Copying an address space for fork(2).
//!
//! Mappings are copied from the tree. Of private ones, pages that hold something
//! of their own are found by asking the host which exist, never by scanning,
//! and copied at once. [`copy_private`] is the one place that would change for
//! copy-on-write.

use crate::budget::Charge;
use crate::code::read_alias;
use crate::copy;
use crate::space::{AddressSpace, State};
use crate::vma::{Origin, Tree, Vma, VmaFlags};
use crate::window::Window;
use rivix_abi::{Errno, PAGE_SIZE};
use std::fs::File;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, OnceLock};

impl AddressSpace {
    /// A copy, as fork(2) makes: private memory copied, shared memory shared.
    /// Other threads may run meanwhile; each page is copied as it is found.
    pub fn fork(&self) -> Result<Arc<AddressSpace>, Errno> {
        // The lock is held for reading: mappings stay as they are, pages may change.
        let state = self.state().read();
        let window = Window::acquire_exact(self.window().bits()).map_err(|_| Errno::ENOMEM)?;
        let mut child = State {
            tree: Tree::default(),
            charge: Charge::new(state.charge.budget().clone()),
            limits: state.limits,
            brk_start: state.brk_start,
            brk: state.brk,
            stack_start: state.stack_start,
            mmap_top: state.mmap_top,
            lock_future: VmaFlags::empty(),
        };
        child.charge.raise(state.tree.host_mappings())?;
        for (start, vma) in state.tree.iter() {
            if vma.flags.contains(VmaFlags::DONTFORK) {
                continue;
            }
            let range = start..vma.end;
            let mut copy = vma.clone();
            copy.flags -= VmaFlags::LOCKED | VmaFlags::LOCKONFAULT;
            let has_pages = vma.is_private() && vma.lineage != 0;
            if has_pages {
                // Neighbours in the child get pages of their own one by one: they
                // no longer share a past that lets the host merge them.
                copy.lineage = child.tree.fresh_lineage();
            }
            if has_pages && !vma.flags.contains(VmaFlags::WIPEONFORK) {
                copy_private(self.window(), &window, &range, &copy)?;
            } else {
                map_copy(&window, &range, &copy, copy.host_prot())?;
            }
            child.tree.insert(start, copy);
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
        Origin::Anonymous => None,
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
    map_copy(child, range, vma, WRITABLE)?;
    let readable = vma.host_prot() != libc::PROT_NONE;
    let mut result = Ok(());
    populated(parent, range, true, &mut |run| {
        if result.is_ok() {
            result = copy_run(parent, child, &run, readable);
        }
    });
    result?;
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

/// linux/fs.h, PAGEMAP_SCAN.
#[repr(C)]
#[derive(Default)]
struct ScanArg {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Region {
    start: u64,
    end: u64,
    categories: u64,
}

const PAGEMAP_SCAN: libc::Ioctl = 0xc060_6610;
const IS_FILE: u64 = 1 << 2;
const IS_PRESENT: u64 = 1 << 3;
const IS_SWAPPED: u64 = 1 << 4;
const IS_PFNZERO: u64 = 1 << 5;

/// Reports the runs of pages of `range` that exist; with `own`, only those that
/// belong to this mapping alone: not a file's, not the zero page.
pub(crate) fn populated(
    window: &Window,
    range: &Range<u64>,
    own: bool,
    report: &mut dyn FnMut(Range<u64>),
) {
    static PAGEMAP: OnceLock<Option<File>> = OnceLock::new();
    let Some(host) = window.host(range.start, (range.end - range.start) as usize) else {
        return;
    };
    let host = host as u64;
    let base = host - range.start;
    let pagemap = PAGEMAP.get_or_init(|| File::open("/proc/self/pagemap").ok());
    let mut at = range.start;
    if let Some(pagemap) = pagemap {
        at = scan(pagemap, base, range, own, report);
        if at < range.end {
            at = read_pagemap(pagemap, base, &(at..range.end), own, report);
        }
    }
    if at < range.end {
        by_mincore(window, &(at..range.end), report);
    }
}

/// By PAGEMAP_SCAN (Linux 6.7); where it got to.
fn scan(
    pagemap: &File,
    base: u64,
    range: &Range<u64>,
    own: bool,
    report: &mut dyn FnMut(Range<u64>),
) -> u64 {
    let mut at = range.start;
    while at < range.end {
        let mut regions = [Region::default(); 64];
        let unwanted = if own { IS_FILE | IS_PFNZERO } else { 0 };
        let mut arg = ScanArg {
            size: size_of::<ScanArg>() as u64,
            start: base + at,
            end: base + range.end,
            vec: regions.as_mut_ptr() as u64,
            vec_len: regions.len() as u64,
            category_inverted: unwanted,
            category_mask: unwanted,
            category_anyof_mask: IS_PRESENT | IS_SWAPPED,
            return_mask: IS_PRESENT,
            ..ScanArg::default()
        };
        // SAFETY: `arg` and the array it names live through the call.
        let got = unsafe { libc::ioctl(pagemap.as_raw_fd(), PAGEMAP_SCAN, &raw mut arg) };
        let Ok(got) = usize::try_from(got) else {
            return at;
        };
        for region in regions.iter().take(got) {
            report(region.start - base..region.end - base);
        }
        let next = arg.walk_end.saturating_sub(base);
        if next <= at {
            return at;
        }
        at = next;
    }
    at
}

/// By reading /proc/self/pagemap; where it got to.
fn read_pagemap(
    pagemap: &File,
    base: u64,
    range: &Range<u64>,
    own: bool,
    report: &mut dyn FnMut(Range<u64>),
) -> u64 {
    let mut at = range.start;
    let mut bytes = [0u8; 8 * 512];
    while at < range.end {
        let pages = ((range.end - at) / PAGE_SIZE).min(512) as usize;
        let Some(piece) = bytes.get_mut(..pages * 8) else {
            return at;
        };
        if pagemap
            .read_exact_at(piece, (base + at) / PAGE_SIZE * 8)
            .is_err()
        {
            return at;
        }
        let (entries, _) = piece.as_chunks::<8>();
        let exists = |entry: &[u8; 8]| {
            let entry = u64::from_ne_bytes(*entry);
            entry >> 62 != 0 && !(own && entry >> 61 & 1 != 0)
        };
        runs(at, entries.iter().map(exists), report);
        at += pages as u64 * PAGE_SIZE;
    }
    at
}

/// The last resort, where there is no procfs. What is in swap only is faulted in first.
fn by_mincore(window: &Window, range: &Range<u64>, report: &mut dyn FnMut(Range<u64>)) {
    let _ = window.advise(range, libc::MADV_WILLNEED);
    let mut at = range.start;
    let mut bytes = [0u8; 512];
    while at < range.end {
        let piece = at..range.end.min(at + 512 * PAGE_SIZE);
        if window.resident(&piece, &mut bytes).is_err() {
            return;
        }
        let pages = ((piece.end - piece.start) / PAGE_SIZE) as usize;
        runs(
            at,
            bytes.iter().take(pages).map(|byte| byte & 1 != 0),
            report,
        );
        at = piece.end;
    }
}

/// Reports the runs of `true` among consecutive pages from `at` on.
fn runs(at: u64, pages: impl Iterator<Item = bool>, report: &mut dyn FnMut(Range<u64>)) {
    let mut begun = None;
    let mut here = at;
    for exists in pages {
        match (exists, begun) {
            (true, None) => begun = Some(here),
            (false, Some(start)) => {
                report(start..here);
                begun = None;
            }
            _ => {}
        }
        here += PAGE_SIZE;
    }
    if let Some(start) = begun {
        report(start..here);
    }
}
