//! Copies between guest memory and the host's, which stop at a fault.
//!
//! One routine moves bytes: 16 at a time while there are many, then by fixed
//! loads. Whatever faults there, `rep movsb` continues from the same place, one
//! byte after the other, so that the count left over is exact to the byte.

use crate::space::{AddressSpace, FaultCause, MemAccess};
use rivix_abi::{Errno, PAGE_SIZE, UserAddress, UserData, UserRef};
use std::mem::MaybeUninit;

/// Above this, `rep movsb` is as fast as anything.
const LONG: usize = 1024;

/// Copies `len` bytes from `src` to `dst`; gives how many were *not* copied.
///
/// # Safety
/// One of the two is host memory valid for `len` bytes; the other lies in a
/// window (M2). They do not overlap.
#[inline]
pub(crate) unsafe fn copy(dst: *mut u8, src: *const u8, len: usize) -> usize {
    let mut left = len;
    // SAFETY: M3: every access to guest memory has an entry; the caller vouches for the host's side.
    unsafe {
        std::arch::asm!(
            "cmp rcx, {long}",
            "ja 6f",
            // Sixteen at a time.
            "2: cmp rcx, 16",
            "jb 3f",
            "20: movups {x}, [rsi]",
            "21: movups [rdi], {x}",
            "add rsi, 16",
            "add rdi, 16",
            "sub rcx, 16",
            "jmp 2b",
            // Eight, four, then single bytes.
            "3: cmp ecx, 8",
            "jb 4f",
            "22: mov {t}, [rsi]",
            "23: mov [rdi], {t}",
            "add rsi, 8",
            "add rdi, 8",
            "sub ecx, 8",
            "4: cmp ecx, 4",
            "jb 5f",
            "24: mov {t:e}, [rsi]",
            "25: mov [rdi], {t:e}",
            "add rsi, 4",
            "add rdi, 4",
            "sub ecx, 4",
            "5: test ecx, ecx",
            "je 7f",
            "26: movzx {t:e}, byte ptr [rsi]",
            "27: mov byte ptr [rdi], {t:l}",
            "inc rsi",
            "inc rdi",
            "dec ecx",
            "jmp 5b",
            // Long, or finding the exact byte of a fault.
            "6: rep movsb",
            "7:",
            crate::ex_entry!("20b", "6b"),
            crate::ex_entry!("21b", "6b"),
            crate::ex_entry!("22b", "6b"),
            crate::ex_entry!("23b", "6b"),
            crate::ex_entry!("24b", "6b"),
            crate::ex_entry!("25b", "6b"),
            crate::ex_entry!("26b", "6b"),
            crate::ex_entry!("27b", "6b"),
            crate::ex_entry!("6b", "7b"),
            long = const LONG,
            x = out(xmm_reg) _,
            t = out(reg_abcd) _,
            inout("rcx") left,
            inout("rdi") dst => _,
            inout("rsi") src => _,
            out("r10") _,
            out("r11") _,
            options(nostack),
        );
    }
    left
}

/// Zeroes `len` bytes at `dst`; gives how many were not.
///
/// # Safety
/// `dst..dst + len` lies in a window (M2).
unsafe fn fill_zero(dst: *mut u8, len: usize) -> usize {
    let mut left = len;
    // SAFETY: M3: the one access has an entry.
    unsafe {
        std::arch::asm!(
            "2: rep stosb",
            "3:",
            crate::ex_entry!("2b", "3b"),
            inout("rcx") left,
            inout("rdi") dst => _,
            in("al") 0u8,
            out("r10") _,
            out("r11") _,
            options(nostack),
        );
    }
    left
}

impl AddressSpace {
    /// Copies all of guest memory `addr..` into `dst`, or EFAULT (with an
    /// unspecified part copied).
    #[inline]
    pub fn read_bytes(&self, addr: UserAddress, dst: &mut [u8]) -> Result<(), Errno> {
        let src = self.window().host(addr.0, dst.len()).ok_or(Errno::EFAULT)?;
        // SAFETY: M2 by `host`; `dst` is exclusively ours.
        let left = unsafe { copy(dst.as_mut_ptr(), src, dst.len()) };
        if left == 0 || self.read_rest(addr, dst, left) == 0 {
            Ok(())
        } else {
            Err(Errno::EFAULT)
        }
    }

    /// As much of `addr..` as is readable; the number of bytes. None of it when
    /// the range leaves the address space, as access_ok demands.
    pub fn read_partial(&self, addr: UserAddress, dst: &mut [u8]) -> usize {
        let Some(src) = self.window().host(addr.0, dst.len()) else {
            return 0;
        };
        // SAFETY: as in `read_bytes`.
        let left = unsafe { copy(dst.as_mut_ptr(), src, dst.len()) };
        let left = if left == 0 {
            0
        } else {
            self.read_rest(addr, dst, left)
        };
        dst.len() - left
    }

    /// After a fault with `left` bytes to go: goes on as long as faults can be
    /// resolved. Gives what is left then.
    #[cold]
    fn read_rest(&self, addr: UserAddress, dst: &mut [u8], left: usize) -> usize {
        self.resume(addr, dst.len(), left, MemAccess::Read, |src, done| {
            let dst = &mut dst[done..];
            // SAFETY: M2: `src` comes from `host` for just these bytes.
            unsafe { copy(dst.as_mut_ptr(), src, dst.len()) }
        })
    }

    /// Copies all of `src` to guest memory, or EFAULT (with a part written).
    #[inline]
    pub fn write_bytes(&self, addr: UserAddress, src: &[u8]) -> Result<(), Errno> {
        let dst = self.window().host(addr.0, src.len()).ok_or(Errno::EFAULT)?;
        // SAFETY: M2 by `host`; `src` is a live slice, and no window holds host objects.
        let left = unsafe { copy(dst, src.as_ptr(), src.len()) };
        if left == 0 || self.write_rest(addr, src, left) == 0 {
            Ok(())
        } else {
            Err(Errno::EFAULT)
        }
    }

