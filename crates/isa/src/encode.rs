//! From operands to bits, for tests and for code the kernel makes itself.

use crate::decode::Insn;
use crate::table::{Format, Op};

/// Operands of an instruction, as in [`Insn`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Operands {
    pub rd: u8,
    pub rs1: u8,
    pub rs2: u8,
    pub rs3: u8,
    pub rm: u8,
    pub imm: i32,
}

impl From<&Insn> for Operands {
    fn from(insn: &Insn) -> Operands {
        let Insn {
            op: _,
            rd,
            rs1,
            rs2,
            rs3,
            rm,
            imm,
            len: _,
            raw: _,
        } = *insn;
        Operands {
            rd,
            rs1,
            rs2,
            rs3,
            rm,
            imm,
        }
    }
}

/// The 32-bit encoding. Fields the format lacks are ignored, and those it has
/// are cut to their width, so that any input gives some word.
pub fn encode(op: Op, operands: Operands) -> u32 {
    let row = op.row();
    let field = |value: u8, at: u32| u32::from(value & 31) << at;
    let rd = field(operands.rd, 7);
    let rs1 = field(operands.rs1, 15);
    let rs2 = field(operands.rs2, 20);
    let rm = u32::from(operands.rm & 7) << 12;
    let imm = operands.imm as u32;
    row.bits
        | match row.format {
            Format::R | Format::F3 | Format::FCompare => rd | rs1 | rs2,
            Format::F3Rm => rd | rs1 | rs2 | rm,
            Format::F4 => rd | rs1 | rs2 | rm | field(operands.rs3, 27),
            Format::FToX | Format::XToF => rd | rs1,
            Format::F2Rm | Format::FToXRm | Format::XToFRm => rd | rs1 | rm,
            Format::I
            | Format::Jalr
            | Format::Load
            | Format::FLoad
            | Format::Fence
            | Format::FenceI
            | Format::Csr
            | Format::CsrImm => rd | rs1 | imm << 20,
            Format::Shift64 => rd | rs1 | (imm & 63) << 20,
            Format::Shift32 => rd | rs1 | (imm & 31) << 20,
            Format::Store | Format::FStore => rs1 | rs2 | (imm & 31) << 7 | (imm >> 5) << 25,
            Format::Branch => {
                rs1 | rs2
                    | (imm >> 11 & 1) << 7
                    | (imm >> 1 & 15) << 8
                    | (imm >> 5 & 0x3f) << 25
                    | (imm >> 12 & 1) << 31
            }
            Format::U => rd | imm & 0xffff_f000,
            Format::J => {
                rd | imm & 0xff000
                    | (imm >> 11 & 1) << 20
                    | (imm >> 1 & 0x3ff) << 21
                    | (imm >> 20 & 1) << 31
            }
            Format::Nullary => 0,
            Format::Amo => rd | rs1 | rs2 | (imm & 3) << 25,
            Format::Lr => rd | rs1 | (imm & 3) << 25,
        }
}
