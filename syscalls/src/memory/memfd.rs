//! memfd_create(2): a host memfd behind a guest descriptor.

use crate::arg::Fd;
use rivix_abi::mman::memfd;
use rivix_abi::resource::Resource;
use rivix_abi::{Errno, UserAddress};
use rivix_task::{CurrentTask, SysResult};
use std::ffi::CString;

/// MFD_NAME_MAX_LEN with the NUL: 255 less the prefix "memfd:".
const NAME_MAX: usize = 250;

pub fn memfd_create(task: &mut CurrentTask, name: UserAddress, flags: u32) -> SysResult<Fd> {
    let known = memfd::CLOEXEC | memfd::ALLOW_SEALING | memfd::NOEXEC_SEAL | memfd::EXEC;
    let both = memfd::NOEXEC_SEAL | memfd::EXEC;
    // MFD_HUGETLB too is EINVAL: there are no huge pages.
    if flags & !known != 0 || flags & both == both {
        return Err(Errno::EINVAL.into());
    }
    let name = match task.mm().read_cstr(name, NAME_MAX) {
        Err(Errno::ENAMETOOLONG) => return Err(Errno::EINVAL.into()),
        name => CString::new(name?).map_err(|_| Errno::EINVAL)?,
    };
    let file = task
        .fs()
        .namespace()
        .memfd(&name, flags & !memfd::CLOEXEC)?;
    let limit = task.rlimit(Resource::Nofile).cur;
    let is_cloexec = flags & memfd::CLOEXEC != 0;
    Ok(Fd(task
        .files()
        .insert_lowest(file, is_cloexec, 0, limit)?))
}
