//! Which pages the host holds, asked of it without touching them.

use rivix_abi::PAGE_SIZE;
use std::fs::File;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

fn pagemap() -> Option<&'static File> {
    static PAGEMAP: OnceLock<Option<File>> = OnceLock::new();
    PAGEMAP
        .get_or_init(|| File::open("/proc/self/pagemap").ok())
        .as_ref()
}

/// Whether guest range `range` of the window at `base` has a page of its own;
/// None when it cannot be known cheaply.
pub(crate) fn has_own(base: usize, range: &Range<u64>) -> Option<bool> {
    let pagemap = pagemap()?;
    let base = base as u64;
    let mut found = false;
    let mut at = scan(pagemap, base, range, true, 1, &mut |_| found = true);
    if at < range.end && !found {
        if range.end - at > 4096 * PAGE_SIZE {
            return None;
        }
        at = read_pagemap(pagemap, base, &(at..range.end), true, &mut |_| found = true);
    }
    (found || at >= range.end).then_some(found)
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
///
/// `range` counts from host address `base`, which is a window's or a layer's.
pub(crate) fn populated(
    base: usize,
    range: &Range<u64>,
    own: bool,
    report: &mut dyn FnMut(Range<u64>),
) {
    let mut at = range.start;
    if let Some(pagemap) = pagemap() {
        at = scan(pagemap, base as u64, range, own, 0, report);
        if at < range.end {
            at = read_pagemap(pagemap, base as u64, &(at..range.end), own, report);
        }
    }
    if at < range.end {
        by_mincore(base, &(at..range.end), report);
    }
}

/// How many pages of its own `range` has, counting to `most`; None when that cannot
/// be known cheaply.
pub(crate) fn count_own(base: usize, range: &Range<u64>, most: u64) -> Option<u64> {
    let pagemap = pagemap()?;
    let mut count = 0;
    let reached = scan(pagemap, base as u64, range, true, most, &mut |run| {
        count += (run.end - run.start) / PAGE_SIZE;
    });
    (count >= most || reached >= range.end).then_some(count)
}

/// Whether the page at `host` exists; None when that cannot be known.
pub(crate) fn exists(host: usize) -> Option<bool> {
    let mut entry = [0u8; 8];
    pagemap()?
        .read_exact_at(&mut entry, host as u64 / PAGE_SIZE * 8)
        .ok()?;
    Some(u64::from_ne_bytes(entry) >> 62 != 0)
}

/// By PAGEMAP_SCAN (Linux 6.7); where it got to. It ends early after `most` pages, if not 0.
fn scan(
    pagemap: &File,
    base: u64,
    range: &Range<u64>,
    own: bool,
    most: u64,
    report: &mut dyn FnMut(Range<u64>),
) -> u64 {
    let mut at = range.start;
    let mut found = 0;
    while at < range.end {
        let mut regions = [Region::default(); 64];
        let unwanted = if own { IS_FILE | IS_PFNZERO } else { 0 };
        let mut arg = ScanArg {
            size: size_of::<ScanArg>() as u64,
            start: base + at,
            end: base + range.end,
            vec: regions.as_mut_ptr() as u64,
            vec_len: regions.len() as u64,
            max_pages: if most == 0 { 0 } else { most - found },
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
        if most != 0 && got > 0 {
            found += regions
                .iter()
                .take(got)
                .map(|region| (region.end - region.start) / PAGE_SIZE)
                .sum::<u64>();
            if found >= most {
                return at;
            }
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
fn by_mincore(base: usize, range: &Range<u64>, report: &mut dyn FnMut(Range<u64>)) {
    let host = |at: u64| (base + at as usize) as *mut libc::c_void;
    let len = (range.end - range.start) as usize;
    // SAFETY: only asks for pages that exist to be brought in.
    unsafe { libc::madvise(host(range.start), len, libc::MADV_WILLNEED) };
    let mut at = range.start;
    let mut bytes = [0u8; 512];
    while at < range.end {
        let piece = at..range.end.min(at + 512 * PAGE_SIZE);
        let len = (piece.end - piece.start) as usize;
        // SAFETY: changes nothing; `bytes` has one for each of at most 512 pages.
        if unsafe { libc::mincore(host(at), len, bytes.as_mut_ptr()) } != 0 {
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
