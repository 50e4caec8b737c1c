//! Windows: ranges of host virtual memory, one per address space.

use rivix_abi::Errno;
use rivix_sync::{StaticMutex, level};
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Sizes tried, largest first: the user half of Sv39, then ever smaller ones
/// for hosts that limit address space.
pub(crate) const SIZES: [u32; 4] = [38, 36, 34, 32];

/// Inaccessible bytes on either side, at least. Two megabytes also let the base
/// be aligned so that transparent huge pages of guest and host coincide.
pub(crate) const GUARD: usize = 2 << 20;

/// Freed windows kept for reuse.
const POOLED: usize = 32;

/// Above this many live windows of the largest size, new processes get smaller
/// ones: a 47-bit host has room for 510.
const PLENTY: usize = 320;

static POOL: StaticMutex<level::Windows, Vec<Reservation>> = StaticMutex::new(Vec::new());
static LARGEST_LIVE: AtomicUsize = AtomicUsize::new(0);

/// Windows of the largest size in use now.
pub(crate) fn full_windows() -> usize {
    LARGEST_LIVE.load(Ordering::Relaxed)
}

/// A reserved range. Its owner is the only one to change mappings in it.
/// Dropping it empties the whole range and keeps it for the next.
#[derive(Debug)]
pub(crate) struct Window {
    raw: Reservation,
}

#[derive(Clone, Copy, Debug)]
struct Reservation {
    /// First byte of the whole reservation, guards included.
    outer: usize,
    outer_len: usize,
    base: usize,
    bits: u32,
}

impl Window {
    /// A window of `1 << bits` bytes, or smaller when that cannot be had.
    pub(crate) fn acquire(bits: u32) -> Result<Window, Errno> {
        let crowded = LARGEST_LIVE.load(Ordering::Relaxed) >= PLENTY;
        let bits = if crowded { bits.min(SIZES[1]) } else { bits };
        let smaller = SIZES.into_iter().filter(|&size| size < bits);
        std::iter::once(bits)
            .chain(smaller)
            .find_map(|bits| Window::acquire_exact(bits).ok())
            .ok_or(Errno::EAGAIN)
    }

    /// A window of exactly `1 << bits` bytes.
    pub(crate) fn acquire_exact(bits: u32) -> Result<Window, Errno> {
        let raw = match Reservation::from_pool(bits) {
            Some(raw) => raw,
            None => Reservation::new(bits).or_else(|error| {
                // Pooled windows of other sizes may be in the way.
                if trim() {
                    Reservation::new(bits)
                } else {
                    Err(error)
                }
            })?,
        };
        if bits == SIZES[0] {
            LARGEST_LIVE.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Window { raw })
    }

    pub(crate) fn base(&self) -> usize {
        self.raw.base
    }

    pub(crate) fn bits(&self) -> u32 {
        self.raw.bits
    }

    pub(crate) fn size(&self) -> u64 {
        1 << self.raw.bits
    }

    /// The host address of `len` guest bytes at `addr`; None when any is outside.
    #[inline(always)]
    pub(crate) fn host(&self, addr: u64, len: usize) -> Option<*mut u8> {
        let len = len as u64;
        if len <= self.size() && addr <= self.size() - len {
            Some((self.raw.base + addr as usize) as *mut u8)
        } else {
            None
        }
    }

    fn host_range(&self, range: &Range<u64>) -> Result<(*mut u8, usize), Errno> {
        let len =
            usize::try_from(range.end.saturating_sub(range.start)).map_err(|_| Errno::ENOMEM)?;
        Ok((self.host(range.start, len).ok_or(Errno::ENOMEM)?, len))
    }

