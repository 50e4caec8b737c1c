//! sbrk, mmap, munmap.

use rivix_abi::mman::{MapFlags, Prot};
use rivix_abi::{Errno, UserAddress, page_ceil};
use rivix_mem::{Backing, MapRequest};
use rivix_task::{CurrentTask, SysResult, teaching};

/// Rights of these kernels' pages: the bits are those of mmap(2).
const RIGHTS: Prot = Prot::READ.union(Prot::WRITE).union(Prot::EXEC);

/// The old end of the heap. The number is an `int`.
pub(super) fn sbrk(task: &mut CurrentTask, bytes: i32) -> SysResult<u64> {
    Ok(task.move_break(bytes.into())?)
}

/// Pages at `start`, up to the end of the last that the length touches; none of
/// them may be mapped.
pub(super) fn mmap(
    task: &mut CurrentTask,
    start: UserAddress,
    len: u64,
    rights: u64,
) -> SysResult<u64> {
    if rights & !u64::from(RIGHTS.bits()) != 0 || rights == 0 {
        return Err(Errno::EINVAL.into());
    }
    let rights = Prot::from_bits_truncate(rights as u32);
    let Some(len) = pages(task, start, len)? else {
        return Ok(0);
    };
    crate::memory::apply_limits(task);
    task.mm().map(MapRequest {
        addr: start,
        len,
        prot: protection(rights),
        flags: MapFlags::PRIVATE | MapFlags::ANONYMOUS | MapFlags::FIXED_NOREPLACE,
        backing: Backing::Anonymous,
        name: None,
    })?;
    Ok(0)
}

/// The hardware has no page that may be written and not read: the encoding is
/// reserved, and every access to such a page faults.
fn protection(rights: Prot) -> Prot {
    if rights.contains(Prot::WRITE) && !rights.contains(Prot::READ) {
        return Prot::empty();
    }
    rights
}

/// All pages must be mapped.
pub(super) fn munmap(task: &mut CurrentTask, start: UserAddress, len: u64) -> SysResult<u64> {
    let Some(len) = pages(task, start, len)? else {
        return Ok(0);
    };
    task.mm().resident(start, len, &mut |_| Ok(()))?;
    task.mm().unmap(start, len)?;
    Ok(0)
}

/// A length in whole pages; None: no page. EINVAL: not at a page, or where threads
/// have their stacks.
fn pages(task: &CurrentTask, start: UserAddress, len: u64) -> Result<Option<u64>, Errno> {
    if !start.is_page_aligned() {
        return Err(Errno::EINVAL);
    }
    if len == 0 {
        return Ok(None);
    }
    let len = page_ceil(len).ok_or(Errno::EINVAL)?;
    let end = start.0.checked_add(len).ok_or(Errno::EINVAL)?;
    let stacks = teaching::stack_area(task.mm().task_size());
    if start.0 < stacks.end && stacks.start < end {
        return Err(Errno::EINVAL);
    }
    Ok(Some(len))
}
