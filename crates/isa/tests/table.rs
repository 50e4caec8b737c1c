//! The table against itself: round trips, reserved encodings, no overlaps.

use proptest::prelude::*;
use rivix_isa::table::{COMPRESSED, ROWS};
use rivix_isa::{Execute, Insn, Op, Operands, decode, dispatch, encode};

/// What `decode(encode(op, operands))` must give back, or that it is refused.
fn check_round_trip(op: Op, operands: Operands) {
    let word = encode(op, operands);
    let Some(insn) = decode(word) else {
        let reserved_rm = op.format().has_rounding_mode() && matches!(operands.rm & 7, 5 | 6);
        assert!(
            reserved_rm,
            "{op:?} {operands:?} encodes to {word:#010x}, which does not decode"
        );
        return;
    };
    assert_eq!((insn.op, insn.len, insn.raw), (op, 4, word));
    assert_eq!(
        encode(op, Operands::from(&insn)),
        word,
        "{op:?} {operands:?} gives {insn:?}"
    );
}

/// CSR instructions take only the numbers we have, and no write to `time`.
fn legal_csr(op: Op, mut operands: Operands) -> Operands {
    use rivix_isa::Format::{Csr, CsrImm};
    if matches!(op.format(), Csr | CsrImm) {
        operands.imm = [1, 2, 3, 0xc01][operands.imm as usize & 3];
        if operands.imm == 0xc01 {
            operands.rs1 = 0;
            if matches!(op, Op::Csrrw | Op::Csrrwi) {
                operands.imm = 3;
            }
        }
    }
    operands
}

