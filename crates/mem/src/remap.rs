//! mremap(2).

use crate::fork::map_copy;
use crate::map::executable;
use crate::space::{AddressSpace, State};
use crate::vma::{Origin, Vma, VmaFlags};
use rivix_abi::mman::{Prot, mremap};
use rivix_abi::{Errno, UserAddress, page_ceil};
use std::ops::Range;

impl AddressSpace {
    /// mremap(2); `new_addr` counts only with FIXED or DONTUNMAP.
    pub fn remap(
        &self,
        addr: UserAddress,
        old_len: u64,
        new_len: u64,
        flags: u32,
        new_addr: UserAddress,
    ) -> Result<UserAddress, Errno> {
        let fixed = flags & mremap::FIXED != 0;
        let keep = flags & mremap::DONTUNMAP != 0;
        let may_move = flags & mremap::MAYMOVE != 0;
        if flags & !(mremap::FIXED | mremap::DONTUNMAP | mremap::MAYMOVE) != 0
            || !addr.is_page_aligned()
        {
            return Err(Errno::EINVAL);
        }
        // Rounding wraps to zero in the kernel, which is refused just so.
        let old_len = page_ceil(old_len).unwrap_or(0);
        let new_len = page_ceil(new_len).unwrap_or(0);
        if new_len == 0 || new_len > self.task_size() {
            return Err(Errno::EINVAL);
        }
        if fixed || keep {
            let target = self.range(new_addr.0, new_len).ok_or(Errno::EINVAL)?;
            let source = addr.0..addr.0.saturating_add(old_len);
            let overlaps = source.start < target.end && target.start < source.end;
            if !new_addr.is_page_aligned() || !may_move || (keep && old_len != new_len) || overlaps
            {
                return Err(Errno::EINVAL);
            }
            if fixed && new_addr.0 < crate::space::MMAP_MIN {
                return Err(Errno::EPERM);
            }
        }

        let mut code = Vec::new();
        let mut state = self.write_state();
        self.thaw_touched(&mut state, addr.0, old_len)?;
        let result = if fixed && old_len == new_len {
            self.move_all(&mut state, addr.0, old_len, keep, new_addr.0, &mut code)
        } else {
            let hint = if fixed || keep {
                Some(new_addr.0)
            } else {
                None
            };
            self.resize(
                &mut state,
                addr.0,
                old_len,
                new_len,
                (may_move, fixed, keep),
                hint,
                &mut code,
            )
        };
        state.settle();
        self.exec_changed(code);
        result.map(UserAddress)
    }

    /// Memory that moves or grows is the guest's own first: whole mappings, because
    /// one that has moved grows by moving again.
    fn thaw_touched(&self, state: &mut State, addr: u64, len: u64) -> Result<(), Errno> {
        let range = addr..addr.saturating_add(len);
        let mappings: Vec<Range<u64>> = state
            .tree
            .overlapping(&range)
            .filter(|(_, vma)| vma.flags.contains(VmaFlags::LAZY))
            .map(|(start, vma)| start..vma.end)
            .collect();
        let thawed = mappings
            .iter()
            .try_for_each(|mapping| self.thaw(state, mapping));
        state.settle();
        thawed
    }

