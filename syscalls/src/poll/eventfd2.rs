//! eventfd2(2).

use crate::arg::Fd;
use rivix_abi::Errno;
use rivix_abi::fcntl::{O_CLOEXEC, O_NONBLOCK};
use rivix_abi::poll::EFD_SEMAPHORE;
use rivix_fs::eventfd::EventFd;
use rivix_task::{CurrentTask, SysResult};

pub fn eventfd2(task: &mut CurrentTask, initial: u32, flags: u32) -> SysResult<Fd> {
    if flags & !(EFD_SEMAPHORE | O_CLOEXEC | O_NONBLOCK) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let ops = EventFd::new(initial.into(), flags & EFD_SEMAPHORE != 0);
    super::install(task, "eventfd", Box::new(ops), flags)
}
