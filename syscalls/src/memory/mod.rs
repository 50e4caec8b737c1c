//! Memory mappings. The work is the address space's; here arguments are read.

use crate::arg::Fd;
use rivix_abi::mman::{MapFlags, Prot, mlock as flag};
use rivix_abi::{Errno, UserAddress};
use rivix_mem::{Backing, MapRequest};
use rivix_task::{CurrentTask, SysResult};

pub fn brk(task: &mut CurrentTask, to: UserAddress) -> SysResult<UserAddress> {
    Ok(task.mm().brk(to))
}

pub fn mmap(
    task: &mut CurrentTask,
    addr: UserAddress,
    len: u64,
    prot: u32,
    flags: u32,
    fd: Fd,
    offset: u64,
) -> SysResult<UserAddress> {
    if !UserAddress(offset).is_page_aligned() {
        return Err(Errno::EINVAL.into());
    }
    let flags = MapFlags::from_bits_retain(flags);
    let backing = if flags.contains(MapFlags::ANONYMOUS) {
        Backing::Anonymous
    } else {
        Backing::File { source: task.files().get(fd.0)?.map_source()?, offset }
    };
    // Bits without a meaning are ignored, as mmap(2) always has.
    let prot = Prot::from_bits_truncate(prot);
    Ok(task.mm().map(MapRequest { addr, len, prot, flags, backing, name: None })?)
}

pub fn munmap(task: &mut CurrentTask, addr: UserAddress, len: u64) -> SysResult<()> {
    Ok(task.mm().unmap(addr, len)?)
}

pub fn mremap(
    task: &mut CurrentTask,
    addr: UserAddress,
    old_len: u64,
    new_len: u64,
    flags: u32,
    new_addr: UserAddress,
) -> SysResult<UserAddress> {
    Ok(task.mm().remap(addr, old_len, new_len, flags, new_addr)?)
}

pub fn mprotect(
    task: &mut CurrentTask,
    addr: UserAddress,
    len: u64,
    prot: u32,
) -> SysResult<()> {
    Ok(task.mm().protect(addr, len, Prot::from_bits_retain(prot))?)
}

pub fn madvise(
    task: &mut CurrentTask,
    addr: UserAddress,
    len: u64,
    advice: i32,
) -> SysResult<()> {
    Ok(task.mm().advise(addr, len, advice)?)
}

pub fn msync(task: &mut CurrentTask, addr: UserAddress, len: u64, flags: u32) -> SysResult<()> {
    Ok(task.mm().sync_range(addr, len, flags)?)
}

pub fn mincore(
    task: &mut CurrentTask,
    addr: UserAddress,
    len: u64,
    to: UserAddress,
) -> SysResult<()> {
    let mut at = to;
    Ok(task.mm().resident(addr, len, &mut |bytes| {
        task.write_bytes(at, bytes)?;
        at = at.offset(bytes.len() as u64)?;
        Ok(())
    })?)
}

pub fn mlock(task: &mut CurrentTask, addr: UserAddress, len: u64) -> SysResult<()> {
    Ok(task.mm().lock(addr, len, false)?)
}

pub fn mlock2(
    task: &mut CurrentTask,
    addr: UserAddress,
    len: u64,
    flags: u32,
) -> SysResult<()> {
    if flags & !flag::ONFAULT != 0 {
        return Err(Errno::EINVAL.into());
    }
    Ok(task.mm().lock(addr, len, flags & flag::ONFAULT != 0)?)
}

pub fn munlock(task: &mut CurrentTask, addr: UserAddress, len: u64) -> SysResult<()> {
    Ok(task.mm().unlock(addr, len)?)
}

pub fn mlockall(task: &mut CurrentTask, flags: u32) -> SysResult<()> {
    Ok(task.mm().lock_all(flags)?)
}

pub fn munlockall(task: &mut CurrentTask) -> SysResult<()> {
    task.mm().unlock_all();
    Ok(())
}
