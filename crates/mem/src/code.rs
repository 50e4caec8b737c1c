//! Reading code: only where the tree says it may be executed.

use crate::copy;
use crate::space::AddressSpace;
use crate::vma::{VmaFlags, host_prot};
use rivix_abi::Errno;
use rivix_abi::mman::Prot;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::OnceLock;

impl AddressSpace {
    /// Copies code from `addr` on, as far as it is mapped executable and
    /// present; the number of bytes. 0 is a fetch fault.
    pub fn fetch_code(&self, addr: u64, dst: &mut [u8]) -> usize {
        let end = addr.saturating_add(dst.len() as u64).min(self.task_size());
        if addr >= end {
            return 0;
        }
        let state = self.state().read();
        let range = addr..end;
        let mut done = 0usize;
        for (part, _, vma) in state.tree.clipped(&range) {
            if part.start != addr + done as u64 || !vma.prot.contains(Prot::EXEC) {
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
