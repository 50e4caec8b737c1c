//! mmap(2) and munmap(2).

use crate::counters::is_data;
use crate::source::{MapSource, SharedMemory};
use crate::space::{AddressSpace, MMAP_MIN, STACK_GAP, State};
use crate::vma::{Origin, Vma, VmaFlags, host_prot};
use rivix_abi::mman::{MapFlags, Prot};
use rivix_abi::{Errno, PAGE_SIZE, UserAddress, page_ceil};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::sync::Arc;

/// What to map.
#[derive(Clone)]
pub enum Backing {
    Anonymous,
    File {
        source: Arc<dyn MapSource>,
        offset: u64,
    },
}

/// The arguments of mmap(2).
#[derive(Clone)]
pub struct MapRequest {
    pub addr: UserAddress,
    pub len: u64,
    pub prot: Prot,
    pub flags: MapFlags,
    pub backing: Backing,
    /// What /proc/self/maps shows of a mapping without a file, as in `[vdso]`.
    pub name: Option<&'static str>,
}

/// Flags that MAP_SHARED_VALIDATE knows (LEGACY_MAP_MASK). What else it is
/// asked for is refused rather than ignored.
const KNOWN: MapFlags = MapFlags::SHARED
    .union(MapFlags::PRIVATE)
    .union(MapFlags::FIXED)
    .union(MapFlags::ANONYMOUS)
    .union(MapFlags::DENYWRITE)
    .union(MapFlags::EXECUTABLE)
    .union(MapFlags::UNINITIALIZED)
    .union(MapFlags::GROWSDOWN)
    .union(MapFlags::LOCKED)
    .union(MapFlags::NORESERVE)
    .union(MapFlags::POPULATE)
    .union(MapFlags::NONBLOCK)
    .union(MapFlags::STACK)
    .union(MapFlags::HUGETLB)
    // The size of a huge page.
    .union(MapFlags::from_bits_retain(31 << 26));

impl AddressSpace {
    /// mmap(2). Checks come in the kernel's order (do_mmap, mmap_region).
    pub fn map(&self, request: MapRequest) -> Result<UserAddress, Errno> {
        let flags = request.flags;
        if request.len == 0 {
            return Err(Errno::EINVAL);
        }
        let len = page_ceil(request.len).ok_or(Errno::ENOMEM)?;
        if let Backing::File { offset, .. } = &request.backing {
            // The kernel counts in pages: 2^52 of them.
            let pages = (offset / PAGE_SIZE).checked_add(len / PAGE_SIZE);
            if pages.is_none_or(|pages| pages > u64::MAX / PAGE_SIZE) {
                return Err(Errno::EOVERFLOW);
            }
        }
        if len > self.task_size() {
            return Err(Errno::ENOMEM);
        }

        let mut state = self.write_state();
        let fixed = flags.intersects(MapFlags::FIXED | MapFlags::FIXED_NOREPLACE);
        let addr = if fixed {
            self.check_fixed(request.addr.0, len)?
        } else {
            let hint = hint(request.addr.0);
            state
                .find_free(self.task_size(), hint, len)
                .ok_or(Errno::ENOMEM)?
        };
        let range = self.range(addr, len).ok_or(Errno::ENOMEM)?;
        if flags.contains(MapFlags::FIXED_NOREPLACE) && !state.tree.is_free(&range) {
            return Err(Errno::EEXIST);
        }

        let (mut vma, host_flags) = describe(&request, range.clone())?;
        if state.refuses_exec_gain && vma.prot.contains(Prot::WRITE | Prot::EXEC) {
            return Err(Errno::EACCES);
        }
        vma.flags |= state.lock_future;
        if flags.contains(MapFlags::LOCKED) {
            vma.flags |= VmaFlags::LOCKED;
        }
        if vma.flags.contains(VmaFlags::LOCKED) {
            if state.limits.memlock == 0 {
                return Err(Errno::EPERM);
            }
            if state.tree.usage().locked.saturating_add(len) > state.limits.memlock {
                return Err(Errno::EAGAIN);
            }
        }

        // Only now are limits looked at; what a fixed mapping replaces is counted as free.
        let replaced: u64 = state
            .tree
            .clipped(&range)
            .map(|(part, _, _)| part.end - part.start)
            .sum();
        state.may_expand(len, replaced, is_data(vma.prot, vma.flags))?;
        if vma.flags.contains(VmaFlags::SHARED) && matches!(request.backing, Backing::Anonymous) {
            vma.origin = Origin::File {
                source: SharedMemory::create(len)?,
                offset: 0,
            };
        }
        state.prepare(&range)?;

        let host_file = match &vma.origin {
            Origin::Anonymous { .. } => None,
            Origin::File { source, offset } => Some((source.host_fd().as_raw_fd(), *offset)),
        };
        let mapped = self
            .window()
            .map(&range, host_prot(vma.prot), host_flags, host_file);
        if let Err(error) = mapped {
            state.settle();
            return Err(error);
        }
        let locked = vma.flags.contains(VmaFlags::LOCKED);
        let writable = vma.prot.contains(Prot::WRITE);
        let gained = vma.prot.contains(Prot::EXEC).then(|| range.clone());
        let removed = state.tree.remove(&range);
        state.lazy.remove(&range);
        state.tree.place(range.start, vma);
        state.settle();
        // New code counts too: translations may be shared with a process that has
        // other code at these addresses.
        match gained {
            Some(range) => self.exec_changed([range]),
            None => self.exec_changed(executable(&removed)),
        }
        drop(state);

        if locked || (flags.contains(MapFlags::POPULATE) && !flags.contains(MapFlags::NONBLOCK)) {
            // Best effort, as the kernel's: a failure shows at the access.
            let advice = if writable {
                libc::MADV_POPULATE_WRITE
            } else {
                libc::MADV_POPULATE_READ
            };
            let _ = self.window().advise(&range, advice);
        }
        Ok(UserAddress(addr))
    }

