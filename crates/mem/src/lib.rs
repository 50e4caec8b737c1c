//! Guest address spaces.

/// A guest's memory.
pub struct AddressSpace {}
