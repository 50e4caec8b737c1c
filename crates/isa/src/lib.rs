//! The RISC-V instruction table and all that follows from it.

pub mod registers;

pub use registers::{Registers, reg};
