//! A loop that runs one instruction on every vector and records what it did.

use crate::asm::{BSS, Code, DATA, Word, i, r, s};
use crate::vectors::{Kind, Vector};
use rivix_isa::{Format, Insn, Op, decode};

/// The memory that loads, stores and AMOs touch: across a page boundary.
pub(crate) const SCRATCH: u64 = BSS + 0xff8;
/// Where records go before they are written out.
pub(crate) const RECORDS: u64 = BSS + 0x2000;

/// One instruction to test, in one setting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Variant {
    pub(crate) word: Word,
    /// For memory: the access is at `SCRATCH + delta`.
    pub(crate) delta: u64,
    pub(crate) before_sc: BeforeSc,
}

/// What ran just before an SC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BeforeSc {
    Nothing,
    /// An LR of the same address.
    Reserve,
    /// An LR of another address.
    ReserveElsewhere,
    /// An LR of the same address and an SC to it.
    ReserveAndUse,
}

impl From<Word> for Variant {
    fn from(word: Word) -> Variant {
        Variant {
            word,
            delta: 0,
            before_sc: BeforeSc::Nothing,
        }
    }
}

/// How an operand register is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reg {
    None,
    X(u8),
    F(u8),
}

/// Registers of rd, rs1, rs2, rs3. A base address is not a source operand.
pub(crate) fn registers(insn: &Insn) -> [Reg; 4] {
    let Insn {
        rd, rs1, rs2, rs3, ..
    } = *insn;
    use Reg::{F, None, X};
    match insn.format() {
        Format::R => [X(rd), X(rs1), X(rs2), None],
        Format::Branch => [None, X(rs1), X(rs2), None],
        Format::I | Format::Shift64 | Format::Shift32 => [X(rd), X(rs1), None, None],
        Format::U | Format::J | Format::Jalr | Format::Load | Format::Lr => {
            [X(rd), None, None, None]
        }
        Format::Store => [None, None, X(rs2), None],
        Format::Amo => [X(rd), None, X(rs2), None],
        Format::Fence | Format::FenceI | Format::Nullary => [None; 4],
        Format::Csr => [X(rd), X(rs1), None, None],
        Format::CsrImm => [X(rd), None, None, None],
        Format::FLoad => [F(rd), None, None, None],
        Format::FStore => [None, None, F(rs2), None],
        Format::F4 => [F(rd), F(rs1), F(rs2), F(rs3)],
        Format::F3Rm | Format::F3 => [F(rd), F(rs1), F(rs2), None],
        Format::F2Rm => [F(rd), F(rs1), None, None],
        Format::FCompare => [X(rd), F(rs1), F(rs2), None],
        Format::FToX | Format::FToXRm => [X(rd), F(rs1), None, None],
        Format::XToF | Format::XToFRm => [F(rd), X(rs1), None, None],
    }
}

/// What kind of vectors the sources want, in the order rs1, rs2, rs3.
pub(crate) fn source_kinds(insn: &Insn) -> Vec<Kind> {
    let mnemonic = insn.op.mnemonic();
    let float = match mnemonic.as_bytes() {
        [.., b'.', b's' | b'w'] => Kind::Single,
        _ => Kind::Double,
    };
    if matches!(insn.format(), Format::Load | Format::FLoad | Format::Lr) {
        return vec![Kind::Int, Kind::Int];
    }
    let [_, sources @ ..] = registers(insn);
    let last = sources
        .iter()
        .rposition(|&reg| reg != Reg::None)
        .map_or(0, |at| at + 1);
    let kind = |reg: &Reg| {
        if matches!(reg, Reg::F(_)) {
            float
        } else {
            Kind::Int
        }
    };
    sources[..last].iter().map(kind).collect()
}

/// Bytes one vector's record takes.
pub(crate) fn record_words(insn: &Insn) -> u64 {
    match insn.format() {
        Format::Store | Format::FStore | Format::Amo | Format::Lr => 4,
        _ => 2,
    }
}

