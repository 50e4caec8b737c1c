//! Reading code: only where the tree says it may be executed.

use crate::copy;
use crate::source::MapSource;
use crate::space::AddressSpace;
use crate::vma::{Vma, VmaFlags, host_prot};
use rivix_abi::Errno;
use rivix_abi::mman::Prot;
use std::fs::File;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::sync::{Arc, OnceLock};

/// A mapping of code that is what the file has: private, and its pages are the
/// file's own, because it never could be written.
#[derive(Clone)]
pub struct FileCode {
    range: Range<u64>,
    offset: u64,
    source: Arc<dyn MapSource>,
}

/// A file of the host and its last change, as stat(2) tells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileVersion {
    dev: u64,
    ino: u64,
    size: i64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileCode {
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// Where in the file it begins.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Which file it is, and as of when.
    pub fn version(&self) -> Result<FileVersion, Errno> {
        // SAFETY: plain data; the host fills it.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: `stat` is ours to be written.
        if unsafe { libc::fstat(self.source.host_fd().as_raw_fd(), &raw mut stat) } != 0 {
            return Err(Errno::last_host());
        }
        Ok(FileVersion {
            dev: stat.st_dev,
            ino: stat.st_ino,
            size: stat.st_size,
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        })
    }

    /// True when the mapping at `start` has this one's bytes at its addresses.
    fn is_in(&self, start: u64, vma: &Vma) -> bool {
        own_code(start, vma).is_some_and(|(source, offset)| {
            let distance = self.offset.wrapping_sub(self.range.start);
            Arc::ptr_eq(source, &self.source) && offset.wrapping_sub(start) == distance
        })
    }
}

/// The file and the offset of a mapping of code that is what the file has.
fn own_code(start: u64, vma: &Vma) -> Option<(&Arc<dyn MapSource>, u64)> {
    let is_code = vma.prot.contains(Prot::EXEC) && !vma.prot.contains(Prot::WRITE);
    // Without a lineage it never had pages of its own.
    let is_pristine = vma.is_private() && vma.lineage == 0;
    vma.file_at(start, start).filter(|_| is_code && is_pristine)
}

impl AddressSpace {
    /// All mappings of code that are what a file has.
    pub fn file_code(&self) -> Vec<FileCode> {
        let state = self.state().read();
        let all = state.tree.iter();
        all.filter_map(|(start, vma)| {
            let (source, offset) = own_code(start, vma)?;
            Some(FileCode {
                range: start..vma.end,
                offset,
                source: source.clone(),
            })
        })
        .collect()
    }

    /// [`AddressSpace::fetch_code`], as far as it is still `file`'s own.
    pub fn fetch_file_code(&self, file: &FileCode, addr: u64, dst: &mut [u8]) -> usize {
        let left = file.range.end.saturating_sub(addr);
        let len = dst.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let dst = dst.get_mut(..len).unwrap_or_default();
        self.fetch(addr, dst, &|start, vma| file.is_in(start, vma))
    }

    /// Copies code from `addr` on, as far as it is mapped executable and
    /// present; the number of bytes. 0 is a fetch fault.
    pub fn fetch_code(&self, addr: u64, dst: &mut [u8]) -> usize {
        self.fetch(addr, dst, &|_, _| true)
    }

    /// [`AddressSpace::fetch_code`], as far as it cannot be written here.
    pub fn fetch_fixed_code(&self, addr: u64, dst: &mut [u8]) -> usize {
        let is_fixed = |_, vma: &Vma| !vma.prot.contains(Prot::WRITE);
        self.fetch(addr, dst, &is_fixed)
    }

    /// Copies code from mappings that are `wanted`.
    fn fetch(&self, addr: u64, dst: &mut [u8], wanted: &dyn Fn(u64, &Vma) -> bool) -> usize {
        let end = addr.saturating_add(dst.len() as u64).min(self.task_size());
        if addr >= end {
            return 0;
        }
        let state = self.state().read();
        let range = addr..end;
        let mut done = 0usize;
        for (part, start, vma) in state.tree.clipped(&range) {
            let follows = part.start == addr + done as u64;
            if !follows || !vma.prot.contains(Prot::EXEC) || !wanted(start, vma) {
                break;
            }
            let len = (part.end - part.start) as usize;
            let Some(src) = self.window().host(part.start, len) else {
                break;
            };
            let Some(dst) = dst.get_mut(done..done + len) else {
                break;
            };
            if vma.flags.contains(VmaFlags::LAZY) {
                self.bring_range(&state, &part);
            }
            let got = if host_prot(vma.prot) == libc::PROT_NONE {
                // SAFETY: `dst` is a live slice.
                unsafe { read_alias(src, dst.as_mut_ptr(), len) }
            } else {
                // SAFETY: M2 by `host`; `dst` is ours.
                len - unsafe { copy::copy(dst.as_mut_ptr(), src, len) }
            };
            done += got;
            if got < len {
                break;
            }
        }
        done
    }
}

/// Reads window memory that is inaccessible to ordinary loads, as exec-only
/// pages are: /proc/self/mem ignores protection. Where there is no procfs,
/// exec-only code cannot be fetched and faults. The number of bytes.
///
/// # Safety
/// `dst` is valid for `len` bytes of writing.
pub(crate) unsafe fn read_alias(src: *const u8, dst: *mut u8, len: usize) -> usize {
    static MEM: OnceLock<Option<File>> = OnceLock::new();
    let Some(mem) = MEM.get_or_init(|| File::open("/proc/self/mem").ok()) else {
        return 0;
    };
    let mut done = 0;
    while done < len {
        let at = src as usize + done;
        // SAFETY: the caller's promise; the host checks `src`.
        let got = unsafe {
            libc::pread(
                mem.as_raw_fd(),
                dst.add(done).cast(),
                len - done,
                at as libc::off_t,
            )
        };
        match got {
            1.. => done += got as usize,
            -1 if Errno::last_host() == Errno::EINTR => {}
            _ => break,
        }
    }
    done
}
