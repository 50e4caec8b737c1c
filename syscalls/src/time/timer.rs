//! POSIX timers: timer_create(2) and relatives.

use rivix_abi::signal::{SIGEV_NONE, SIGEV_SIGNAL, SIGEV_THREAD, SIGEV_THREAD_ID, SigEvent};
use rivix_abi::time::*;
use rivix_abi::{Errno, Signal, UserRef};
use rivix_task::{CurrentTask, SysResult, TimerNotice, TimerSetting};

pub fn timer_create(
    task: &mut CurrentTask,
    clock: i32,
    event: UserRef<SigEvent>,
    id: UserRef<i32>,
) -> SysResult<()> {
    match clock {
        CLOCK_REALTIME_ALARM | CLOCK_BOOTTIME_ALARM => return Err(Errno::EPERM.into()),
        CLOCK_MONOTONIC_RAW | CLOCK_REALTIME_COARSE | CLOCK_MONOTONIC_COARSE => {
            return Err(Errno::EOPNOTSUPP.into());
        }
        _ => {}
    }
    let clock = task.find_clock(clock)?;
    let event = match event.non_null() {
        Some(at) => Some(task.read(at)?),
        None => None,
    };
    let notice = match event {
        None => None,
        Some(event) => Some(notice(task, &event)?),
    };
    let group = task.group().clone();
    let uid = task.creds().uid;
    let new = group.timer_create(task.kernel(), clock, uid, |id| {
        notice.unwrap_or(TimerNotice {
            signal: Some(Signal::SIGALRM),
            tid: None,
            value: u64::from(id.cast_unsigned()),
        })
    })?;
    if let Err(errno) = task.write(id, &new) {
        let _ = group.timer_delete(task.kernel(), new);
        return Err(errno.into());
    }
    Ok(())
}

fn notice(task: &CurrentTask, event: &SigEvent) -> Result<TimerNotice, Errno> {
    let signal = || Signal::new(event.signo.into()).ok_or(Errno::EINVAL);
    let (signal, tid) = match event.notify {
        SIGEV_NONE => (None, None),
        SIGEV_SIGNAL | SIGEV_THREAD => (Some(signal()?), None),
        SIGEV_THREAD_ID => {
            let target = task.kernel().find_task(event.tid).ok_or(Errno::EINVAL)?;
            if target.pid() != task.pid() {
                return Err(Errno::EINVAL);
            }
            (Some(signal()?), Some(event.tid))
        }
        _ => return Err(Errno::EINVAL),
    };
    Ok(TimerNotice {
        signal,
        tid,
        value: event.value,
    })
}

pub fn timer_settime(
    task: &mut CurrentTask,
    id: i32,
    flags: i32,
    new: UserRef<Itimerspec>,
    old: UserRef<Itimerspec>,
) -> SysResult<()> {
    let Some(new) = new.non_null() else {
        return Err(Errno::EINVAL.into());
    };
    let new = task.read(new)?;
    let setting = TimerSetting {
        value_ns: new.value.validate()?.as_ns(),
        interval_ns: new.interval.validate()?.as_ns(),
    };
    let is_absolute = flags & TIMER_ABSTIME != 0;
    let before = task
        .group()
        .timer_settime(task.kernel(), id, setting, is_absolute)?;
    match old.non_null() {
        Some(at) => Ok(task.write(at, &to_user(before))?),
        None => Ok(()),
    }
}

pub fn timer_gettime(task: &mut CurrentTask, id: i32, to: UserRef<Itimerspec>) -> SysResult<()> {
    let setting = task.group().timer_gettime(task.kernel(), id)?;
    Ok(task.write(to, &to_user(setting))?)
}

pub fn timer_getoverrun(task: &mut CurrentTask, id: i32) -> SysResult<i32> {
    Ok(task.group().timer_overrun(id)?)
}

pub fn timer_delete(task: &mut CurrentTask, id: i32) -> SysResult<()> {
    Ok(task.group().timer_delete(task.kernel(), id)?)
}

fn to_user(setting: TimerSetting) -> Itimerspec {
    Itimerspec {
        interval: Timespec::from_ns(setting.interval_ns),
        value: Timespec::from_ns(setting.value_ns),
    }
}
