//! Instructions as executed: images made of encoded instructions run by
//! qemu-riscv64, the reference, by rivix, and by its interpreter in this process.
//!
//! `rows` runs every row of the instruction table on edge and random operands;
//! `streams` runs random code; `traps` runs what ends in a signal.

mod asm;
mod block;
mod engine;
mod reference;
mod rows;
mod streams;
mod subject;
mod traps;
mod vectors;
