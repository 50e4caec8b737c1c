//! mprotect(2), and what a refused access means.

use crate::atomic::probe;
use crate::counters::is_data;
use crate::space::{AddressSpace, FaultCause, MMAP_MIN, MemAccess, STACK_GAP, State};
use crate::uffd;
use crate::vma::{Origin, Vma, VmaFlags, host_prot};
use rivix_abi::mman::Prot;
use rivix_abi::{Errno, PAGE_SIZE, UserAddress, page_ceil};
use std::ops::Range;

impl AddressSpace {
    /// mprotect(2). What comes before a hole or a refused mapping stays changed.
    pub fn protect(&self, addr: UserAddress, len: u64, prot: Prot) -> Result<(), Errno> {
        let grows = prot & (Prot::GROWSDOWN | Prot::GROWSUP);
        let prot = prot - grows;
        if grows == Prot::GROWSDOWN | Prot::GROWSUP || !addr.is_page_aligned() {
            return Err(Errno::EINVAL);
        }
        if len == 0 {
            return Ok(());
        }
        let mut start = addr.0;
        let end = page_ceil(len)
            .filter(|&len| len != 0)
            .and_then(|len| start.checked_add(len))
            .ok_or(Errno::ENOMEM)?;
        if !(Prot::READ | Prot::WRITE | Prot::EXEC | Prot::SEM).contains(prot) {
            return Err(Errno::EINVAL);
        }
        let prot = prot - Prot::SEM;

        let mut state = self.write_state();
        let (first, vma) = state.tree.at_or_after(start).ok_or(Errno::ENOMEM)?;
        if grows == Prot::GROWSDOWN {
            if first >= end {
                return Err(Errno::ENOMEM);
            }
            if !vma.flags.contains(VmaFlags::GROWSDOWN) {
                return Err(Errno::EINVAL);
            }
            start = first;
        } else if first > start {
            return Err(Errno::ENOMEM);
        } else if grows == Prot::GROWSUP {
            return Err(Errno::EINVAL);
        }

        let range = start..end;
        let parts: Vec<_> = state
            .tree
            .clipped(&range)
            .map(|(part, _, vma)| (part, vma.prot, vma.max_prot, vma.flags))
            .collect();
        let mut reached = start;
        let mut result = Ok(());
        let mut code = Vec::new();
        for (part, old, max, flags) in parts {
            if part.start != reached {
                result = Err(Errno::ENOMEM);
                break;
            }
            if !max.contains(prot) {
                result = Err(Errno::EACCES);
                break;
            }
            let gains = prot.contains(Prot::WRITE) || !old.contains(Prot::EXEC);
            if state.refuses_exec_gain && prot.contains(Prot::EXEC) && gains {
                result = Err(Errno::EACCES);
                break;
            }
            reached = part.end;
            if old == prot {
                continue;
            }
            let bytes = part.end - part.start;
            if is_data(prot, flags) && !is_data(old, flags) {
                result = state.may_expand(0, 0, false).and_then(|()| {
                    let data = state.tree.usage().data.saturating_add(bytes);
                    if data > state.limits.data {
                        Err(Errno::ENOMEM)
                    } else {
                        Ok(())
                    }
                });
                if result.is_err() {
                    break;
                }
            }
            result = state.prepare(&part);
            if result.is_ok() && host_prot(old) != host_prot(prot) {
                result = self.window().protect(&part, host_prot(prot));
            }
            if result.is_err() {
                break;
            }
            if (old ^ prot).contains(Prot::EXEC) || old.contains(Prot::EXEC) {
                code.push(part.clone());
            }
            state.tree.update(&part, |vma| vma.prot = prot);
        }
        if result.is_ok() && reached < end {
            result = Err(Errno::ENOMEM);
        }
        state.settle();
        self.exec_changed(code);
        result
    }

