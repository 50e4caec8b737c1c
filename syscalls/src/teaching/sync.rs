//! Mutexes, semaphores, condition variables, and the detection of deadlocks.

use super::DEADLOCK;
use rivix_abi::Errno;
use rivix_task::{CurrentTask, SysError, SysResult};

/// A refused request is an answer of its own.
fn or_deadlock(result: SysResult<()>) -> SysResult<i64> {
    match result {
        Ok(()) => Ok(0),
        Err(SysError::Errno(Errno::EDEADLK)) => Ok(DEADLOCK),
        Err(other) => Err(other),
    }
}

/// 1: one whose waiters sleep; else one whose waiters spin.
pub(super) fn mutex_create(task: &mut CurrentTask, is_blocking: u64) -> SysResult<usize> {
    Ok(task.create_mutex(is_blocking == 1)?)
}

pub(super) fn mutex_lock(task: &mut CurrentTask, number: u64) -> SysResult<i64> {
    or_deadlock(task.lock_mutex(number))
}

pub(super) fn mutex_unlock(task: &mut CurrentTask, number: u64) -> SysResult<()> {
    Ok(task.unlock_mutex(number)?)
}

pub(super) fn semaphore_create(task: &mut CurrentTask, units: u64) -> SysResult<usize> {
    Ok(task.create_semaphore(units)?)
}

pub(super) fn semaphore_up(task: &mut CurrentTask, number: u64) -> SysResult<()> {
    Ok(task.up_semaphore(number)?)
}

pub(super) fn semaphore_down(task: &mut CurrentTask, number: u64) -> SysResult<i64> {
    or_deadlock(task.down_semaphore(number))
}

pub(super) fn condvar_create(task: &mut CurrentTask) -> SysResult<usize> {
    Ok(task.create_condition()?)
}

pub(super) fn condvar_signal(task: &mut CurrentTask, number: u64) -> SysResult<()> {
    Ok(task.signal_condition(number)?)
}

pub(super) fn condvar_wait(task: &mut CurrentTask, number: u64, mutex: u64) -> SysResult<()> {
    task.wait_condition(number, mutex)
}

pub(super) fn enable_deadlock_detect(task: &mut CurrentTask, yes: u64) -> SysResult<()> {
    let yes = match yes {
        0 => false,
        1 => true,
        _ => return Err(Errno::EINVAL.into()),
    };
    Ok(task.detect_deadlocks(yes)?)
}
