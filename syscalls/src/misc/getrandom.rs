//! getrandom(2).

use rivix_abi::{Errno, UserAddress};
use rivix_task::{CurrentTask, SysResult, random};

const GRND_NONBLOCK: u32 = 1;
const GRND_RANDOM: u32 = 2;
const GRND_INSECURE: u32 = 4;
/// Bytes made between two looks at pending signals.
const PIECE: usize = 4096;
/// The longest transfer (include/linux/fs.h, MAX_RW_COUNT).
const MAX: usize = 0x7fff_f000;

pub fn getrandom(
    task: &mut CurrentTask,
    addr: UserAddress,
    len: usize,
    flags: u32,
) -> SysResult<usize> {
    let sources = flags & (GRND_RANDOM | GRND_INSECURE);
    if flags & !(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE) != 0
        || sources == GRND_RANDOM | GRND_INSECURE
    {
        return Err(Errno::EINVAL.into());
    }
    let len = len.min(MAX);
    let mut buf = [0; PIECE];
    let mut done = 0;
    while done < len {
        let piece = &mut buf[..(len - done).min(PIECE)];
        random::fill(piece);
        if let Err(errno) = task.write_bytes(addr.offset(done as u64)?, piece) {
            return if done > 0 {
                Ok(done)
            } else {
                Err(errno.into())
            };
        }
        done += piece.len();
        if task.pending_interrupt() {
            break;
        }
    }
    Ok(done)
}
