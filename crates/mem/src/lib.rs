//! Guest address spaces.

/// A guest's memory.
pub struct AddressSpace {
    base: usize,
    size: u64,
}

impl AddressSpace {
    pub fn host_base(&self) -> *mut u8 {
        self.base as *mut u8
    }
    pub fn task_size(&self) -> u64 {
        self.size
    }
    pub fn fetch_code(&self, addr: u64, dst: &mut [u8]) -> usize {
        if addr >= self.size {
            return 0;
        }
        let mut done = 0;
        while done < dst.len() {
            let at = addr + done as u64;
            let n = (4096 - at % 4096).min((dst.len() - done) as u64) as usize;
            let iov = libc::iovec { iov_base: dst[done..].as_mut_ptr().cast(), iov_len: n };
            let from = libc::iovec { iov_base: (self.base + at as usize) as *mut _, iov_len: n };
            // SAFETY: the kernel checks both.
            let got = unsafe { libc::process_vm_readv(libc::getpid(), &iov, 1, &from, 1, 0) };
            if got <= 0 {
                break;
            }
            done += got as usize;
        }
        done
    }
    #[doc(hidden)]
    pub fn flat() -> std::sync::Arc<Self> {
        let size = 1usize << 38;
        // SAFETY: a fresh mapping.
        let p = unsafe {
            libc::mmap(std::ptr::null_mut(), size + 8192, 0, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE, -1, 0)
        };
        std::sync::Arc::new(AddressSpace { base: p as usize + 4096, size: size as u64 })
    }
}
