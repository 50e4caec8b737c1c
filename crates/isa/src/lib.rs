//! The RISC-V instruction table and all that follows from it.
//!
//! [`table`] lists every instruction once. From it come the [`Op`] enum,
//! [`decode`], [`encode`], the disassembler (`Display` of [`Insn`]), the
//! [`Execute`] trait that engines implement, and, through [`extension`], the
//! ISA string, `AT_HWCAP` and `riscv_hwprobe` answers.
//!
//! The instructions are RV64GC: I, M, A, F, D, C, Zicsr and Zifencei, with the
//! user-level CSRs of [`csr`]. Compressed rows decode to the same [`Op`]s as
//! their expansions, with [`Insn::len`] 2.
//!
//! **Invariant:** `isa` never sees memory, a hart or an operating system; it
//! maps bits to meaning and back.
//!
//! **Invariant:** [`decode`] answers `None` for every encoding that the
//! manual reserves or that belongs to an extension not listed, and a hint is a
//! legal instruction. The one check left to engines is `rm` = dynamic while
//! `fcsr.frm` holds a reserved mode, which depends on the hart's state.
//!
//! # How to add an instruction
//!
//! 1. Add a row to `table.rs`, under its extension (a new extension also needs
//!    a row in `extension.rs`): method name, op name, format, mask, bits. Name
//!    the method as the mnemonic with `_` for `.`.
//! 2. If no [`Format`] fits its operands, add one: `decode.rs` extracts the
//!    fields, `encode.rs` puts them back, `disasm.rs` prints them; the compiler
//!    asks for all three.
//! 3. A compressed form is a row in the `compressed` part that names the op it
//!    expands to.
//! 4. Every engine now fails to compile until it has the method. Write it.
//! 5. `cargo test -p rivix-isa` checks the row against objdump and against
//!    overlap with other rows; `cargo test -p rivix-testsuite --release` runs
//!    it on edge and random operands against qemu-riscv64. Both read the table,
//!    so neither needs a change unless the format is new.

mod compressed;
pub mod csr;
mod decode;
mod disasm;
mod encode;
mod execute;
pub mod extension;
pub mod registers;
pub mod table;

pub use csr::Csr;
pub use decode::{Insn, decode, length};
pub use disasm::{FREG_NAMES, XREG_NAMES};
pub use encode::{Operands, encode};
pub use execute::{Execute, dispatch};
pub use extension::{Extension, extensions};
pub use registers::{Registers, reg};
pub use table::{CompressedFormat, CompressedRow, Format, Op, Row};
