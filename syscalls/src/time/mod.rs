//! Clocks, sleeping, timers.

mod clock;
mod itimer;
mod sleep;
mod timer;
mod usage;

pub use clock::{
    adjtimex, clock_adjtime, clock_getres, clock_gettime, clock_settime, gettimeofday, settimeofday,
};
pub use itimer::{getitimer, setitimer};
pub(crate) use sleep::sleep_until;
pub use sleep::{clock_nanosleep, nanosleep};
pub use timer::{timer_create, timer_delete, timer_getoverrun, timer_gettime, timer_settime};
pub(crate) use usage::rusage;
pub use usage::{getrusage, times};
