//! timerfd_create(2), timerfd_settime(2), timerfd_gettime(2).

use crate::arg::Fd;
use rivix_abi::fcntl::{O_CLOEXEC, O_NONBLOCK};
use rivix_abi::poll::{TFD_TIMER_ABSTIME, TFD_TIMER_CANCEL_ON_SET};
use rivix_abi::time::{
    CLOCK_BOOTTIME, CLOCK_BOOTTIME_ALARM, CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_REALTIME_ALARM,
    Itimerspec, Timespec,
};
use rivix_abi::{Errno, UserRef};
use rivix_fs::File;
use rivix_fs::timerfd::{Setting, TimerFd};
use rivix_task::{CurrentTask, SysResult};
use std::sync::Arc;

pub fn timerfd_create(task: &mut CurrentTask, clock: i32, flags: u32) -> SysResult<Fd> {
    if flags & !(O_CLOEXEC | O_NONBLOCK) != 0 {
        return Err(Errno::EINVAL.into());
    }
    match clock {
        CLOCK_REALTIME | CLOCK_MONOTONIC | CLOCK_BOOTTIME => {}
        // They need CAP_WAKE_ALARM, which no guest has.
        CLOCK_REALTIME_ALARM | CLOCK_BOOTTIME_ALARM => return Err(Errno::EPERM.into()),
        _ => return Err(Errno::EINVAL.into()),
    }
    let kernel = task.kernel();
    let reader = Arc::downgrade(kernel);
    let now = move || {
        let now = reader
            .upgrade()
            .and_then(|kernel| kernel.clock().now_ns(clock).ok());
        now.unwrap_or(0)
    };
    let ops = TimerFd::new(clock, kernel.timers().clone(), Box::new(now));
    super::install(task, "timerfd", Box::new(ops), flags)
}

pub fn timerfd_settime(
    task: &mut CurrentTask,
    fd: Fd,
    flags: u32,
    new: UserRef<Itimerspec>,
    old: UserRef<Itimerspec>,
) -> SysResult<()> {
    let new = task.read(new)?;
    if flags & !(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let setting = Setting {
        value_ns: new.value.validate()?.as_ns(),
        interval_ns: new.interval.validate()?.as_ns(),
    };
    let file = timer(task, fd)?;
    let timer = file.downcast::<TimerFd>().ok_or(Errno::EINVAL)?;
    let before = timer.set(setting, flags & TFD_TIMER_ABSTIME != 0);
    if let Some(old) = old.non_null() {
        task.write(old, &to_user(before))?;
    }
    Ok(())
}

pub fn timerfd_gettime(task: &mut CurrentTask, fd: Fd, now: UserRef<Itimerspec>) -> SysResult<()> {
    let file = timer(task, fd)?;
    let timer = file.downcast::<TimerFd>().ok_or(Errno::EINVAL)?;
    task.write(now, &to_user(timer.get()))?;
    Ok(())
}

fn timer(task: &CurrentTask, fd: Fd) -> Result<Arc<File>, Errno> {
    let file = task.files().get(fd.0)?;
    if file.downcast::<TimerFd>().is_none() {
        return Err(Errno::EINVAL);
    }
    Ok(file)
}

fn to_user(setting: Setting) -> Itimerspec {
    Itimerspec {
        interval: Timespec::from_ns(setting.interval_ns),
        value: Timespec::from_ns(setting.value_ns),
    }
}
