//! Instructions as text, as `objdump -M no-aliases` prints them.
//!
//! `Display` of [`Insn`] writes pc-relative targets as `.+16`; [`Insn::at`]
//! writes them as addresses.

use crate::compressed;
use crate::csr::Csr;
use crate::decode::Insn;
use crate::table::{CompressedFormat, Format, Op};
use std::fmt;

/// Integer registers by ABI name.
pub const XREG_NAMES: [&str; 32] = [
    "zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0", "a1", "a2", "a3", "a4",
    "a5", "a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4",
    "t5", "t6",
];

/// Floating-point registers by ABI name.
pub const FREG_NAMES: [&str; 32] = [
    "ft0", "ft1", "ft2", "ft3", "ft4", "ft5", "ft6", "ft7", "fs0", "fs1", "fa0", "fa1", "fa2",
    "fa3", "fa4", "fa5", "fa6", "fa7", "fs2", "fs3", "fs4", "fs5", "fs6", "fs7", "fs8", "fs9",
    "fs10", "fs11", "ft8", "ft9", "ft10", "ft11",
];

/// An instruction at an address.
pub struct At<'a> {
    insn: &'a Insn,
    pc: u64,
}

impl Insn {
    /// Prints with jump targets as addresses.
    pub fn at(&self, pc: u64) -> At<'_> {
        At { insn: self, pc }
    }
}

impl fmt::Display for Insn {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(self, None, out)
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(self.insn, Some(self.pc), out)
    }
}

fn x(register: u8) -> &'static str {
    XREG_NAMES[usize::from(register & 31)]
}

fn f(register: u8) -> &'static str {
    FREG_NAMES[usize::from(register & 31)]
}

/// A jump's target.
struct Target(Option<u64>, i32);

impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(pc) => write!(out, "{:x}", pc.wrapping_add_signed(i64::from(self.1))),
            None => write!(out, ".{:+}", self.1),
        }
    }
}

/// A rounding mode after the other operands; dynamic is not written.
struct Rm(u8);

impl fmt::Display for Rm {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => out.write_str(",rne"),
            1 => out.write_str(",rtz"),
            2 => out.write_str(",rdn"),
            3 => out.write_str(",rup"),
            4 => out.write_str(",rmm"),
            _ => Ok(()),
        }
    }
}

/// A fence's predecessor or successor set.
struct FenceSet(i32);

impl fmt::Display for FenceSet {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 & 15 == 0 {
            return out.write_str("unknown");
        }
        for (bit, name) in [(8, "i"), (4, "o"), (2, "r"), (1, "w")] {
            if self.0 & bit != 0 {
                out.write_str(name)?;
            }
        }
        Ok(())
    }
}

struct CsrName(i32);

impl fmt::Display for CsrName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Csr::from_number(self.0 as u32) {
            Some(csr) => out.write_str(csr.name()),
            None => write!(out, "{:#x}", self.0),
        }
    }
}