    /// What the kernel would make of an access that failed. `bus`: the host
    /// raised SIGBUS. A stack may grow here; then, and when the access may
    /// succeed by now, the answer is `Retry`.
    pub fn fault_cause(&self, addr: u64, access: MemAccess, bus: bool) -> FaultCause {
        if addr >= self.task_size() {
            return FaultCause::MapErr;
        }
        let state = self.state().read();
        let Some((start, vma)) = state.tree.at(addr) else {
            let below_stack = state
                .tree
                .starting_from(addr)
                .is_some_and(|(_, vma)| vma.flags.contains(VmaFlags::GROWSDOWN));
            drop(state);
            if below_stack && self.grow_stack(addr) {
                return FaultCause::Retry;
            }
            return FaultCause::MapErr;
        };
        let permitted = match access {
            MemAccess::Read => vma.may_load(),
            MemAccess::Write => vma.prot.contains(Prot::WRITE),
            MemAccess::Exec => vma.prot.contains(Prot::EXEC),
        };
        if !permitted {
            return FaultCause::AccErr;
        }
        if vma.flags.contains(VmaFlags::LAZY) {
            drop(state);
            return self.bring(addr);
        }
        let has_file = vma.file_at(start, addr).is_some();
        if bus && !vma.is_private_anonymous() {
            return FaultCause::BusAdrErr;
        }
        // Permitted, yet it failed: either the tree has changed since, or the page
        // was missing and another thread has brought it, or it lies past its file's
        // end. The host knows.
        let readable = vma.host_prot() != libc::PROT_NONE;
        let reachable = self.window().host(addr, 1).is_some_and(|host| {
            // SAFETY: M2 by `host`; the state's lock keeps the mapping as it is (M6).
            !readable || unsafe { probe(host, access == MemAccess::Write) }
        });
        match (reachable, has_file || bus) {
            (true, _) => FaultCause::Retry,
            (false, true) => FaultCause::BusAdrErr,
            (false, false) => FaultCause::AccErr,
        }
    }

    /// A stack that is shared since a fork stays one mapping when it grows.
    fn register_grown(&self, range: &Range<u64>, grown: &mut Vma) {
        if !grown.flags.contains(VmaFlags::LAZY) {
            return;
        }
        let host = self.window().base() + range.start as usize;
        let len = (range.end - range.start) as usize;
        let registered = uffd::get().is_some_and(|uffd| uffd.register(host, len).is_ok());
        grown.flags.set(VmaFlags::LAZY, registered);
    }

    /// Extends the stack above `addr` down to it, within RLIMIT_STACK and
    /// RLIMIT_AS, and not close to what lies below.
    fn grow_stack(&self, addr: u64) -> bool {
        let mut state = self.write_state();
        if state.tree.at(addr).is_some() {
            // Another thread was faster.
            return true;
        }
        self.try_grow(&mut state, addr).is_some()
    }

    fn try_grow(&self, state: &mut State, addr: u64) -> Option<()> {
        let new_start = addr & !(PAGE_SIZE - 1);
        let (start, vma) = state.tree.starting_from(addr)?;
        let mut grown = vma.clone();
        grown.end = start;
        if !grown.flags.contains(VmaFlags::GROWSDOWN) || new_start < MMAP_MIN {
            return None;
        }
        let size = vma.end - new_start;
        if size > state.limits.stack {
            return None;
        }
        if let Some((_, below)) = state.tree.before(new_start) {
            let accessible = !below.prot.is_empty();
            let is_stack = below.flags.contains(VmaFlags::GROWSDOWN);
            if accessible && !is_stack && new_start - below.end < STACK_GAP {
                return None;
            }
        }
        let Origin::Anonymous { home } = &mut grown.origin else {
            return None;
        };
        *home = new_start;
        let range = new_start..start;
        state.may_expand(start - new_start, 0, false).ok()?;
        state.prepare(&range).ok()?;
        let mapped = self
            .window()
            .map(&range, grown.host_prot(), libc::MAP_PRIVATE, None);
        if mapped.is_ok() {
            self.register_grown(&range, &mut grown);
            state.tree.place(new_start, grown);
        }
        state.settle();
        mapped.ok()
    }
}
