//! The sched family.
