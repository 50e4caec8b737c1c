//! The 16-bit encodings of the C extension.
//!
//! What the manual marks RES or NSE is refused; what it marks HINT decodes to
//! an expansion without effect ("C" Standard Extension, RVC Instruction Set
//! Listings).

use crate::decode::Insn;
use crate::table::{COMPRESSED, CompressedFormat, CompressedRow};

/// The row that matches, before its operands are checked.
pub(crate) fn row(half: u16) -> Option<&'static CompressedRow> {
    COMPRESSED
        .iter()
        .find(|row| half & row.mask == row.bits && accepts(row.format, half))
}

/// Rows whose bits overlap are told apart by a register being x0.
fn accepts(format: CompressedFormat, half: u16) -> bool {
    match format {
        CompressedFormat::Move | CompressedFormat::Add => half >> 2 & 31 != 0,
        _ => true,
    }
}

pub(crate) fn decode(half: u16) -> Option<Insn> {
    let row = row(half)?;
    let f = Fields(half);
    let mut insn = Insn {
        op: row.op,
        rd: 0,
        rs1: 0,
        rs2: 0,
        rs3: 0,
        rm: 0,
        imm: 0,
        len: 2,
        raw: u32::from(half),
    };
    match row.format {
        CompressedFormat::Addi4spn => {
            // nzuimm[5:4|9:6|2|3] in 12:5.
            let imm =
                f.bits(11, 2) << 4 | f.bits(7, 4) << 6 | f.bits(6, 1) << 2 | f.bits(5, 1) << 3;
            (insn.rd, insn.rs1, insn.imm) = (f.low_short(), SP, nonzero(imm)?);
        }
        CompressedFormat::LoadW => {
            (insn.rd, insn.rs1, insn.imm) = (f.low_short(), f.high_short(), f.offset_w());
        }
        CompressedFormat::LoadD => {
            (insn.rd, insn.rs1, insn.imm) = (f.low_short(), f.high_short(), f.offset_d());
        }
        CompressedFormat::StoreW => {
            (insn.rs2, insn.rs1, insn.imm) = (f.low_short(), f.high_short(), f.offset_w());
        }
        CompressedFormat::StoreD => {
            (insn.rs2, insn.rs1, insn.imm) = (f.low_short(), f.high_short(), f.offset_d());
        }
        CompressedFormat::AddImm => {
            (insn.rd, insn.rs1, insn.imm) = (f.high(), f.high(), f.imm6());
        }
        CompressedFormat::AddImmNotZero => {
            let rd = not_x0(f.high())?;
            (insn.rd, insn.rs1, insn.imm) = (rd, rd, f.imm6());
        }
        CompressedFormat::LoadImm => (insn.rd, insn.imm) = (f.high(), f.imm6()),
        CompressedFormat::Addi16sp => {
            // nzimm[9] in 12, nzimm[4|6|8:7|5] in 6:2.
            let imm = f.sign() << 9
                | f.bits(6, 1) << 4
                | f.bits(5, 1) << 6
                | f.bits(3, 2) << 7
                | f.bits(2, 1) << 5;
            (insn.rd, insn.rs1, insn.imm) = (SP, SP, nonzero(imm)?);
        }
        CompressedFormat::Lui => {
            (insn.rd, insn.imm) = (f.high(), nonzero(f.imm6())? << 12);
        }
        CompressedFormat::ShiftShort => {
            (insn.rd, insn.rs1, insn.imm) = (f.high_short(), f.high_short(), f.shamt());
        }
        CompressedFormat::AndImm => {
            (insn.rd, insn.rs1, insn.imm) = (f.high_short(), f.high_short(), f.imm6());
        }
        CompressedFormat::Arith => {
            (insn.rd, insn.rs1, insn.rs2) = (f.high_short(), f.high_short(), f.low_short());
        }
        CompressedFormat::Jump => {
            // imm[11|4|9:8|10|6|7|3:1|5] in 12:2.
            insn.imm = f.sign() << 11
                | f.bits(11, 1) << 4
                | f.bits(9, 2) << 8
                | f.bits(8, 1) << 10
                | f.bits(7, 1) << 6
                | f.bits(6, 1) << 7
                | f.bits(3, 3) << 1
                | f.bits(2, 1) << 5;
        }
        CompressedFormat::Branch => {
            // imm[8|4:3] in 12:10, imm[7:6|2:1|5] in 6:2.
            insn.rs1 = f.high_short();
            insn.imm = f.sign() << 8
                | f.bits(10, 2) << 3
                | f.bits(5, 2) << 6
                | f.bits(3, 2) << 1
                | f.bits(2, 1) << 5;
        }
        CompressedFormat::Shift => {
            (insn.rd, insn.rs1, insn.imm) = (f.high(), f.high(), f.shamt());
        }
        CompressedFormat::LoadSpW => {
            // uimm[5] in 12, uimm[4:2|7:6] in 6:2.
            let imm = f.bits(12, 1) << 5 | f.bits(4, 3) << 2 | f.bits(2, 2) << 6;
            (insn.rd, insn.rs1, insn.imm) = (not_x0(f.high())?, SP, imm);
        }
        CompressedFormat::LoadSpD => {
            (insn.rd, insn.rs1, insn.imm) = (not_x0(f.high())?, SP, f.sp_load_d());
        }
        CompressedFormat::FloadSpD => {
            (insn.rd, insn.rs1, insn.imm) = (f.high(), SP, f.sp_load_d());
        }
        CompressedFormat::JumpReg => insn.rs1 = not_x0(f.high())?,
        CompressedFormat::CallReg => (insn.rd, insn.rs1) = (RA, not_x0(f.high())?),
        CompressedFormat::Move => (insn.rd, insn.rs2) = (f.high(), f.low()),
        CompressedFormat::Add => (insn.rd, insn.rs1, insn.rs2) = (f.high(), f.high(), f.low()),
        CompressedFormat::Nullary => {}
        CompressedFormat::StoreSpW => {
            // uimm[5:2|7:6] in 12:7.
            let imm = f.bits(9, 4) << 2 | f.bits(7, 2) << 6;
            (insn.rs2, insn.rs1, insn.imm) = (f.low(), SP, imm);
        }
        CompressedFormat::StoreSpD => {
            // uimm[5:3|8:6] in 12:7.
            let imm = f.bits(10, 3) << 3 | f.bits(7, 3) << 6;
            (insn.rs2, insn.rs1, insn.imm) = (f.low(), SP, imm);
        }
    }
    Some(insn)
}

