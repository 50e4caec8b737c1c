//! The integer instructions as the manual words them, for trust in the harness.

use rivix_isa::{Insn, Op};

/// rd of an integer computation; `None` for all else.
pub(crate) fn integer(insn: &Insn, a: u64, b: u64) -> Option<u64> {
    let imm = i64::from(insn.imm) as u64;
    let shift = insn.imm as u32;
    let (ai, bi) = (a as i64, b as i64);
    let (aw, bw) = (a as i32, b as i32);
    let word = |value: i32| i64::from(value) as u64;
    let flag = u64::from;
    Some(match insn.op {
        Op::Lui => imm,
        Op::Addi => a.wrapping_add(imm),
        Op::Slti => flag(ai < imm as i64),
        Op::Sltiu => flag(a < imm),
        Op::Xori => a ^ imm,
        Op::Ori => a | imm,
        Op::Andi => a & imm,
        Op::Slli => a << shift,
        Op::Srli => a >> shift,
        Op::Srai => (ai >> shift) as u64,
        Op::Add => a.wrapping_add(b),
        Op::Sub => a.wrapping_sub(b),
        Op::Sll => a << (b & 63),
        Op::Slt => flag(ai < bi),
        Op::Sltu => flag(a < b),
        Op::Xor => a ^ b,
        Op::Srl => a >> (b & 63),
        Op::Sra => (ai >> (b & 63)) as u64,
        Op::Or => a | b,
        Op::And => a & b,
        Op::Addiw => word(aw.wrapping_add(insn.imm)),
        Op::Slliw => word(aw << shift),
        Op::Srliw => word((aw as u32 >> shift) as i32),
        Op::Sraiw => word(aw >> shift),
        Op::Addw => word(aw.wrapping_add(bw)),
        Op::Subw => word(aw.wrapping_sub(bw)),
        Op::Sllw => word(aw << (b & 31)),
        Op::Srlw => word((aw as u32 >> (b & 31)) as i32),
        Op::Sraw => word(aw >> (b & 31)),
        Op::Mul => a.wrapping_mul(b),
        Op::Mulh => ((i128::from(ai) * i128::from(bi)) >> 64) as u64,
        Op::Mulhsu => (i128::from(ai).wrapping_mul(i128::from(b)) >> 64) as u64,
        Op::Mulhu => ((u128::from(a) * u128::from(b)) >> 64) as u64,
        Op::Div if b == 0 => u64::MAX,
        Op::Div => ai.wrapping_div(bi) as u64,
        Op::Divu => a.checked_div(b).unwrap_or(u64::MAX),
        Op::Rem if b == 0 => a,
        Op::Rem => ai.wrapping_rem(bi) as u64,
        Op::Remu => a.checked_rem(b).unwrap_or(a),
        Op::Mulw => word(aw.wrapping_mul(bw)),
        Op::Divw if bw == 0 => u64::MAX,
        Op::Divw => word(aw.wrapping_div(bw)),
        Op::Divuw => word((aw as u32).checked_div(bw as u32).unwrap_or(u32::MAX) as i32),
        Op::Remw if bw == 0 => word(aw),
        Op::Remw => word(aw.wrapping_rem(bw)),
        Op::Remuw => word((aw as u32).checked_rem(bw as u32).unwrap_or(aw as u32) as i32),
        _ => return None,
    })
}
