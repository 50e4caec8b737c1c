//! madvise(2), msync(2), mincore(2).

use rivix_abi::{Errno, PAGE_SIZE, UserAddress};
use rivix_task::{CurrentTask, SysResult};

pub fn madvise(task: &mut CurrentTask, addr: UserAddress, len: u64, advice: i32) -> SysResult<()> {
    Ok(task.mm().advise(addr, len, advice)?)
}

pub fn msync(task: &mut CurrentTask, addr: UserAddress, len: u64, flags: u32) -> SysResult<()> {
    Ok(task.mm().sync_range(addr, len, flags)?)
}

pub fn mincore(
    task: &mut CurrentTask,
    addr: UserAddress,
    len: u64,
    vec: UserAddress,
) -> SysResult<()> {
    let mm = task.mm();
    let inside = |at: UserAddress, len: u64| {
        at.0.checked_add(len)
            .is_some_and(|end| end <= mm.task_size())
    };
    if !addr.is_page_aligned() {
        return Err(Errno::EINVAL.into());
    }
    if !inside(addr, len) {
        return Err(Errno::ENOMEM.into());
    }
    if !inside(vec, len.div_ceil(PAGE_SIZE)) {
        return Err(Errno::EFAULT.into());
    }
    let mut out = vec;
    mm.resident(addr, len, &mut |bytes| {
        mm.write_bytes(out, bytes)?;
        out = out.offset(bytes.len() as u64)?;
        Ok(())
    })?;
    Ok(())
}