    /// As much of `src` as can be written; the number of bytes.
    pub fn write_partial(&self, addr: UserAddress, src: &[u8]) -> usize {
        let Some(dst) = self.window().host(addr.0, src.len()) else {
            return 0;
        };
        // SAFETY: as in `write_bytes`.
        let left = unsafe { copy(dst, src.as_ptr(), src.len()) };
        let left = if left == 0 {
            0
        } else {
            self.write_rest(addr, src, left)
        };
        src.len() - left
    }

    #[cold]
    fn write_rest(&self, addr: UserAddress, src: &[u8], left: usize) -> usize {
        self.resume(addr, src.len(), left, MemAccess::Write, |dst, done| {
            let src = &src[done..];
            // SAFETY: M2: `dst` comes from `host` for just these bytes.
            unsafe { copy(dst, src.as_ptr(), src.len()) }
        })
    }

    /// Zeroes `len` bytes at `addr`, or EFAULT.
    pub fn zero(&self, addr: UserAddress, len: u64) -> Result<(), Errno> {
        let len = usize::try_from(len).map_err(|_| Errno::EFAULT)?;
        let dst = self.window().host(addr.0, len).ok_or(Errno::EFAULT)?;
        // SAFETY: M2 by `host`.
        let left = unsafe { fill_zero(dst, len) };
        let left = if left == 0 {
            0
        } else {
            self.resume(addr, len, left, MemAccess::Write, |dst, done| {
                // SAFETY: M2: `dst` comes from `host` for just these bytes.
                unsafe { fill_zero(dst, len - done) }
            })
        };
        if left == 0 {
            Ok(())
        } else {
            Err(Errno::EFAULT)
        }
    }

    /// Copies on after faults, while [`AddressSpace::fault_cause`] says that a
    /// retry may help and each retry gets further.
    fn resume(
        &self,
        addr: UserAddress,
        len: usize,
        mut left: usize,
        access: MemAccess,
        mut go_on: impl FnMut(*mut u8, usize) -> usize,
    ) -> usize {
        // A bounded number of retries without progress: other threads may map
        // and unmap the page for ever.
        let mut stuck = 0;
        while left > 0 && stuck < 8 {
            let done = len - left;
            let at = addr.0.wrapping_add(done as u64);
            if self.fault_cause(at, access, false) != FaultCause::Retry {
                break;
            }
            let Some(host) = self.window().host(at, left) else {
                break;
            };
            let now = go_on(host, done);
            stuck = if now == left { stuck + 1 } else { 0 };
            left = now;
        }
        left
    }

    /// Reads a value; naturally aligned ones of up to eight bytes in one access.
    #[inline]
    pub fn read<T: UserData>(&self, at: UserRef<T>) -> Result<T, Errno> {
        let mut value = MaybeUninit::<T>::zeroed();
        // SAFETY: zeroed memory of the value's size, of plain bytes without padding.
        let bytes = unsafe {
            std::slice::from_raw_parts_mut(value.as_mut_ptr().cast::<u8>(), size_of::<T>())
        };
        self.read_bytes(at.addr, bytes)?;
        // SAFETY: `UserData` is valid for any bytes, and all were initialised.
        Ok(unsafe { value.assume_init() })
    }

    #[inline]
    pub fn write<T: UserData>(&self, at: UserRef<T>, value: &T) -> Result<(), Errno> {
        self.write_bytes(at.addr, bytemuck::bytes_of(value))
    }

    /// An array of `count` values at `at`. The caller bounds `count`.
    pub fn read_array<T: UserData>(&self, at: UserRef<T>, count: usize) -> Result<Vec<T>, Errno> {
        let mut values = vec![T::zeroed(); count];
        self.read_bytes(at.addr, bytes_of_mut(&mut values))?;
        Ok(values)
    }

    pub fn write_array<T: UserData>(&self, at: UserRef<T>, values: &[T]) -> Result<(), Errno> {
        // SAFETY: plain bytes without padding, as `UserData` promises.
        let bytes = unsafe {
            std::slice::from_raw_parts(values.as_ptr().cast::<u8>(), size_of_val(values))
        };
        self.write_bytes(at.addr, bytes)
    }

    /// The bytes before the first NUL. ENAMETOOLONG when none of the first `max`
    /// is a NUL, EFAULT when memory ends before.
    pub fn read_cstr(&self, addr: UserAddress, max: usize) -> Result<Vec<u8>, Errno> {
        let mut text = Vec::new();
        let mut at = addr;
        while text.len() < max {
            // Never past the page's end: the next page may be absent.
            let to_page_end = (PAGE_SIZE - at.0 % PAGE_SIZE) as usize;
            let mut chunk = [0u8; 256];
            let want = to_page_end.min(max - text.len()).min(chunk.len());
            let got = self.read_partial(at, &mut chunk[..want]);
            if got == 0 {
                return Err(Errno::EFAULT);
            }
            if let Some(end) = chunk[..got].iter().position(|&b| b == 0) {
                text.extend_from_slice(&chunk[..end]);
                return Ok(text);
            }
            text.extend_from_slice(&chunk[..got]);
            at = at.offset(got as u64)?;
        }
        Err(Errno::ENAMETOOLONG)
    }
}

fn bytes_of_mut<T: UserData>(values: &mut [T]) -> &mut [u8] {
    let len = size_of_val(values);
    // SAFETY: any bytes make a valid `T`, and `T` has no padding.
    unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast::<u8>(), len) }
}