    /// Maps `range` anew with host protection `prot`. Private anonymous without
    /// a file, else the file at an offset.
    pub(crate) fn map(
        &self,
        range: &Range<u64>,
        prot: i32,
        flags: i32,
        file: Option<(i32, u64)>,
    ) -> Result<(), Errno> {
        debug_assert_eq!(prot & libc::PROT_EXEC, 0, "M4");
        let (host, len) = self.host_range(range)?;
        let (fd, offset) = file.unwrap_or((-1, 0));
        let anonymous = if file.is_none() {
            libc::MAP_ANONYMOUS
        } else {
            0
        };
        let offset = libc::off_t::try_from(offset).map_err(|_| Errno::EOVERFLOW)?;
        // SAFETY: M1, M2, M6: the range is ours and is replaced, never unmapped; M4.
        let got = unsafe {
            libc::mmap(
                host.cast(),
                len,
                prot,
                flags | anonymous | libc::MAP_FIXED,
                fd,
                offset,
            )
        };
        if got == libc::MAP_FAILED {
            Err(Errno::last_host())
        } else {
            Ok(())
        }
    }

    /// Makes `range` empty: reserved and inaccessible.
    pub(crate) fn clear(&self, range: &Range<u64>) -> Result<(), Errno> {
        self.map(
            range,
            libc::PROT_NONE,
            libc::MAP_PRIVATE | libc::MAP_NORESERVE,
            None,
        )
    }

    pub(crate) fn protect(&self, range: &Range<u64>, prot: i32) -> Result<(), Errno> {
        debug_assert_eq!(prot & libc::PROT_EXEC, 0, "M4");
        let (host, len) = self.host_range(range)?;
        // SAFETY: M1, M2, M4, M6.
        check(unsafe { libc::mprotect(host.cast(), len, prot) })
    }

    pub(crate) fn advise(&self, range: &Range<u64>, advice: i32) -> Result<(), Errno> {
        let (host, len) = self.host_range(range)?;
        // SAFETY: M1, M2; guest memory only, which may change at any time (M3).
        check(unsafe { libc::madvise(host.cast(), len, advice) })
    }

    pub(crate) fn sync(&self, range: &Range<u64>, flags: i32) -> Result<(), Errno> {
        let (host, len) = self.host_range(range)?;
        // SAFETY: M2; msync changes no mapping.
        check(unsafe { libc::msync(host.cast(), len, flags) })
    }

    /// mincore(2) on `range`, which is page-aligned; `out` has a byte for each page.
    pub(crate) fn resident(&self, range: &Range<u64>, out: &mut [u8]) -> Result<(), Errno> {
        let (host, len) = self.host_range(range)?;
        if out.len() < len.div_ceil(4096) {
            return Err(Errno::EINVAL);
        }
        // SAFETY: M2; `out` has room for a byte per page, checked above.
        check(unsafe { libc::mincore(host.cast(), len, out.as_mut_ptr()) })
    }

    /// Moves the pages of `from` to `to`, which may be longer: the mapping grows
    /// by fresh pages. `from` stays mapped, as MREMAP_DONTUNMAP leaves it: with no
    /// pages of its own. `to` may be where `from` is, to grow in place.
    pub(crate) fn relocate(&self, from: &Range<u64>, to: &Range<u64>) -> Result<(), Errno> {
        let (old, len) = self.host_range(from)?;
        let (new, new_len) = self.host_range(to)?;
        if len == new_len {
            return self.move_to(old, len, new);
        }
        // In three steps, because a call that moves and grows would leave a hole
        // in the window: out of it, grow outside, and back.
        let outside = libc::MREMAP_MAYMOVE | libc::MREMAP_DONTUNMAP;
        // SAFETY: M1, M6: DONTUNMAP leaves no hole; the copy outside is only ours.
        unsafe {
            let scratch = libc::mremap(old.cast(), len, len, outside, ptr::null_mut::<u8>());
            if scratch == libc::MAP_FAILED {
                return Err(Errno::last_host());
            }
            let grown = libc::mremap(scratch, len, new_len, libc::MREMAP_MAYMOVE);
            if grown == libc::MAP_FAILED {
                let error = Errno::last_host();
                let back = self.move_to(scratch.cast(), len, old);
                libc::munmap(scratch, len);
                return Err(back.err().unwrap_or(error));
            }
            let moved = self.move_to(grown.cast(), new_len, new);
            if moved.is_err() {
                let _ = self.move_to(grown.cast(), len, old);
            }
            libc::munmap(grown, new_len);
            moved
        }
    }