    /// munmap(2).
    pub fn unmap(&self, addr: UserAddress, len: u64) -> Result<(), Errno> {
        let range = self.user_range(addr, len)?;
        if range.is_empty() {
            return Err(Errno::EINVAL);
        }
        let mut state = self.write_state();
        let removed = self.unmap_locked(&mut state, &range)?;
        self.exec_changed(executable(&removed));
        Ok(())
    }

    /// Replaces whatever is in `range` by nothing. On failure nothing changed.
    pub(crate) fn unmap_locked(
        &self,
        state: &mut State,
        range: &Range<u64>,
    ) -> Result<Vec<(u64, Vma)>, Errno> {
        if state.tree.is_free(range) {
            return Ok(Vec::new());
        }
        state.prepare(range)?;
        let cleared = self.window().clear(range);
        if cleared.is_ok() {
            let removed = state.tree.remove(range);
            state.lazy.remove(range);
            state.settle();
            return Ok(removed);
        }
        state.settle();
        Err(Errno::ENOMEM)
    }

    /// A page-aligned range inside the window, or EINVAL; `len` is rounded up.
    pub(crate) fn user_range(&self, addr: UserAddress, len: u64) -> Result<Range<u64>, Errno> {
        if !addr.is_page_aligned() {
            return Err(Errno::EINVAL);
        }
        let inside = self.range(addr.0, len).ok_or(Errno::EINVAL)?;
        let len = page_ceil(inside.end - inside.start).ok_or(Errno::EINVAL)?;
        self.range(addr.0, len).ok_or(Errno::EINVAL)
    }

    fn check_fixed(&self, addr: u64, len: u64) -> Result<u64, Errno> {
        if addr > self.task_size() - len {
            return Err(Errno::ENOMEM);
        }
        if !addr.is_multiple_of(PAGE_SIZE) {
            return Err(Errno::EINVAL);
        }
        if addr < MMAP_MIN {
            return Err(Errno::EPERM);
        }
        Ok(addr)
    }
}

