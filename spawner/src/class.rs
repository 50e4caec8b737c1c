//! How the host schedules a thread.

/// A scheduling class (sched(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Class {
    /// SCHED_OTHER.
    #[default]
    Normal,
    /// SCHED_BATCH: for long computations.
    Batch,
    /// SCHED_IDLE: only when nothing else wants the processor.
    Idle,
    /// SCHED_FIFO with a priority of 1 to 99; usually needs privilege.
    Fifo(u8),
    /// SCHED_RR with a priority of 1 to 99; usually needs privilege.
    RoundRobin(u8),
}

/// What a unit wants its thread to be while it runs. What is None stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Role {
    pub class: Option<Class>,
    /// The nice value, -20 to 19.
    pub nice: Option<i32>,
}

impl Class {
    /// Puts the calling thread, which has its creator's class, into this one.
    pub(crate) fn apply(self) -> Result<(), nix::errno::Errno> {
        match self {
            Class::Normal => Ok(()),
            class => crate::host::set_class(class),
        }
    }
}
