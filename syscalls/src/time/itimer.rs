//! setitimer(2), getitimer(2).

use rivix_abi::UserRef;
use rivix_abi::time::{Itimerval, Timeval};
use rivix_task::{CurrentTask, SysResult, TimerSetting};

pub fn setitimer(
    task: &mut CurrentTask,
    which: i32,
    new: UserRef<Itimerval>,
    old: UserRef<Itimerval>,
) -> SysResult<()> {
    // NULL has always meant zero (setitimer(2), BUGS).
    let new = match new.non_null() {
        Some(at) => task.read(at)?,
        None => Itimerval::default(),
    };
    let setting = TimerSetting {
        value_ns: new.value.validate()?.as_ns(),
        interval_ns: new.interval.validate()?.as_ns(),
    };
    let before = task.group().set_itimer(task.kernel(), which, setting)?;
    match old.non_null() {
        Some(at) => Ok(task.write(at, &to_user(before))?),
        None => Ok(()),
    }
}

pub fn getitimer(task: &mut CurrentTask, which: i32, to: UserRef<Itimerval>) -> SysResult<()> {
    let setting = task.group().get_itimer(task.kernel(), which)?;
    Ok(task.write(to, &to_user(setting))?)
}

fn to_user(setting: TimerSetting) -> Itimerval {
    // An armed timer never reads as zero, which would say disarmed.
    let value_ns = match setting.value_ns {
        0 => 0,
        ns => ns.max(1000),
    };
    Itimerval {
        interval: Timeval::from_ns(setting.interval_ns),
        value: Timeval::from_ns(value_ns),
    }
}