    /// Moves the pages of `range` to host address `to`, which has room reserved for
    /// them. `range` stays mapped, with no pages.
    pub(crate) fn move_out(&self, range: &Range<u64>, to: usize) -> Result<(), Errno> {
        let (old, len) = self.host_range(range)?;
        self.move_to(old, len, to as *mut u8)
    }

    /// Replaces `range` by the pages at host address `from`, outside the window, at
    /// once: nobody sees it in between. What they leave stays mapped.
    pub(crate) fn move_in(&self, from: usize, range: &Range<u64>) -> Result<(), Errno> {
        let (new, len) = self.host_range(range)?;
        self.move_to(from as *mut u8, len, new)
    }

    /// Moves `len` bytes' pages to `new`. What they leave stays mapped.
    fn move_to(&self, old: *mut u8, len: usize, new: *mut u8) -> Result<(), Errno> {
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED | libc::MREMAP_DONTUNMAP;
        // SAFETY: M1, M2, M6: DONTUNMAP leaves no hole at `old`; `new` is ours and is replaced.
        let got = unsafe { libc::mremap(old.cast(), len, len, flags, new) };
        if got != libc::MAP_FAILED {
            return Ok(());
        }
        let error = Errno::last_host();
        // A failed call may have unmapped its target first. Put the reservation
        // back unless something is still there.
        let flags = RESERVED | libc::MAP_FIXED_NOREPLACE;
        // SAFETY: M1: NOREPLACE cannot displace anything.
        unsafe { libc::mmap(new.cast(), len, libc::PROT_NONE, flags, -1, 0) };
        Err(error)
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        if self.raw.bits == SIZES[0] {
            LARGEST_LIVE.fetch_sub(1, Ordering::Relaxed);
        }
        self.raw.release();
    }
}

impl Reservation {
    fn from_pool(bits: u32) -> Option<Reservation> {
        let mut pool = POOL.lock();
        let at = pool.iter().position(|w| w.bits == bits)?;
        Some(pool.swap_remove(at))
    }

    fn new(bits: u32) -> Result<Reservation, Errno> {
        let size = 1usize.checked_shl(bits).ok_or(Errno::EINVAL)?;
        let outer_len = size.checked_add(3 * GUARD).ok_or(Errno::ENOMEM)?;
        // SAFETY: a fresh anonymous mapping at an address the host chooses.
        let outer =
            unsafe { libc::mmap(ptr::null_mut(), outer_len, libc::PROT_NONE, RESERVED, -1, 0) };
        if outer == libc::MAP_FAILED {
            return Err(Errno::last_host());
        }
        let outer = outer as usize;
        let base = (outer + 2 * GUARD - 1) & !(GUARD - 1);
        Ok(Reservation {
            outer,
            outer_len,
            base,
            bits,
        })
    }

    /// Empties the whole range by one call that never needs a split, then pools it.
    fn release(self) {
        // SAFETY: M1, and the owner is gone: nobody else maps or uses the range.
        let got = unsafe {
            libc::mmap(
                self.outer as *mut _,
                self.outer_len,
                libc::PROT_NONE,
                RESERVED | libc::MAP_FIXED,
                -1,
                0,
            )
        };
        if got == libc::MAP_FAILED {
            // Only for want of memory in the host's kernel: give the range back instead.
            self.unmap();
            return;
        }
        let mut pool = POOL.lock();
        if pool.len() < POOLED {
            pool.push(self);
        } else {
            drop(pool);
            self.unmap();
        }
    }

    fn unmap(self) {
        // SAFETY: M1 ends here: the window is gone and nobody holds its base.
        unsafe { libc::munmap(self.outer as *mut _, self.outer_len) };
    }
}

/// Gives pooled windows back to the host; false when there are none.
pub(crate) fn trim() -> bool {
    let windows = std::mem::take(&mut *POOL.lock());
    let any = !windows.is_empty();
    windows.into_iter().for_each(Reservation::unmap);
    any
}

const RESERVED: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;

fn check(got: i32) -> Result<(), Errno> {
    if got == 0 {
        Ok(())
    } else {
        Err(Errno::last_host())
    }
}
