//! A process's timers: POSIX timers and interval timers.

/// Guarded by the group's `Timers` lock.
#[derive(Default)]
pub struct GroupTimers {}
