//! What a thread leaves for its end: set_tid_address(2).

use rivix_abi::UserAddress;
use rivix_task::{CurrentTask, SysResult};

pub fn set_tid_address(task: &mut CurrentTask, at: UserAddress) -> SysResult<i32> {
    task.set_clear_child_tid(at);
    Ok(task.tid())
}
