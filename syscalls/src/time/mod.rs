//! The time family.
