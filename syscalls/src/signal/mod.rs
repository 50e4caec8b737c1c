//! The signal family.
