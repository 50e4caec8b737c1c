//! getdents64(2).

use crate::Fd;
use rivix_abi::{Errno, UserAddress};
use rivix_task::{CurrentTask, SysResult};

/// Bytes of `struct linux_dirent64` before the name.
const HEAD: usize = 19;

pub fn getdents64(task: &mut CurrentTask, fd: Fd, buf: UserAddress, size: u32) -> SysResult<usize> {
    let file = task.files().get(fd.0)?;
    if !file.can_read() {
        return Err(Errno::EBADF.into());
    }
    if file.node().kind() != rivix_abi::stat::S_IFDIR {
        return Err(Errno::ENOTDIR.into());
    }
    let size = (size as usize).min(1 << 20);
    let mut out: Vec<u8> = Vec::new();
    let mut too_small = false;
    file.ops().readdir(&file, &mut |entry| {
        let len = (HEAD + entry.name.len() + 1).next_multiple_of(8);
        if out.len() + len > size {
            too_small = out.is_empty();
            return false;
        }
        let start = out.len();
        out.extend_from_slice(&entry.ino.to_le_bytes());
        out.extend_from_slice(&entry.next.to_le_bytes());
        out.extend_from_slice(&(len as u16).to_le_bytes());
        out.push(entry.kind);
        out.extend_from_slice(entry.name);
        out.resize(start + len, 0);
        true
    })?;
    if too_small {
        return Err(Errno::EINVAL.into());
    }
    task.write_bytes(buf, &out)?;
    Ok(out.len())
}
