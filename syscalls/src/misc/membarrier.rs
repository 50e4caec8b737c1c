//! membarrier(2). Guest threads are threads of this process, so the host's own
//! barrier reaches them all; what it does not know of, translated code and
//! restartable sequences, is ours.

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
const PRIVATE_EXPEDITED_RSEQ: i32 = 128;
const REGISTER_PRIVATE_EXPEDITED_RSEQ: i32 = 256;
const GET_REGISTRATIONS: i32 = 512;
const SUPPORTED: i32 = 0x3ff;

/// MEMBARRIER_CMD_FLAG_CPU: one CPU is meant.
const FLAG_CPU: u32 = 1;

pub fn membarrier(task: &mut CurrentTask, command: i32, flags: u32, cpu: i32) -> SysResult<i32> {
    if flags != 0 && (command != PRIVATE_EXPEDITED_RSEQ || flags != FLAG_CPU) {
        return Err(Errno::EINVAL.into());
    }
    let traits = &task.memory().traits;
    match command {
        QUERY => return Ok(SUPPORTED),
        GET_REGISTRATIONS => return Ok(registrations(task)),
        GLOBAL | GLOBAL_EXPEDITED => barrier()?,
        PRIVATE_EXPEDITED => {
            check(task, REGISTER_PRIVATE_EXPEDITED)?;
            barrier()?;
        }
        PRIVATE_EXPEDITED_SYNC_CORE => {
            check(task, REGISTER_PRIVATE_EXPEDITED_SYNC_CORE)?;
            barrier()?;
            task.refetch_code()?;
        }
        PRIVATE_EXPEDITED_RSEQ => {
            check(task, REGISTER_PRIVATE_EXPEDITED_RSEQ)?;
            barrier()?;
            // A CPU that is not there runs nothing; one below 0 is no CPU.
            let cpu = u32::try_from(cpu).ok().filter(|_| flags & FLAG_CPU != 0);
            task.abort_sequences(cpu)?;
        }
        REGISTER_GLOBAL_EXPEDITED
        | REGISTER_PRIVATE_EXPEDITED
        | REGISTER_PRIVATE_EXPEDITED_SYNC_CORE
        | REGISTER_PRIVATE_EXPEDITED_RSEQ => traits.register_membarrier(command as u32),
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(0)
}

/// As the kernel reports them: a kind of the private command counts as it, too.
fn registrations(task: &CurrentTask) -> i32 {
    let registered = task.memory().traits.membarrier_registrations() as i32;
    let kinds = REGISTER_PRIVATE_EXPEDITED_SYNC_CORE | REGISTER_PRIVATE_EXPEDITED_RSEQ;
    if registered & kinds != 0 {
        registered | REGISTER_PRIVATE_EXPEDITED
    } else {
        registered
    }
}

/// EPERM: this kind was not registered.
fn check(task: &CurrentTask, needed: i32) -> Result<(), Errno> {
    let registered = task.memory().traits.membarrier_registrations() as i32;
    if registered & needed != 0 {
        Ok(())
    } else {
        Err(Errno::EPERM)
    }
}

fn barrier() -> Result<(), Errno> {
    rivix_task::membarrier::all_threads()
}