    /// Moves every mapping in the range, gaps kept (Linux 6.17 and later).
    fn move_all(
        &self,
        state: &mut State,
        addr: u64,
        len: u64,
        keep: bool,
        to: u64,
        code: &mut Vec<Range<u64>>,
    ) -> Result<u64, Errno> {
        state.tree.at(addr).ok_or(Errno::EFAULT)?;
        let range = self.range(addr, len).ok_or(Errno::EFAULT)?;
        let parts: Vec<Range<u64>> = state
            .tree
            .clipped(&range)
            .map(|(part, _, _)| part)
            .collect();
        for part in parts {
            let target = to + (part.start - addr);
            self.move_part(
                state,
                &part,
                target,
                part.end - part.start,
                keep,
                true,
                code,
            )?;
        }
        Ok(to)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the call's own arguments and the state"
    )]
    fn resize(
        &self,
        state: &mut State,
        addr: u64,
        old_len: u64,
        new_len: u64,
        (may_move, fixed, keep): (bool, bool, bool),
        target: Option<u64>,
        code: &mut Vec<Range<u64>>,
    ) -> Result<u64, Errno> {
        let (_, vma) = state.tree.at(addr).ok_or(Errno::EFAULT)?;
        let vma = vma.clone();
        let room = vma.end - addr;
        let grows = new_len > old_len;
        if grows || target.is_some() || old_len == 0 {
            if old_len == 0 && vma.is_private() {
                return Err(Errno::EINVAL);
            }
            if old_len > room {
                return Err(Errno::EFAULT);
            }
        }
        if grows {
            let more = new_len - old_len;
            if vma.flags.contains(VmaFlags::LOCKED)
                && state.tree.usage().locked.saturating_add(more) > state.limits.memlock
            {
                return Err(Errno::EAGAIN);
            }
            state.may_expand(more, 0, crate::counters::is_data(vma.prot, vma.flags))?;
        }

        if let Some(target) = target {
            let mut old_len = old_len;
            if old_len > new_len {
                let tail = addr + new_len..addr + old_len;
                code.extend(executable(&self.unmap_locked(state, &tail)?));
                old_len = new_len;
            }
            let target = if fixed {
                target
            } else {
                state
                    .find_free(self.task_size(), target, new_len)
                    .ok_or(Errno::ENOMEM)?
            };
            let part = addr..addr + old_len;
            return self.move_part(state, &part, target, new_len, keep, fixed, code);
        }
        if !grows {
            if new_len < old_len {
                let tail = self.range(addr, old_len).ok_or(Errno::EINVAL)?;
                let tail = addr + new_len..tail.end;
                code.extend(executable(&self.unmap_locked(state, &tail)?));
            }
            return Ok(addr);
        }
        // In place, when the mapping ends here and what follows is free.
        if old_len == room {
            let extra = self.range(vma.end, new_len - old_len);
            if let Some(extra) = extra.filter(|extra| state.tree.is_free(extra)) {
                self.extend(state, &vma, addr, &extra)?;
                if vma.prot.contains(Prot::EXEC) {
                    code.push(extra);
                }
                return Ok(addr);
            }
        }
        if !may_move {
            return Err(Errno::ENOMEM);
        }
        let target = state
            .find_free(self.task_size(), 0, new_len)
            .ok_or(Errno::ENOMEM)?;
        let part = addr..addr + old_len;
        self.move_part(state, &part, target, new_len, false, false, code)
    }

    /// Maps `extra` as the continuation of `vma`, which was found at `addr` and ends there.
    fn extend(
        &self,
        state: &mut State,
        vma: &Vma,
        addr: u64,
        extra: &Range<u64>,
    ) -> Result<(), Errno> {
        let start = state.tree.at(addr).map_or(addr, |(start, _)| start);
        let mut more = vma.clone();
        more.end = extra.end;
        more.origin = vma.origin.advanced(vma.end - start);
        state.prepare(extra)?;
        if is_away(start, vma) {
            // The host would not merge fresh memory with memory that has moved.
            let part = start..vma.end;
            self.window().protect(&part, libc::PROT_NONE)?;
            let grown = self.window().relocate(&part, &(start..extra.end));
            self.window().protect(&part, vma.host_prot())?;
            grown?;
            self.window().protect(extra, vma.host_prot())?;
        } else {
            (more.lineage, more.rooted) = (0, false);
            map_copy(self.window(), extra, &more, more.host_prot())?;
        }
        state.tree.place(extra.start, more);
        Ok(())
    }

    /// Moves `part`, which lies in one mapping, to `to`, where it becomes `new_len` long.
    #[expect(
        clippy::too_many_arguments,
        reason = "the call's own arguments and the state"
    )]
    fn move_part(
        &self,
        state: &mut State,
        part: &Range<u64>,
        to: u64,
        new_len: u64,
        keep: bool,
        replace: bool,
        code: &mut Vec<Range<u64>>,
    ) -> Result<u64, Errno> {
        let old_len = part.end - part.start;
        let target = self.range(to, new_len).ok_or(Errno::EINVAL)?;
        let (start, vma) = state.tree.at(part.start).ok_or(Errno::EFAULT)?;
        let mut moved = vma.clone();
        if let Origin::File { offset, .. } = &mut moved.origin {
            *offset = offset
                .checked_add(part.start - start)
                .ok_or(Errno::EINVAL)?;
        }
        moved.end = target.end;
        let is_exec = moved.prot.contains(Prot::EXEC);
        if keep {
            state.may_expand(
                new_len,
                0,
                crate::counters::is_data(moved.prot, moved.flags),
            )?;
        }
        if replace {
            code.extend(executable(&self.unmap_locked(state, &target)?));
        }
        let most =
            state.tree.host_mappings() + state.tree.growth(&target) + state.tree.growth(part) + 1;
        state.charge.raise(most)?;

        if moved.is_private() && old_len > 0 {
            // Its pages may be its own: the host moves them.
            state.tree.remember_pages(part);
            let (start, vma) = state.tree.at(part.start).ok_or(Errno::EFAULT)?;
            let rooted = state.tree.is_rooted(start, vma);
            moved.rooted = rooted == Some(true);
            self.window().relocate(part, &target)?;
            if rooted == Some(false) {
                // No pages, no past: as if mapped here.
                moved.lineage = 0;
                if let Origin::Anonymous { home } = &mut moved.origin {
                    *home = to;
                }
            } else {
                // They come with their past, which no neighbour here shares.
                moved.lineage = state.tree.fresh_lineage();
            }
        } else {
            map_copy(self.window(), &target, &moved, moved.host_prot())?;
        }
        if !keep && old_len > 0 {
            self.window().clear(part)?;
            let removed = state.tree.remove(part);
            code.extend(executable(&removed));
        } else if keep && is_exec {
            code.push(part.clone());
        }
        if is_exec {
            code.push(target);
        }
        state.tree.place(to, moved);
        Ok(to)
    }
}

/// True for anonymous memory whose pages were made elsewhere.
fn is_away(start: u64, vma: &Vma) -> bool {
    vma.lineage != 0 && matches!(vma.origin, Origin::Anonymous { home } if home != start)
}
