//! membarrier(2). Guest threads are host threads, so a barrier on all of them
//! is the host's own barrier.

use rivix_abi::Errno;
use rivix_task::{CurrentTask, SysResult};

const QUERY: i32 = 0;
const GLOBAL: i32 = 1;
const GLOBAL_EXPEDITED: i32 = 2;
const REGISTER_GLOBAL_EXPEDITED: i32 = 4;
const PRIVATE_EXPEDITED: i32 = 8;
const REGISTER_PRIVATE_EXPEDITED: i32 = 16;
const PRIVATE_EXPEDITED_SYNC_CORE: i32 = 32;
const REGISTER_PRIVATE_EXPEDITED_SYNC_CORE: i32 = 64;
const GET_REGISTRATIONS: i32 = 512;

const SUPPORTED: i32 = GLOBAL
    | GLOBAL_EXPEDITED
    | REGISTER_GLOBAL_EXPEDITED
    | PRIVATE_EXPEDITED
    | REGISTER_PRIVATE_EXPEDITED
    | PRIVATE_EXPEDITED_SYNC_CORE
    | REGISTER_PRIVATE_EXPEDITED_SYNC_CORE
    | GET_REGISTRATIONS;

pub fn membarrier(task: &mut CurrentTask, command: i32, flags: u32, _cpu: i32) -> SysResult<i32> {
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let registered = task.group().membarrier_registrations() as i32;
    match command {
        QUERY => return Ok(SUPPORTED),
        GET_REGISTRATIONS => return Ok(registered),
        GLOBAL | GLOBAL_EXPEDITED => barrier()?,
        PRIVATE_EXPEDITED => {
            check(registered, REGISTER_PRIVATE_EXPEDITED)?;
            barrier()?;
        }
        PRIVATE_EXPEDITED_SYNC_CORE => {
            check(registered, REGISTER_PRIVATE_EXPEDITED_SYNC_CORE)?;
            barrier()?;
            // Every hart fetches its code anew.
            task.memory().code.invalidate(0..task.mm().task_size());
        }
        REGISTER_GLOBAL_EXPEDITED
        | REGISTER_PRIVATE_EXPEDITED
        | REGISTER_PRIVATE_EXPEDITED_SYNC_CORE => {
            task.group().register_membarrier(command as u32);
        }
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(0)
}

fn check(registered: i32, needed: i32) -> Result<(), Errno> {
    if registered & needed != 0 {
        Ok(())
    } else {
        Err(Errno::EPERM)
    }
}

fn barrier() -> Result<(), Errno> {
    rivix_task::membarrier::all_threads()
}