/// The mapping a request describes, and the host's flags for it.
fn describe(request: &MapRequest, Range { start, end }: Range<u64>) -> Result<(Vma, i32), Errno> {
    let MapRequest { prot, flags, .. } = *request;
    let mut vma = Vma {
        end,
        prot: prot & (Prot::READ | Prot::WRITE | Prot::EXEC),
        max_prot: Prot::READ | Prot::WRITE | Prot::EXEC,
        flags: VmaFlags::empty(),
        origin: Origin::Anonymous { home: start },
        name: request.name,
        label: None,
        lineage: 0,
        rooted: false,
    };
    let mut host_flags = libc::MAP_PRIVATE;
    let shared = MapFlags::SHARED.bits();
    let validate = MapFlags::SHARED_VALIDATE.bits();
    let private = MapFlags::PRIVATE.bits();
    match &request.backing {
        Backing::Anonymous => match flags.kind() {
            kind if kind == shared => {
                if flags.contains(MapFlags::GROWSDOWN) {
                    return Err(Errno::EINVAL);
                }
                vma.flags |= VmaFlags::SHARED;
                host_flags = libc::MAP_SHARED;
            }
            kind if kind == private => {
                if flags.contains(MapFlags::GROWSDOWN) {
                    vma.flags |= VmaFlags::GROWSDOWN;
                }
            }
            _ => return Err(Errno::EINVAL),
        },
        Backing::File { source, offset } => {
            match flags.kind() {
                kind if kind == shared || kind == validate => {
                    if kind == validate && !KNOWN.contains(flags) {
                        return Err(Errno::EOPNOTSUPP);
                    }
                    if prot.contains(Prot::WRITE) && !source.may_write() {
                        return Err(Errno::EACCES);
                    }
                    // A file that cannot be written is mapped as if privately, but
                    // never becomes writable.
                    if !source.may_write() {
                        vma.max_prot -= Prot::WRITE;
                    }
                    vma.flags |= VmaFlags::SHARED;
                    host_flags = libc::MAP_SHARED;
                }
                kind if kind == private => {}
                _ => return Err(Errno::EINVAL),
            }
            if !source.may_read() {
                return Err(Errno::EACCES);
            }
            if !source.may_exec() {
                if prot.contains(Prot::EXEC) {
                    return Err(Errno::EPERM);
                }
                vma.max_prot -= Prot::EXEC;
            }
            if flags.contains(MapFlags::GROWSDOWN) {
                return Err(Errno::EINVAL);
            }
            vma.origin = Origin::File {
                source: source.clone(),
                offset: *offset,
            };
        }
    }
    if flags.contains(MapFlags::NORESERVE) {
        vma.flags |= VmaFlags::NORESERVE;
        host_flags |= libc::MAP_NORESERVE;
    }
    Ok((vma, host_flags))
}

/// round_hint_to_min.
fn hint(addr: u64) -> u64 {
    let addr = addr & !(PAGE_SIZE - 1);
    if addr != 0 && addr < MMAP_MIN {
        MMAP_MIN
    } else {
        addr
    }
}

/// Those of removed mappings that code may have come from.
pub(crate) fn executable(removed: &[(u64, Vma)]) -> impl Iterator<Item = Range<u64>> {
    removed
        .iter()
        .filter(|(_, vma)| vma.prot.contains(Prot::EXEC))
        .map(|(start, vma)| *start..vma.end)
}

/// Where a mapping's neighbourhood begins: a stack keeps a gap below itself.
fn start_with_gap(start: u64, vma: &Vma) -> u64 {
    if vma.flags.contains(VmaFlags::GROWSDOWN) {
        start.saturating_sub(STACK_GAP)
    } else {
        start
    }
}

impl State {
    /// Free space for `len` bytes: at the hint if that is free, else the highest
    /// below `mmap_top`, else the lowest above a third of everything.
    pub(crate) fn find_free(&self, size: u64, hint: u64, len: u64) -> Option<u64> {
        if hint != 0 && hint <= size.checked_sub(len)? {
            let above = self.tree.at_or_after(hint);
            let below = self
                .tree
                .before(hint)
                .is_none_or(|(_, vma)| vma.end <= hint);
            if below && above.is_none_or(|(start, vma)| hint + len <= start_with_gap(start, vma)) {
                return Some(hint);
            }
        }
        self.top_down(len).or_else(|| self.bottom_up(size, len))
    }

    fn top_down(&self, len: u64) -> Option<u64> {
        let mut ceiling = self.mmap_top;
        let mut at = self.mmap_top;
        // A stack just above the top keeps its gap too.
        if let Some((start, vma)) = self.tree.at_or_after(at) {
            ceiling = ceiling.min(start_with_gap(start, vma));
        }
        loop {
            let floor = self
                .tree
                .before(at)
                .map_or(MMAP_MIN, |(_, vma)| vma.end.max(MMAP_MIN));
            if ceiling >= floor && ceiling - floor >= len {
                return Some(ceiling - len);
            }
            let (start, vma) = self.tree.before(at)?;
            if start <= MMAP_MIN {
                return None;
            }
            at = start;
            ceiling = start_with_gap(start, vma).min(ceiling);
        }
    }

    fn bottom_up(&self, size: u64, len: u64) -> Option<u64> {
        let mut floor = (size / 3).next_multiple_of(PAGE_SIZE);
        if let Some((_, vma)) = self.tree.at(floor) {
            floor = vma.end;
        }
        loop {
            let next = self.tree.starting_from(floor);
            let ceiling = next.map_or(size, |(start, vma)| start_with_gap(start, vma));
            if ceiling.checked_sub(floor).is_some_and(|room| room >= len) {
                return Some(floor);
            }
            floor = next?.1.end;
        }
    }
}