/// Names of the words of a record.
pub(crate) fn record_names(insn: &Insn) -> &'static [&'static str] {
    match insn.format() {
        Format::Store | Format::FStore => &["rs2", "memory[0]", "memory[1]", "memory[2]"],
        Format::Amo | Format::Lr => &["rd", "memory[0]", "memory[1]", "memory[2]"],
        Format::Branch => &["rs1", "path"],
        Format::J | Format::Jalr => &["rd", "path"],
        _ => &["rd", "fcsr"],
    }
}

/// Registers of the loop itself, none of them an operand.
struct Own {
    vector: u8,
    record: u8,
    end: u8,
    temp: u8,
    path: u8,
}

fn own_registers(insn: &Insn) -> Own {
    let mut free = (1..32)
        .rev()
        .filter(|x| ![insn.rd, insn.rs1, insn.rs2].contains(x));
    let mut next = || free.next().expect("31 registers and 3 operands");
    Own {
        vector: next(),
        record: next(),
        end: next(),
        temp: next(),
        path: next(),
    }
}

fn load(code: &mut Code, reg: Reg, base: u8, offset: i32) {
    match reg {
        Reg::X(0) | Reg::None => {}
        Reg::X(x) => code.op(Op::Ld, i(x, base, offset)),
        Reg::F(f) => code.op(Op::Fld, i(f, base, offset)),
    }
}

fn store(code: &mut Code, reg: Reg, base: u8, offset: i32) {
    match reg {
        Reg::None => code.op(Op::Sd, s(0, base, offset)),
        Reg::X(x) => code.op(Op::Sd, s(x, base, offset)),
        Reg::F(f) => code.op(Op::Fsd, s(f, base, offset)),
    }
}

/// Appends the loop for `variant` over the first `count` vectors at
/// [`DATA`], and the call that writes its records out.
pub(crate) fn emit(code: &mut Code, variant: &Variant, count: u64) {
    let insn = decode(variant.word.bits).expect("a legal instruction");
    let own = own_registers(&insn);
    let [rd, rs1, rs2, rs3] = registers(&insn);
    let words = record_words(&insn);

    code.li(own.vector, DATA);
    code.li(own.end, DATA + count * Vector::BYTES);
    code.li(own.record, RECORDS);
    let top = code.here();
    code.op(Op::Ld, i(own.temp, own.vector, 24));
    code.op(Op::Csrrw, i(0, own.temp, 3));
    load(code, rd, own.vector, 32);

    match insn.format() {
        Format::Branch | Format::J | Format::Jalr => {
            load(code, rs1, own.vector, 0);
            load(code, rs2, own.vector, 8);
            transfer(code, variant.word, &insn, own.path);
            store(code, if rd == Reg::None { rs1 } else { rd }, own.record, 0);
            code.op(Op::Sd, s(own.path, own.record, 8));
        }
        Format::Load | Format::FLoad | Format::Lr => {
            fill(code, &own);
            base(code, variant, &insn);
            code.word(variant.word);
            store(code, rd, own.record, 0);
            if insn.format() == Format::Lr {
                read_back(code, &own);
            } else {
                code.op(Op::Csrrs, i(own.temp, 0, 3));
                code.op(Op::Sd, s(own.temp, own.record, 8));
            }
        }
        Format::Store | Format::FStore | Format::Amo => {
            fill(code, &own);
            load(code, rs2, own.vector, 16);
            base(code, variant, &insn);
            before_sc(code, variant, &insn, &own);
            code.word(variant.word);
            store(code, if rd == Reg::None { rs2 } else { rd }, own.record, 0);
            read_back(code, &own);
        }
        _ => {
            load(code, rs1, own.vector, 0);
            load(code, rs2, own.vector, 8);
            load(code, rs3, own.vector, 16);
            code.word(variant.word);
            code.op(Op::Csrrs, i(own.temp, 0, 3));
            store(code, rd, own.record, 0);
            code.op(Op::Sd, s(own.temp, own.record, 8));
        }
    }

    code.op(Op::Addi, i(own.vector, own.vector, Vector::BYTES as i32));
    code.op(Op::Addi, i(own.record, own.record, words as i32 * 8));
    code.op(Op::Bgeu, s(own.end, own.vector, 8));
    code.jump(top);
    code.write_out(RECORDS, count * words * 8);
}

