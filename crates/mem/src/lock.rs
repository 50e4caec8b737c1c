//! mlock(2) and its family. Pages are made present and counted; they are not
//! locked on the host, whose own limit is one for all guests.

use crate::space::AddressSpace;
use crate::vma::VmaFlags;
use rivix_abi::mman::{Prot, mlock};
use rivix_abi::{Errno, PAGE_SIZE, UserAddress, page_ceil};
use std::ops::Range;

impl AddressSpace {
    /// mlock(2), mlock2(2).
    pub fn lock(&self, addr: UserAddress, len: u64, on_fault: bool) -> Result<(), Errno> {
        let mut flags = VmaFlags::LOCKED;
        flags.set(VmaFlags::LOCKONFAULT, on_fault);
        self.set_locked(addr, len, flags)
    }

    /// munlock(2).
    pub fn unlock(&self, addr: UserAddress, len: u64) -> Result<(), Errno> {
        self.set_locked(addr, len, VmaFlags::empty())
    }

    fn set_locked(&self, addr: UserAddress, len: u64, flags: VmaFlags) -> Result<(), Errno> {
        let start = addr.page_floor().0;
        let len = len
            .checked_add(addr.0 - start)
            .and_then(page_ceil)
            .ok_or(Errno::EINVAL)?;
        let end = start.checked_add(len).ok_or(Errno::EINVAL)?;
        let range = start..end;
        let locking = !flags.is_empty();

        let mut state = self.write_state();
        if locking {
            if state.limits.memlock == 0 {
                return Err(Errno::EPERM);
            }
            let already: u64 = state
                .tree
                .clipped(&range)
                .filter(|(_, _, vma)| vma.flags.contains(VmaFlags::LOCKED))
                .map(|(part, _, _)| part.end - part.start)
                .sum();
            let locked = state
                .tree
                .usage()
                .locked
                .saturating_add(len)
                .saturating_sub(already);
            if locked > state.limits.memlock {
                return Err(Errno::ENOMEM);
            }
        }
        if range.is_empty() {
            return Ok(());
        }
        state.tree.at(start).ok_or(Errno::ENOMEM)?;
        let covered = state.tree.covers(&range);
        // Up to the first hole, as the kernel goes.
        let mut reached = start;
        let mut parts: Vec<(Range<u64>, bool)> = Vec::new();
        for (part, _, vma) in state.tree.clipped(&range) {
            if part.start != reached {
                break;
            }
            reached = part.end;
            parts.push((part, vma.prot.contains(Prot::WRITE) && vma.is_private()));
        }
        let done = start..reached;
        if locking {
            self.thaw(&mut state, &done)?;
        }
        state.prepare(&done)?;
        let both = VmaFlags::LOCKED | VmaFlags::LOCKONFAULT;
        state
            .tree
            .update(&done, |vma| vma.flags = (vma.flags - both) | flags);
        state.settle();
        drop(state);
        if !covered {
            return Err(Errno::ENOMEM);
        }
        if locking && !flags.contains(VmaFlags::LOCKONFAULT) {
            for (part, writable) in parts {
                let advice = if writable {
                    libc::MADV_POPULATE_WRITE
                } else {
                    libc::MADV_POPULATE_READ
                };
                self.populate(&part, advice).map_err(|_| Errno::ENOMEM)?;
            }
        }
        Ok(())
    }

    /// Has the host make pages present. Another thread's fork may have made them
    /// missing in a way that the host leaves to us.
    fn populate(&self, part: &Range<u64>, advice: i32) -> Result<(), Errno> {
        let mut result = self.window().advise(part, advice);
        for _ in 0..8 {
            if result != Err(Errno::EFAULT) {
                break;
            }
            let mut state = self.write_state();
            let thawed = self.thaw(&mut state, part);
            state.settle();
            drop(state);
            thawed?;
            result = self.window().advise(part, advice);
        }
        result
    }

    /// mlockall(2).
    pub fn lock_all(&self, flags: u32) -> Result<(), Errno> {
        let known = mlock::ALL_CURRENT | mlock::ALL_FUTURE | mlock::ALL_ONFAULT;
        if flags == 0 || flags & !known != 0 || flags == mlock::ALL_ONFAULT {
            return Err(Errno::EINVAL);
        }
        let mut wanted = VmaFlags::LOCKED;
        wanted.set(VmaFlags::LOCKONFAULT, flags & mlock::ALL_ONFAULT != 0);
        let mut state = self.write_state();
        if state.limits.memlock == 0 {
            return Err(Errno::EPERM);
        }
        if flags & mlock::ALL_CURRENT != 0 && state.tree.usage().total > state.limits.memlock {
            return Err(Errno::ENOMEM);
        }
        state.lock_future = if flags & mlock::ALL_FUTURE != 0 {
            wanted
        } else {
            VmaFlags::empty()
        };
        if flags & mlock::ALL_CURRENT != 0 {
            let all = 0..self.task_size();
            let both = VmaFlags::LOCKED | VmaFlags::LOCKONFAULT;
            state
                .tree
                .update(&all, |vma| vma.flags = (vma.flags - both) | wanted);
            state.settle();
            if !wanted.contains(VmaFlags::LOCKONFAULT) {
                // Best effort, as the rest.
                let _ = self.thaw(&mut state, &all);
                state.settle();
                for (start, vma) in state.tree.iter().filter(|(_, vma)| vma.may_load()) {
                    let _ = self
                        .window()
                        .advise(&(start..vma.end), libc::MADV_POPULATE_READ);
                }
            }
        }
        Ok(())
    }

    /// munlockall(2).
    pub fn unlock_all(&self) {
        let mut state = self.write_state();
        state.lock_future = VmaFlags::empty();
        let all = 0..self.task_size() & !(PAGE_SIZE - 1);
        let both = VmaFlags::LOCKED | VmaFlags::LOCKONFAULT;
        state.tree.update(&all, |vma| vma.flags -= both);
        state.settle();
    }
}
