//! signalfd4(2).

use crate::arg::Fd;
use rivix_abi::fcntl::{O_CLOEXEC, O_NONBLOCK, O_RDWR};
use rivix_abi::{Errno, Signal, UserRef};
use rivix_fs::anon::AnonNode;
use rivix_task::signal::SignalFd;
use rivix_task::{CurrentTask, SysResult};

pub fn signalfd4(
    task: &mut CurrentTask,
    fd: Fd,
    mask: UserRef<u64>,
    mask_size: u64,
    flags: u32,
) -> SysResult<Fd> {
    if mask_size != 8 {
        return Err(Errno::EINVAL.into());
    }
    let mask = task.read(mask)? & !(Signal::SIGKILL.bit() | Signal::SIGSTOP.bit());
    if flags & !(O_CLOEXEC | O_NONBLOCK) != 0 {
        return Err(Errno::EINVAL.into());
    }
    if fd.0 != -1 {
        let file = task.files().get(fd.0)?;
        file.downcast::<SignalFd>().ok_or(Errno::EINVAL)?.set_mask(mask);
        return Ok(fd);
    }
    let ops = Box::new(SignalFd::new(task.task(), mask));
    let status = O_RDWR | (flags & O_NONBLOCK);
    let node = AnonNode::inode("signalfd");
    Ok(Fd(task.install_anonymous(ops, status, node, flags & O_CLOEXEC != 0)?))
}