/// Scratch memory from the vector: its first two operands, and poison.
fn fill(code: &mut Code, own: &Own) {
    code.li(own.path, SCRATCH);
    for (from, to) in [(0, 0), (8, 8), (32, 16)] {
        code.op(Op::Ld, i(own.temp, own.vector, from));
        code.op(Op::Sd, s(own.temp, own.path, to));
    }
}

fn read_back(code: &mut Code, own: &Own) {
    code.li(own.path, SCRATCH);
    for offset in [0, 8, 16] {
        code.op(Op::Ld, i(own.temp, own.path, offset));
        code.op(Op::Sd, s(own.temp, own.record, 8 + offset));
    }
}

/// Points rs1 so that the access is at `SCRATCH + delta`.
fn base(code: &mut Code, variant: &Variant, insn: &Insn) {
    let offset = if matches!(insn.format(), Format::Amo | Format::Lr) {
        0
    } else {
        insn.imm
    };
    code.li(
        insn.rs1,
        (SCRATCH + variant.delta).wrapping_add_signed(-i64::from(offset)),
    );
}

fn before_sc(code: &mut Code, variant: &Variant, insn: &Insn, own: &Own) {
    let (lr, sc) = match insn.op {
        Op::ScW => (Op::LrW, Op::ScW),
        Op::ScD => (Op::LrD, Op::ScD),
        _ => return,
    };
    match variant.before_sc {
        BeforeSc::Nothing => {}
        BeforeSc::Reserve => code.op(lr, r(own.temp, insn.rs1, 0)),
        BeforeSc::ReserveElsewhere => {
            code.li(own.path, SCRATCH + 64);
            code.op(lr, r(own.temp, own.path, 0));
        }
        BeforeSc::ReserveAndUse => {
            code.op(lr, r(own.temp, insn.rs1, 0));
            code.op(sc, r(own.temp, insn.rs1, 0));
        }
    }
}

/// How far a jalr's target is from it.
const JALR_DISTANCE: i32 = 64;

/// A branch or jump, with code at its target and after it that leaves 2 or 1
/// in `path`.
fn transfer(code: &mut Code, word: Word, insn: &Insn, path: u8) {
    let distance = match insn.format() {
        // An odd immediate with an even base: bit 0 of the sum is dropped.
        Format::Jalr if insn.imm & 2 == 0 => JALR_DISTANCE,
        Format::Jalr => -JALR_DISTANCE,
        _ => insn.imm,
    };
    assert!(
        distance >= 16 || distance <= -12,
        "the target overlaps the jump"
    );
    let span = u64::from(distance.unsigned_abs());
    code.op(Op::Addi, i(path, 0, 0));
    let to_insn = if insn.format() == Format::Jalr { 8 } else { 0 } + 4;
    let (at, target) = if distance > 0 {
        (code.here() + to_insn, code.here() + to_insn + span)
    } else {
        (code.here() + to_insn + span, code.here() + to_insn)
    };
    if insn.format() == Format::Jalr {
        code.li(insn.rs1, target.wrapping_add_signed(-i64::from(insn.imm)));
    }
    let entry = code.later_jump();
    assert_eq!(code.here(), at.min(target));
    let mut leave = Vec::new();
    let mut island = |code: &mut Code, first: Option<Word>, value: i32| {
        if let Some(word) = first {
            code.word(word);
        }
        code.op(Op::Addi, i(path, path, value));
        leave.push(code.later_jump());
    };
    if distance > 0 {
        island(code, Some(word), 1);
        code.skip(target - code.here());
        island(code, None, 2);
    } else {
        island(code, None, 2);
        code.skip(at - code.here());
        island(code, Some(word), 1);
    }
    code.patch_jump(entry, at);
    let after = code.here();
    for jump in leave {
        code.patch_jump(jump, after);
    }
}
