//! From bits to an instruction.

use crate::compressed;
use crate::csr::Csr;
use crate::table::{Format, Op, ROWS};

/// A decoded instruction. Fields that its format lacks are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Insn {
    pub op: Op,
    pub rd: u8,
    /// Also the 5-bit immediate of csrrwi, csrrsi and csrrci.
    pub rs1: u8,
    pub rs2: u8,
    pub rs3: u8,
    /// Rounding mode: 0..=4, or 7 for `fcsr.frm`.
    pub rm: u8,
    /// Sign-extended immediate, shift amount, CSR number, aq (2) and rl (1), or
    /// a fence's bits 31:20, as the format says.
    pub imm: i32,
    /// Bytes: 2 or 4.
    pub len: u8,
    /// The encoding; the low 16 bits when compressed.
    pub raw: u32,
}

impl Insn {
    pub fn format(&self) -> Format {
        self.op.format()
    }

    pub fn is_compressed(&self) -> bool {
        self.len == 2
    }
}

/// Bytes of the instruction that starts with this halfword. Longer encodings
/// than 4 bytes are not defined by any extension we have; they count as 4 and
/// do not decode.
pub const fn length(halfword: u16) -> usize {
    if halfword & 3 == 3 { 4 } else { 2 }
}

/// Decodes one instruction. When bits 1:0 are not 3 only the low 16 bits
/// matter. `None` is an illegal instruction.
pub fn decode(bits: u32) -> Option<Insn> {
    if bits & 3 != 3 {
        return compressed::decode(bits as u16);
    }
    let range = &BUCKETS.ranges[major_opcode(bits)];
    let candidates = &BUCKETS.order[range.0 as usize..range.1 as usize];
    let op = candidates
        .iter()
        .map(|&op| &ROWS[op as usize])
        .find(|row| bits & row.mask == row.bits)?
        .op;
    operands(op, bits)
}

/// Rows by bits 6:2, so that decoding looks at a few rows only.
struct Buckets {
    order: [u8; ROWS_LEN],
    /// First and past-the-last index in `order`.
    ranges: [(u8, u8); 32],
}

const ROWS_LEN: usize = Op::ALL.len();

static BUCKETS: Buckets = buckets();

const fn major_opcode(bits: u32) -> usize {
    (bits as usize >> 2) & 31
}

macro_rules! row_bits {
    (
        base { $( $extension:ident { $( $method:ident $op:ident $format:ident $mask:literal $bits:literal; )* } )* }
        compressed $compressed:tt
    ) => {
        /// `bits` of each row: a static is not readable at compile time.
        const ROW_BITS: [u32; ROWS_LEN] = [ $( $( $bits, )* )* ];
    };
}

crate::for_each_insn!(row_bits);

const fn buckets() -> Buckets {
    let mut order = [0; ROWS_LEN];
    let mut ranges = [(0, 0); 32];
    let mut filled = 0;
    let mut major = 0;
    while major < 32 {
        let start = filled;
        let mut row = 0;
        while row < ROWS_LEN {
            if major_opcode(ROW_BITS[row]) == major {
                order[filled] = row as u8;
                filled += 1;
            }
            row += 1;
        }
        ranges[major] = (start as u8, filled as u8);
        major += 1;
    }
    Buckets { order, ranges }
}

/// Extracts what `op`'s format has; `None` for a reserved operand.
fn operands(op: Op, bits: u32) -> Option<Insn> {
    let rd = (bits >> 7 & 31) as u8;
    let rs1 = (bits >> 15 & 31) as u8;
    let rs2 = (bits >> 20 & 31) as u8;
    let upper = bits as i32 >> 20;
    let mut insn = Insn {
        op,
        rd: 0,
        rs1: 0,
        rs2: 0,
        rs3: 0,
        rm: 0,
        imm: 0,
        len: 4,
        raw: bits,
    };
    let format = op.format();
    if format.has_rounding_mode() {
        insn.rm = (bits >> 12 & 7) as u8;
        if matches!(insn.rm, 5 | 6) {
            return None;
        }
    }
    match format {
        Format::R | Format::F3 | Format::F3Rm | Format::FCompare => {
            (insn.rd, insn.rs1, insn.rs2) = (rd, rs1, rs2);
        }
        Format::F4 => {
            (insn.rd, insn.rs1, insn.rs2) = (rd, rs1, rs2);
            insn.rs3 = (bits >> 27) as u8;
        }
        Format::F2Rm | Format::FToX | Format::FToXRm | Format::XToF | Format::XToFRm => {
            (insn.rd, insn.rs1) = (rd, rs1);
        }
        Format::I | Format::Jalr | Format::Load | Format::FLoad => {
            (insn.rd, insn.rs1, insn.imm) = (rd, rs1, upper);
        }
        Format::Shift64 => (insn.rd, insn.rs1, insn.imm) = (rd, rs1, upper & 63),
        Format::Shift32 => (insn.rd, insn.rs1, insn.imm) = (rd, rs1, upper & 31),
        Format::Store | Format::FStore => {
            (insn.rs1, insn.rs2) = (rs1, rs2);
            insn.imm = upper & !31 | i32::from(rd);
        }
        Format::Branch => {
            (insn.rs1, insn.rs2) = (rs1, rs2);
            insn.imm = branch_offset(bits);
        }
        Format::U => (insn.rd, insn.imm) = (rd, (bits & 0xffff_f000) as i32),
        Format::J => (insn.rd, insn.imm) = (rd, jump_offset(bits)),
        Format::Fence | Format::FenceI => {
            (insn.rd, insn.rs1, insn.imm) = (rd, rs1, (bits >> 20) as i32);
        }
        Format::Nullary => {}
        Format::Csr | Format::CsrImm => {
            let number = bits >> 20;
            let csr = Csr::from_number(number)?;
            // csrrs and csrrc, with or without "i", do not write when rs1 is
            // x0 or the immediate is 0 (Zicsr).
            let writes = matches!(op, Op::Csrrw | Op::Csrrwi) || rs1 != 0;
            if writes && csr.is_read_only() {
                return None;
            }
            (insn.rd, insn.rs1, insn.imm) = (rd, rs1, number as i32);
        }
        Format::Amo => {
            (insn.rd, insn.rs1, insn.rs2) = (rd, rs1, rs2);
            insn.imm = (bits >> 25 & 3) as i32;
        }
        Format::Lr => {
            (insn.rd, insn.rs1) = (rd, rs1);
            insn.imm = (bits >> 25 & 3) as i32;
        }
    }
    Some(insn)
}

/// imm\[12|10:5\] in 31:25, imm\[4:1|11\] in 11:7.
fn branch_offset(bits: u32) -> i32 {
    let sign = bits as i32 >> 31;
    sign << 12 | ((bits >> 7 & 1) << 11 | (bits >> 25 & 0x3f) << 5 | (bits >> 8 & 15) << 1) as i32
}

/// imm\[20|10:1|11|19:12\] in 31:12.
fn jump_offset(bits: u32) -> i32 {
    let sign = bits as i32 >> 31;
    sign << 20 | (bits & 0xff000 | (bits >> 20 & 1) << 11 | (bits >> 21 & 0x3ff) << 1) as i32
}
