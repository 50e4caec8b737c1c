//! eventfd2(2).

use crate::arg::Fd;
use rivix_abi::Errno;
use rivix_abi::fcntl::{O_CLOEXEC, O_NONBLOCK, O_RDWR};
use rivix_abi::poll::EFD_SEMAPHORE;
use rivix_fs::anon::AnonNode;
use rivix_fs::eventfd::EventFd;
use rivix_task::{CurrentTask, SysResult};

pub fn eventfd2(task: &mut CurrentTask, initial: u32, flags: u32) -> SysResult<Fd> {
    if flags & !(EFD_SEMAPHORE | O_CLOEXEC | O_NONBLOCK) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let ops = EventFd::new(initial.into(), flags & EFD_SEMAPHORE != 0);
    let status = O_RDWR | (flags & O_NONBLOCK);
    let node = AnonNode::inode("eventfd");
    Ok(Fd(task.install_anonymous(
        Box::new(ops),
        status,
        node,
        flags & O_CLOEXEC != 0,
    )?))
}
