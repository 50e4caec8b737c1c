//! brk(2).

use crate::map::executable;
use crate::space::AddressSpace;
use crate::vma::{Origin, Vma, VmaFlags};
use rivix_abi::mman::Prot;
use rivix_abi::{PAGE_SIZE, UserAddress, page_ceil};

impl AddressSpace {
    /// Where the heap begins; the loader says so.
    pub fn set_brk_start(&self, addr: UserAddress) {
        let mut state = self.write_state();
        state.brk_start = addr.0;
        state.brk = addr.0;
    }

    /// brk(2): the new break, or the old one when it cannot move there.
    pub fn brk(&self, wanted: UserAddress) -> UserAddress {
        let mut state = self.write_state();
        let old = state.brk;
        if wanted.0 < state.brk_start || wanted.0 > self.task_size() {
            return UserAddress(old);
        }
        let (Some(old_end), Some(new_end)) = (page_ceil(old), page_ceil(wanted.0)) else {
            return UserAddress(old);
        };
        if wanted.0 - state.brk_start > state.limits.data {
            return UserAddress(old);
        }
        if new_end < old_end {
            let Ok(removed) = self.unmap_locked(&mut state, &(new_end..old_end)) else {
                return UserAddress(old);
            };
            state.brk = wanted.0;
            self.exec_changed(executable(&removed));
            return wanted;
        }
        if new_end > old_end {
            let range = old_end..new_end;
            // One page stays free up to the next mapping, and a stack's gap.
            let clear = state.tree.at_or_after(old_end).is_none_or(|(start, vma)| {
                let gap = if vma.flags.contains(VmaFlags::GROWSDOWN) {
                    crate::space::STACK_GAP
                } else {
                    0
                };
                new_end.saturating_add(PAGE_SIZE) <= start.saturating_sub(gap)
            });
            let vma = Vma {
                end: new_end,
                prot: Prot::READ | Prot::WRITE,
                max_prot: Prot::READ | Prot::WRITE | Prot::EXEC,
                flags: state.lock_future,
                origin: Origin::Anonymous { home: old_end },
                name: None,
                label: None,
                lineage: 0,
                rooted: false,
            };
            let mapped = clear
                && new_end <= self.task_size()
                && state.may_expand(new_end - old_end, 0, true).is_ok()
                && state.prepare(&range).is_ok()
                && self
                    .window()
                    .map(&range, vma.host_prot(), libc::MAP_PRIVATE, None)
                    .is_ok();
            if mapped {
                state.tree.place(old_end, vma);
            }
            state.settle();
            if !mapped {
                return UserAddress(old);
            }
        }
        state.brk = wanted.0;
        wanted
    }
}
