//! Instructions as executed: images made of encoded instructions run by
//! qemu-riscv64, the reference, and by rivix.
//!
//! `rows` runs every row of the instruction table on edge and random operands.

mod asm;
mod block;
mod reference;
mod rows;
mod subject;
mod vectors;
