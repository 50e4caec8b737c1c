//! Atomic access to guest words, for futexes and what the kernel shares with
//! threads. A host atomic on the window's page: other guest threads see it as one.

use crate::space::{AddressSpace, FaultCause, MemAccess};
use rivix_abi::{Errno, UserAddress};

/// Loads the word; None on a fault.
///
/// # Safety
/// `at` lies in a window (M2) and is 4-aligned.
unsafe fn load(at: *const u32) -> Option<u32> {
    let value: u32;
    let fault: u32;
    // SAFETY: M3: the one access has an entry.
    unsafe {
        std::arch::asm!(
            "xor r11d, r11d",
            "2: mov {v:e}, dword ptr [{at}]",
            "3:",
            crate::ex_entry!("2b", "3b"),
            v = out(reg) value,
            at = in(reg) at,
            out("r10") _,
            out("r11d") fault,
            options(nostack, readonly),
        );
    }
    (fault == 0).then_some(value)
}

/// Compare-and-exchange; the value found, or None on a fault.
///
/// # Safety
/// `at` lies in a window (M2) and is 4-aligned.
unsafe fn compare_exchange(at: *mut u32, old: u32, new: u32) -> Option<u32> {
    let mut found = old;
    let fault: u32;
    // SAFETY: M3: the one access has an entry.
    unsafe {
        std::arch::asm!(
            "xor r11d, r11d",
            "2: lock cmpxchg dword ptr [{at}], {new:e}",
            "3:",
            crate::ex_entry!("2b", "3b"),
            at = in(reg) at,
            new = in(reg) new,
            inout("eax") found,
            out("r10") _,
            out("r11d") fault,
            options(nostack),
        );
    }
    (fault == 0).then_some(found)
}

/// True when the byte can be read, or for `write` also written. Changes nothing.
///
/// # Safety
/// `at` lies in a window (M2).
pub(crate) unsafe fn probe(at: *mut u8, write: bool) -> bool {
    let fault: u32;
    // SAFETY: M3: both accesses have entries; `lock or 0` leaves the byte as it is.
    unsafe {
        std::arch::asm!(
            "xor r11d, r11d",
            "test {w}, {w}",
            "jne 4f",
            "2: movzx {t:e}, byte ptr [{at}]",
            "jmp 5f",
            "4: lock or byte ptr [{at}], 0",
            "5:",
            crate::ex_entry!("2b", "5b"),
            crate::ex_entry!("4b", "5b"),
            at = in(reg) at,
            w = in(reg_byte) u8::from(write),
            t = out(reg) _,
            out("r10") _,
            out("r11d") fault,
            options(nostack),
        );
    }
    fault == 0
}

impl AddressSpace {
    /// The word at `addr`, which must be 4-aligned (EINVAL).
    pub fn load_u32(&self, addr: UserAddress) -> Result<u32, Errno> {
        let at = self.word(addr)?;
        self.retried(addr, MemAccess::Read, || {
            // SAFETY: M2 by `word`, aligned.
            unsafe { load(at) }
        })
    }

    /// Stores `new` if the word is `old`: Ok(old); else Err(what was found).
    pub fn compare_exchange_u32(
        &self,
        addr: UserAddress,
        old: u32,
        new: u32,
    ) -> Result<Result<u32, u32>, Errno> {
        let at = self.word(addr)?;
        let found = self.retried(addr, MemAccess::Write, || {
            // SAFETY: M2 by `word`, aligned.
            unsafe { compare_exchange(at, old, new) }
        })?;
        Ok(if found == old { Ok(found) } else { Err(found) })
    }

    /// Replaces the word by `update` of it, atomically; gives the old value.
    pub fn fetch_update_u32(
        &self,
        addr: UserAddress,
        mut update: impl FnMut(u32) -> u32,
    ) -> Result<u32, Errno> {
        let mut seen = self.load_u32(addr)?;
        loop {
            match self.compare_exchange_u32(addr, seen, update(seen))? {
                Ok(old) => return Ok(old),
                Err(now) => seen = now,
            }
        }
    }

    fn word(&self, addr: UserAddress) -> Result<*mut u32, Errno> {
        if !addr.0.is_multiple_of(4) {
            return Err(Errno::EINVAL);
        }
        Ok(self.window().host(addr.0, 4).ok_or(Errno::EFAULT)?.cast())
    }

    fn retried<R>(
        &self,
        addr: UserAddress,
        access: MemAccess,
        mut attempt: impl FnMut() -> Option<R>,
    ) -> Result<R, Errno> {
        for _ in 0..8 {
            if let Some(value) = attempt() {
                return Ok(value);
            }
            if self.fault_cause(addr.0, access, false) != FaultCause::Retry {
                break;
            }
        }
        Err(Errno::EFAULT)
    }
}