const RA: u8 = 1;
const SP: u8 = 2;

fn nonzero(imm: i32) -> Option<i32> {
    (imm != 0).then_some(imm)
}

fn not_x0(register: u8) -> Option<u8> {
    (register != 0).then_some(register)
}

/// Field access of a 16-bit encoding.
#[derive(Clone, Copy)]
struct Fields(u16);

impl Fields {
    fn bits(self, low: u32, count: u32) -> i32 {
        i32::from(self.0 >> low) & ((1 << count) - 1)
    }

    /// Bit 12, as 0 or -1.
    fn sign(self) -> i32 {
        -self.bits(12, 1)
    }

    fn high(self) -> u8 {
        self.bits(7, 5) as u8
    }

    fn low(self) -> u8 {
        self.bits(2, 5) as u8
    }

    /// rs1' or rd', in 9:7.
    fn high_short(self) -> u8 {
        8 + self.bits(7, 3) as u8
    }

    /// rs2' or rd', in 4:2.
    fn low_short(self) -> u8 {
        8 + self.bits(2, 3) as u8
    }

    /// imm\[5\] in 12, imm\[4:0\] in 6:2, signed.
    fn imm6(self) -> i32 {
        self.sign() << 5 | self.bits(2, 5)
    }

    /// The same bits as a shift amount.
    fn shamt(self) -> i32 {
        self.imm6() & 63
    }

    /// uimm\[5:3\] in 12:10, uimm\[2|6\] in 6:5.
    fn offset_w(self) -> i32 {
        self.bits(10, 3) << 3 | self.bits(6, 1) << 2 | self.bits(5, 1) << 6
    }

    /// uimm\[5:3\] in 12:10, uimm\[7:6\] in 6:5.
    fn offset_d(self) -> i32 {
        self.bits(10, 3) << 3 | self.bits(5, 2) << 6
    }

    /// uimm\[5\] in 12, uimm\[4:3|8:6\] in 6:2.
    fn sp_load_d(self) -> i32 {
        self.bits(12, 1) << 5 | self.bits(5, 2) << 3 | self.bits(2, 3) << 6
    }
}