fn print(insn: &Insn, pc: Option<u64>, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    if insn.len == 2
        && let Some(row) = compressed::row(insn.raw as u16)
    {
        return print_compressed(row.mnemonic, row.format, insn, pc, out);
    }
    let Insn {
        op,
        rd,
        rs1,
        rs2,
        rs3,
        rm,
        imm,
        ..
    } = *insn;
    if op == Op::Fence && imm == 0x833 && rd == 0 && rs1 == 0 {
        return out.write_str("fence.tso");
    }
    out.write_str(op.mnemonic())?;
    if matches!(op.format(), Format::Amo | Format::Lr) {
        out.write_str(match imm & 3 {
            0 => "",
            1 => ".rl",
            2 => ".aq",
            _ => ".aqrl",
        })?;
    }
    if op.format() != Format::Nullary && op.format() != Format::FenceI {
        out.write_str(" ")?;
    }
    match op.format() {
        Format::R => write!(out, "{},{},{}", x(rd), x(rs1), x(rs2)),
        Format::I => write!(out, "{},{},{imm}", x(rd), x(rs1)),
        Format::Jalr | Format::Load => write!(out, "{},{imm}({})", x(rd), x(rs1)),
        Format::Shift64 | Format::Shift32 => write!(out, "{},{},{imm:#x}", x(rd), x(rs1)),
        Format::Store => write!(out, "{},{imm}({})", x(rs2), x(rs1)),
        Format::Branch => write!(out, "{},{},{}", x(rs1), x(rs2), Target(pc, imm)),
        Format::U => write!(out, "{},{:#x}", x(rd), imm as u32 >> 12),
        Format::J => write!(out, "{},{}", x(rd), Target(pc, imm)),
        Format::Fence => write!(out, "{},{}", FenceSet(imm >> 4), FenceSet(imm)),
        Format::FenceI | Format::Nullary => Ok(()),
        Format::Csr => write!(out, "{},{},{}", x(rd), CsrName(imm), x(rs1)),
        Format::CsrImm => write!(out, "{},{},{rs1}", x(rd), CsrName(imm)),
        Format::Amo => write!(out, "{},{},({})", x(rd), x(rs2), x(rs1)),
        Format::Lr => write!(out, "{},({})", x(rd), x(rs1)),
        Format::FLoad => write!(out, "{},{imm}({})", f(rd), x(rs1)),
        Format::FStore => write!(out, "{},{imm}({})", f(rs2), x(rs1)),
        Format::F4 => write!(out, "{},{},{},{}{}", f(rd), f(rs1), f(rs2), f(rs3), Rm(rm)),
        Format::F3Rm => write!(out, "{},{},{}{}", f(rd), f(rs1), f(rs2), Rm(rm)),
        Format::F3 => write!(out, "{},{},{}", f(rd), f(rs1), f(rs2)),
        Format::F2Rm => write!(out, "{},{}{}", f(rd), f(rs1), Rm(rm)),
        Format::FCompare => write!(out, "{},{},{}", x(rd), f(rs1), f(rs2)),
        Format::FToX | Format::FToXRm => write!(out, "{},{}{}", x(rd), f(rs1), ToXRm(insn)),
        Format::XToF | Format::XToFRm => write!(out, "{},{}{}", f(rd), x(rs1), ToXRm(insn)),
    }
}

/// The rounding mode, when the format has one.
struct ToXRm<'a>(&'a Insn);

impl fmt::Display for ToXRm<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.op.format().has_rounding_mode() {
            Rm(self.0.rm).fmt(out)
        } else {
            Ok(())
        }
    }
}

fn print_compressed(
    mnemonic: &str,
    format: CompressedFormat,
    insn: &Insn,
    pc: Option<u64>,
    out: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    use CompressedFormat as C;
    let Insn {
        op,
        rd,
        rs1,
        rs2,
        imm,
        ..
    } = *insn;
    let float = matches!(op, Op::Fld | Op::Fsd);
    let data = |register| if float { f(register) } else { x(register) };
    out.write_str(mnemonic)?;
    if format != C::Nullary {
        out.write_str(" ")?;
    }
    match format {
        C::Addi4spn => write!(out, "{},{},{imm}", x(rd), x(rs1)),
        C::LoadW | C::LoadD | C::LoadSpW | C::LoadSpD | C::FloadSpD => {
            write!(out, "{},{imm}({})", data(rd), x(rs1))
        }
        C::StoreW | C::StoreD | C::StoreSpW | C::StoreSpD => {
            write!(out, "{},{imm}({})", data(rs2), x(rs1))
        }
        C::AddImm | C::AddImmNotZero | C::LoadImm | C::Addi16sp | C::AndImm => {
            write!(out, "{},{imm}", x(rd))
        }
        C::Lui => write!(out, "{},{:#x}", x(rd), imm as u32 >> 12),
        C::ShiftShort | C::Shift => write!(out, "{},{imm:#x}", x(rd)),
        C::Arith | C::Move | C::Add => write!(out, "{},{}", x(rd), x(rs2)),
        C::Jump => write!(out, "{}", Target(pc, imm)),
        C::Branch => write!(out, "{},{}", x(rs1), Target(pc, imm)),
        C::JumpReg | C::CallReg => out.write_str(x(rs1)),
        C::Nullary => Ok(()),
    }
}
