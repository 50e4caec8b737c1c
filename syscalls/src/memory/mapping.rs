//! mmap(2), munmap(2), mprotect(2), mremap(2), brk(2).

use super::apply_limits;
use crate::arg::Fd;
use rivix_abi::mman::{MapFlags, Prot};
use rivix_abi::{Errno, PAGE_SIZE, UserAddress, page_ceil};
use rivix_mem::{Backing, MapRequest};
use rivix_task::{CurrentTask, SysResult};

pub fn mmap(
    task: &mut CurrentTask,
    addr: UserAddress,
    len: u64,
    prot: u64,
    flags: u64,
    fd: Fd,
    offset: u64,
) -> SysResult<UserAddress> {
    if !offset.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL.into());
    }
    // Unknown protection bits are ignored, as are high bits of flags.
    let prot = implied(task, Prot::from_bits_truncate(prot as u32));
    let flags = MapFlags::from_bits_retain(flags as u32);
    let backing = if flags.contains(MapFlags::ANONYMOUS) {
        if flags.contains(MapFlags::HUGETLB) {
            // As a kernel whose pool of huge pages is empty.
            return Err(Errno::ENOMEM.into());
        }
        Backing::Anonymous
    } else {
        let file = task.files().get(fd.0)?;
        if flags.contains(MapFlags::HUGETLB) {
            return Err(Errno::EINVAL.into());
        }
        let source = match file.map_source() {
            Ok(source) => source,
            // The kernel looks at the file only after the other arguments.
            Err(_) if len == 0 => return Err(Errno::EINVAL.into()),
            Err(_) if page_ceil(len).is_none() => return Err(Errno::ENOMEM.into()),
            Err(_) if !matches!(flags.kind(), 1..=3) => return Err(Errno::EINVAL.into()),
            Err(errno) => return Err(errno.into()),
        };
        Backing::File { source, offset }
    };
    apply_limits(task);
    let request = MapRequest {
        addr,
        len,
        prot,
        flags,
        backing,
        name: None,
    };
    Ok(task.mm().map(request)?)
}

pub fn munmap(task: &mut CurrentTask, addr: UserAddress, len: u64) -> SysResult<()> {
    Ok(task.mm().unmap(addr, len)?)
}

pub fn mprotect(task: &mut CurrentTask, addr: UserAddress, len: u64, prot: u64) -> SysResult<()> {
    apply_limits(task);
    // All bits count here: an unknown one is an error, found after others.
    let prot = u32::try_from(prot).unwrap_or(!0x0300_0000);
    let prot = implied(task, Prot::from_bits_retain(prot));
    Ok(task.mm().protect(addr, len, prot)?)
}

/// personality(2), READ_IMPLIES_EXEC: what may be read may be executed, too.
fn implied(task: &CurrentTask, prot: Prot) -> Prot {
    const READ_IMPLIES_EXEC: u32 = 0x40_0000;
    if prot.contains(Prot::READ) && task.group().personality() & READ_IMPLIES_EXEC != 0 {
        prot | Prot::EXEC
    } else {
        prot
    }
}

pub fn mremap(
    task: &mut CurrentTask,
    addr: UserAddress,
    old_len: u64,
    new_len: u64,
    flags: u64,
    new_addr: UserAddress,
) -> SysResult<UserAddress> {
    let flags = u32::try_from(flags).map_err(|_| Errno::EINVAL)?;
    apply_limits(task);
    Ok(task.mm().remap(addr, old_len, new_len, flags, new_addr)?)
}

pub fn brk(task: &mut CurrentTask, wanted: UserAddress) -> SysResult<UserAddress> {
    apply_limits(task);
    Ok(task.mm().brk(wanted))
}
