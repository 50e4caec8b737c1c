//! The futex family.
