//! clock_gettime(2) and relatives. Nobody sets a clock here.

use rivix_abi::time::*;
use rivix_abi::{Errno, UserAddress, UserRef};
use rivix_task::{CurrentTask, SysResult, is_sampled_clock};

pub fn clock_gettime(task: &mut CurrentTask, id: i32, to: UserRef<Timespec>) -> SysResult<()> {
    let now = match id {
        // The common ones need no look at the task.
        CLOCK_REALTIME | CLOCK_MONOTONIC => task.kernel().clock().now_ns(id)?,
        _ => {
            if is_sampled_clock(id) {
                task.account_cpu();
            }
            task.find_clock_to_read(id)?.now_ns(task.kernel())?
        }
    };
    Ok(task.write(to, &Timespec::from_ns(now))?)
}

pub fn clock_getres(task: &mut CurrentTask, id: i32, to: UserRef<Timespec>) -> SysResult<()> {
    let resolution = if id < 0 {
        task.find_clock(id)?;
        Timespec {
            sec: 0,
            nsec: if is_sampled_clock(id) { TICK_NS } else { 1 },
        }
    } else {
        task.kernel().clock().resolution(id)?
    };
    match to.non_null() {
        Some(to) => Ok(task.write(to, &resolution)?),
        None => Ok(()),
    }
}

/// What CPU clocks that count in ticks say they resolve; what ours do is finer.
const TICK_NS: i64 = 4_000_000;

pub fn clock_settime(task: &mut CurrentTask, id: i32, from: UserRef<Timespec>) -> SysResult<()> {
    if id < 0 {
        task.read(from)?;
        task.find_clock(id)?;
        return Err(Errno::EPERM.into());
    }
    if id != CLOCK_REALTIME {
        return Err(Errno::EINVAL.into());
    }
    task.read(from)?.validate()?;
    Err(Errno::EPERM.into())
}

pub fn gettimeofday(
    task: &mut CurrentTask,
    to: UserRef<Timeval>,
    zone: UserRef<Timezone>,
) -> SysResult<()> {
    if let Some(to) = to.non_null() {
        let now = task.kernel().clock().now_ns(CLOCK_REALTIME)?;
        task.write(to, &Timeval::from_ns(now))?;
    }
    if let Some(zone) = zone.non_null() {
        task.write(zone, &Timezone::default())?;
    }
    Ok(())
}

pub fn settimeofday(
    task: &mut CurrentTask,
    from: UserRef<Timeval>,
    zone: UserRef<Timezone>,
) -> SysResult<()> {
    if let Some(from) = from.non_null() {
        let time = task.read(from)?;
        if !(0..=1_000_000).contains(&time.usec) {
            return Err(Errno::EINVAL.into());
        }
    }
    if let Some(zone) = zone.non_null() {
        task.read(zone)?;
    }
    Err(Errno::EPERM.into())
}

/// struct timex is 208 bytes; only its first word, the mode, is looked at.
const TIMEX_BYTES: usize = 208;

pub fn adjtimex(task: &mut CurrentTask, timex: UserAddress) -> SysResult<i32> {
    /// The clock is not synchronised by anybody we know of (adjtimex(2)).
    const TIME_ERROR: i32 = 5;
    const STA_UNSYNC: u32 = 0x40;
    let mut bytes = [0; TIMEX_BYTES];
    task.read_bytes(timex, &mut bytes)?;
    if bytes[..4] != [0; 4] {
        return Err(Errno::EPERM.into());
    }
    let now = Timeval::from_ns(task.kernel().clock().now_ns(CLOCK_REALTIME)?);
    let mut told = [0; TIMEX_BYTES];
    // status, precision, tick, time: their places in struct timex.
    told[40..44].copy_from_slice(&STA_UNSYNC.to_le_bytes());
    told[56..64].copy_from_slice(&1u64.to_le_bytes());
    told[72..80].copy_from_slice(&now.sec.to_le_bytes());
    told[80..88].copy_from_slice(&now.usec.to_le_bytes());
    told[88..96].copy_from_slice(&10_000u64.to_le_bytes());
    task.write_bytes(timex, &told)?;
    Ok(TIME_ERROR)
}

pub fn clock_adjtime(task: &mut CurrentTask, id: i32, timex: UserAddress) -> SysResult<i32> {
    if id != CLOCK_REALTIME {
        task.find_clock(id)?;
        return Err(Errno::EOPNOTSUPP.into());
    }
    adjtimex(task, timex)
}