fn operands() -> impl Strategy<Value = Operands> {
    (0..32u8, 0..32u8, 0..32u8, 0..32u8, 0..8u8, any::<i32>()).prop_map(
        |(rd, rs1, rs2, rs3, rm, imm)| Operands {
            rd,
            rs1,
            rs2,
            rs3,
            rm,
            imm,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_row_round_trips(operands in operands()) {
        for &op in Op::ALL {
            check_round_trip(op, legal_csr(op, operands));
        }
    }

    /// Any word decodes or not, prints, and encodes to an equivalent word.
    #[test]
    fn no_word_panics(words in prop::collection::vec(any::<u32>(), 256)) {
        for word in words {
            check_any_word(word);
            check_any_word(word | 3);
        }
    }
}

fn check_any_word(word: u32) {
    let Some(insn) = decode(word) else { return };
    assert!(!insn.to_string().is_empty());
    assert!(!insn.at(u64::MAX - 2).to_string().is_empty());
    let again = decode(encode(insn.op, Operands::from(&insn)))
        .unwrap_or_else(|| panic!("{word:#010x} is {insn}, but its 32-bit form is refused"));
    assert_eq!(
        Insn {
            len: insn.len,
            raw: insn.raw,
            ..again
        },
        insn
    );
    let mut probe = Probe;
    assert_eq!(dispatch(insn, &mut probe), insn.op);
}

/// Every 16-bit encoding expands to a legal 32-bit instruction of the same
/// meaning, and every compressed row is met.
#[test]
fn all_compressed_encodings() {
    let mut met = vec![0; COMPRESSED.len()];
    for half in (0..=u16::MAX).filter(|half| half & 3 != 3) {
        check_any_word(u32::from(half));
        // What follows in memory has no say.
        assert_eq!(
            decode(u32::from(half)),
            decode(u32::from(half) | 0xabcd_0000)
        );
        if let Some(insn) = decode(u32::from(half)) {
            let text = insn.to_string();
            let name = text.split(' ').next().unwrap_or_default();
            let row = COMPRESSED.iter().position(|row| row.mnemonic == name);
            met[row.unwrap_or_else(|| panic!("{half:#06x} prints as {text}"))] += 1;
        }
    }
    for (row, count) in COMPRESSED.iter().zip(met) {
        assert!(count > 0, "{} is never decoded", row.mnemonic);
    }
}

#[test]
fn rows_do_not_overlap() {
    for (i, a) in ROWS.iter().enumerate() {
        assert_eq!(a.bits & !a.mask, 0, "{}: bits outside the mask", a.mnemonic);
        assert_eq!(a.bits & 3, 3, "{}: not a 32-bit encoding", a.mnemonic);
        for b in &ROWS[..i] {
            let told_apart = a.mask & b.mask & (a.bits ^ b.bits);
            assert_ne!(told_apart, 0, "{} and {} overlap", a.mnemonic, b.mnemonic);
            assert_ne!(a.mnemonic, b.mnemonic);
        }
    }
}

/// The op's name is the mnemonic without dots, so neither can be mistyped alone.
#[test]
fn names_agree() {
    for row in ROWS {
        let op = format!("{:?}", row.op).to_lowercase();
        assert_eq!(op, row.mnemonic.replace('.', ""));
    }
}

fn check_illegal(words: &[(u32, &str)]) {
    for (word, why) in words {
        assert_eq!(decode(*word), None, "{word:#010x}: {why}");
    }
}

#[test]
fn reserved_encodings_are_illegal() {
    check_illegal(&[
        (0x0000_0000, "all zeros"),
        (0xffff_ffff, "all ones"),
        (0x0000_001f, "a 48-bit encoding"),
        (0x0000_003f, "a 64-bit encoding"),
        (0x0000_0004, "c.addi4spn with immediate 0"),
        (0x0000_8000, "quadrant 0, funct3 100"),
        (0x0000_2001, "c.addiw to x0"),
        (0x0000_6101, "c.addi16sp with immediate 0"),
        (0x0000_6081, "c.lui with immediate 0 (Zcmop)"),
        (0x0000_6001, "c.lui to x0 with immediate 0"),
        (0x0000_9c41, "quadrant 1, reserved arithmetic"),
        (0x0000_9c61, "quadrant 1, reserved arithmetic"),
        (0x0000_4002, "c.lwsp to x0"),
        (0x0000_6002, "c.ldsp to x0"),
        (0x0000_8002, "c.jr x0"),
        (0x0205_d01b | 0x1000, "srliw with shift amount 32"),
        (0x0400_1013 | 0x0800_0000, "slli with bit 27 set"),
        (0x0200_101b, "slliw with shift amount 32"),
        (0x0000_5053, "fadd.s with rounding mode 5"),
        (0x0000_6053, "fadd.s with rounding mode 6"),
        (0x0400_0053, "fadd.h is not of F or D"),
        (0x0600_0053, "fadd.q is not of F or D"),
        (0x1010_202f, "lr.w with rs2"),
        (0x1000_102f, "lr of 16 bits"),
        (0x1000_402f, "lr.q"),
        (0x0000_4063 & !0x4000 | 0x2000, "branch, funct3 010"),
        (0x0000_7003, "load, funct3 111"),
        (0x0000_4023, "store, funct3 100"),
        (0x0000_2067, "jalr, funct3 010"),
        (0x0000_200f, "cbo.* is not of RV64GC"),
        (0x0020_0073, "uret"),
        (0x1020_0073, "sret"),
        (0x3020_0073, "mret"),
        (0x1050_0073, "wfi"),
        (0x1200_0073, "sfence.vma"),
        (0x0000_00f3, "ecall with rd"),
        (0xc000_2573, "rdcycle: kernel.perf_user_access"),
        (0xc020_2573, "rdinstret: kernel.perf_user_access"),
        (0x3000_2573, "a machine-mode CSR"),
        (0xc010_1073, "csrrw to a read-only CSR"),
        (0xc010_5073, "csrrwi to a read-only CSR, even of 0"),
        (0xc010_a573, "csrrs with a source to a read-only CSR"),
        (0xc010_e573, "csrrsi with a value to a read-only CSR"),
        (0x2000_2053 | 0x1000, "fsgnj.s, funct3 011"),
        (0xe000_2053, "fclass group, funct3 010"),
    ]);
}

#[test]
fn hints_are_legal() {
    for (word, text) in [
        (0x0000_0001, "c.addi zero,0"),
        (0x0000_0005, "c.addi zero,1"),
        (0x0000_4005, "c.li zero,1"),
        (0x0000_6005, "c.lui zero,0x1"),
        (0x0000_8006, "c.mv zero,ra"),
        (0x0000_9006, "c.add zero,ra"),
        (0x0000_0006, "c.slli zero,0x1"),
        (0x0000_1002, "c.slli zero,0x20"),
        (0x0000_8001, "c.srli s0,0x0"),
        (0x0100_000f, "fence w,unknown"),
        (0x8330_000f, "fence.tso"),
        (0xfff0_000f, "fence iorw,iorw"),
        (0x0010_0013, "addi zero,zero,1"),
        (0xc010_2573, "csrrs a0,time,zero"),
    ] {
        let insn = decode(word).unwrap_or_else(|| panic!("{text} is refused"));
        assert_eq!(insn.to_string(), text);
    }
}

#[test]
fn pc_relative_text() {
    let insn = decode(encode(
        Op::Jal,
        Operands {
            rd: 1,
            imm: -16,
            ..Operands::default()
        },
    ));
    let insn = insn.expect("a jump");
    assert_eq!(insn.to_string(), "jal ra,.-16");
    assert_eq!(insn.at(0x1000).to_string(), "jal ra,ff0");
}

macro_rules! probe {
    (
        base { $( $extension:ident { $( $method:ident $op:ident $format:ident $mask:literal $bits:literal; )* } )* }
        compressed $compressed:tt
    ) => {
        impl Execute for Probe {
            type Output = Op;
            $( $( fn $method(&mut self, insn: Insn) -> Op {
                assert_eq!(insn.op, Op::$op);
                Op::$op
            } )* )*
        }
    };
}

/// An engine that says which method was called.
struct Probe;
rivix_isa::for_each_insn!(probe);
