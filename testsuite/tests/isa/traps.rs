//! Instructions that end in a signal: what a handler is told, and that it can
//! step over them.

use crate::asm::{BSS, Code, Image, TEXT, Word, i, r, s};
use crate::engine;
use crate::subject::{self, End};
use crate::vectors::Rng;
use rivix_engine as rv;
use rivix_isa::table::ROWS;
use rivix_isa::{Op, Operands, decode};

const RT_SIGACTION: i32 = 134;
const SA_SIGINFO: i32 = 4;
const SIGILL: u64 = 4;
const SIGTRAP: u64 = 5;
const SIGBUS: u64 = 7;
const SIGSEGV: u64 = 11;
/// An address with nothing mapped, and SIGSEGV's code for it; the text segment
/// cannot be written, which has another code.
const UNMAPPED: u64 = 0x3000_0000;
const SEGV_MAPERR: u64 = 1;
const SEGV_ACCERR: u64 = 2;
/// `si_code` of an illegal opcode, a breakpoint and a misaligned address alike.
const FIRST_CODE: u64 = 1;

/// Offsets into `siginfo_t` and `ucontext_t` (asm-generic/siginfo.h,
/// arch/riscv/include/uapi/asm/ucontext.h).
const SI_CODE: i32 = 8;
const SI_ADDR: i32 = 16;
const UC_PC: i32 = 176;

const ACTION: u64 = BSS;
const RECORDS: u64 = BSS + 0x100;
/// Signal, si_code, si_addr less pc, pc less the trapping instruction's.
const RECORD_BYTES: u64 = 32;

/// Kept by the program for its handler: where the record goes, the address of
/// the instruction, and its length.
const RECORD: u8 = 18;
const AT: u8 = 19;
const LEN: u8 = 20;
/// The address of a memory access.
const BASE: u8 = 10;
/// Readable, writable, misaligned.
const MISALIGNED: u64 = BSS + 1;

/// What to run, after setting frm.
#[derive(Clone, Copy)]
struct Trap {
    word: Word,
    frm: u8,
    expected: u64,
    /// What [`BASE`] holds.
    base: u64,
}

/// The program, and where in it each instruction is.
fn image(traps: &[Trap]) -> (Image, Vec<u64>) {
    let mut code = Code::default();
    let over_handler = code.later_jump();
    let handler = code.here();
    let (record, pc, value) = (5, 6, 7);
    code.op(Op::Ld, i(record, 12, UC_PC + i32::from(RECORD) * 8));
    code.op(Op::Ld, i(pc, 12, UC_PC));
    code.op(Op::Sd, s(10, record, 0));
    code.op(Op::Lw, i(value, 11, SI_CODE));
    code.op(Op::Sd, s(value, record, 8));
    code.op(Op::Ld, i(value, 11, SI_ADDR));
    code.op(Op::Sub, r(value, value, pc));
    code.op(Op::Sd, s(value, record, 16));
    code.op(Op::Ld, i(value, 12, UC_PC + i32::from(AT) * 8));
    code.op(Op::Sub, r(value, pc, value));
    code.op(Op::Sd, s(value, record, 24));
    code.op(Op::Ld, i(value, 12, UC_PC + i32::from(LEN) * 8));
    code.op(Op::Add, r(pc, pc, value));
    code.op(Op::Sd, s(pc, 12, UC_PC));
    code.op(Op::Jalr, i(0, 1, 0));
    let start = code.here();
    code.patch_jump(over_handler, start);

    code.li(11, ACTION);
    code.li(5, handler);
    code.op(Op::Sd, s(5, 11, 0));
    code.op(Op::Addi, i(5, 0, SA_SIGINFO));
    code.op(Op::Sd, s(5, 11, 8));
    for signal in [SIGILL, SIGTRAP, SIGBUS, SIGSEGV] {
        code.op(Op::Addi, i(10, 0, signal as i32));
        code.op(Op::Addi, i(12, 0, 0));
        code.op(Op::Addi, i(13, 0, 8));
        code.syscall(RT_SIGACTION);
    }
    let mut places = Vec::new();
    for (n, trap) in traps.iter().enumerate() {
        code.li(RECORD, RECORDS + n as u64 * RECORD_BYTES);
        code.op(Op::Csrrwi, i(0, trap.frm, 2));
        code.op(Op::Addi, i(LEN, 0, trap.word.len as i32));
        code.li(BASE, trap.base);
        let at = code.here() + 8;
        code.li(AT, at);
        assert_eq!(code.here(), at);
        places.push(at);
        code.word(trap.word);
    }
    let bytes = traps.len() as u64 * RECORD_BYTES;
    code.write_out(RECORDS, bytes);
    code.exit(0);
    let image = Image {
        text: code.bytes,
        data: Vec::new(),
        bss: 0x100 + bytes,
    };
    (image, places)
}

fn illegal(bits: u32) -> Trap {
    let len = rivix_isa::length(bits as u16) as u64;
    Trap {
        word: Word { bits, len },
        frm: 0,
        expected: SIGILL,
        base: MISALIGNED,
    }
}

/// Encodings the manual reserves, and what user mode lacks.
fn reserved() -> Vec<Trap> {
    [
        0x0000,      // all zeros
        0xffff_ffff, // all ones
        0x0004,      // c.addi4spn with immediate 0
        0x8000,      // reserved in quadrant 0
        0x2001,      // c.addiw to x0
        0x6101,      // c.addi16sp with immediate 0
        0x4002,      // c.lwsp to x0
        0x6002,      // c.ldsp to x0
        0x8002,      // c.jr x0
        0x9c41,      // reserved arithmetic
        0x0205_d01b, // srliw by 32
        0x0000_5053, // fadd.s with rounding mode 5
        0x0000_6053, // fadd.s with rounding mode 6
        0x1010_202f, // lr.w with rs2
        0x0000_7003, // load, funct3 7
        0x3020_0073, // mret
        0x1020_0073, // sret
        0x1200_0073, // sfence.vma
        0x3000_2573, // csrrs mstatus
        0xc010_1073, // csrrw time
    ]
    .map(illegal)
    .to_vec()
}

/// A rounding mode that is not one, taken from frm.
fn reserved_frm() -> Vec<Trap> {
    let dynamic = Operands {
        rm: 7,
        ..r(1, 10, 1)
    };
    let has_mode = ROWS.iter().filter(|row| row.format.has_rounding_mode());
    let trap = |frm, op| Trap {
        word: Word::new(op, dynamic),
        frm,
        expected: SIGILL,
        base: MISALIGNED,
    };
    has_mode
        .flat_map(|row| [5, 6, 7].map(|frm| trap(frm, row.op)))
        .collect()
}

fn breakpoints() -> Vec<Trap> {
    [illegal(0x0010_0073), illegal(0x9002)]
        .map(|trap| Trap {
            expected: SIGTRAP,
            ..trap
        })
        .to_vec()
}

fn misaligned_atomics() -> Vec<Trap> {
    let atomics = Op::ALL.iter().filter(|op| op.mnemonic().starts_with("amo"));
    atomics
        .chain(&[Op::LrW, Op::LrD, Op::ScW, Op::ScD])
        .map(|&op| Trap {
            word: Word::new(op, r(5, BASE, 6)),
            frm: 0,
            expected: SIGBUS,
            base: MISALIGNED,
        })
        .collect()
}

/// Every access to memory but SC, which may fail without looking.
fn faults() -> Vec<Trap> {
    use rivix_isa::Format::{Amo, FLoad, FStore, Load, Lr, Store};
    let mut all = Vec::new();
    for &op in Op::ALL {
        let is_sc = matches!(op, Op::ScW | Op::ScD);
        if is_sc || !matches!(op.format(), Load | FLoad | Store | FStore | Amo | Lr) {
            continue;
        }
        let word = Word::new(op, r(5, BASE, 6));
        let trap = Trap {
            word,
            frm: 0,
            expected: SIGSEGV,
            base: UNMAPPED,
        };
        all.push(trap);
        if writes(&trap) {
            all.push(Trap { base: TEXT, ..trap });
        }
    }
    all
}

fn writes(trap: &Trap) -> bool {
    use rivix_isa::Format::{FLoad, Load, Lr};
    let insn = decode(trap.word.bits).expect("a legal instruction");
    !matches!(insn.format(), Load | FLoad | Lr)
}

/// Words near the table's rows that do not decode. No extension we lack is
/// among those, or it would show in objdump's test of the decoder.
fn near_misses(count: usize) -> Vec<Trap> {
    let mut rng = Rng(7);
    std::iter::repeat_with(|| {
        let row = rng.pick(ROWS);
        let word = row.bits | rng.next() as u32 & !row.mask;
        word ^ 1 << (rng.below(30) + 2)
    })
    .filter(|&word| decode(word).is_none())
    .take(count)
    .map(illegal)
    .collect()
}

fn check(subject: &subject::Subject, traps: &[Trap]) {
    let (image, places) = image(traps);
    let outcome = subject.run(&image);
    assert_eq!(outcome.end, End::Exit(0));
    let mut wrong = Vec::new();
    let words: Vec<u64> = outcome
        .stdout
        .chunks_exact(8)
        .map(|bytes| u64::from_le_bytes(bytes.try_into().expect("8 bytes")))
        .collect();
    assert_eq!(words.len(), traps.len() * 4);
    for ((trap, record), place) in traps.iter().zip(words.chunks_exact(4)).zip(places) {
        // si_addr is the instruction's address, except for a page's fault.
        let (code, address) = match (trap.expected, trap.base) {
            (SIGSEGV, UNMAPPED) => (SEGV_MAPERR, UNMAPPED.wrapping_sub(place)),
            (SIGSEGV, base) => (SEGV_ACCERR, base.wrapping_sub(place)),
            _ => (FIRST_CODE, 0),
        };
        if record != [trap.expected, code, address, 0] {
            let text = trap.word.text();
            wrong.push(format!(
                "{text} with frm {}: {record:x?}, not {}",
                trap.frm, trap.expected
            ));
        }
    }
    let shown = &wrong[..wrong.len().min(40)];
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        traps.len(),
        shown.join("\n")
    );
}

/// All of them; the last are what qemu-riscv64 does not trap.
fn every_trap() -> Vec<Trap> {
    let mut all = [
        reserved(),
        reserved_frm(),
        breakpoints(),
        misaligned_atomics(),
    ]
    .concat();
    all.extend(near_misses(3000));
    // rdcycle and rdinstret.
    all.extend([illegal(0xc000_2573), illegal(0xc020_2573)]);
    all
}

#[test]
fn traps_reach_a_handler() {
    if let Some(rivix) = subject::rivix() {
        check(&rivix, &every_trap());
    }
}

/// The engine's own answer: which trap, at which pc.
#[test]
fn traps_are_precise() {
    let traps = every_trap();
    let (image, places) = image(&traps);
    for counting in [false, true] {
        let (got, end) = engine::traps(&image, counting);
        assert_eq!(end, End::Exit(0));
        let expected = traps.iter().map(|trap| match trap.expected {
            SIGTRAP => rv::Trap::Ebreak,
            SIGBUS => rv::Trap::Misaligned { addr: trap.base },
            SIGSEGV => rv::Trap::MemoryFault {
                addr: trap.base,
                access: if writes(trap) {
                    rv::Access::Store
                } else {
                    rv::Access::Load
                },
                kind: rv::FaultKind::Segv,
            },
            _ => rv::Trap::IllegalInstruction(trap.word.bits),
        });
        for (n, expected) in expected.zip(places.iter().copied()).enumerate() {
            assert_eq!(got.get(n), Some(&expected), "{}", traps[n].word.text());
        }
        assert_eq!(got.len(), traps.len());
    }
}

#[test]
fn harness_traps_on_qemu() {
    let Some(qemu) = subject::reference() else {
        return;
    };
    check(&qemu, &reserved());
    check(&qemu, &reserved_frm());
    check(&qemu, &breakpoints());
    check(&qemu, &faults());
}

/// `time` counts, and never back.
#[test]
fn time_goes_forward() {
    let Some((qemu, subjects)) = subject::all() else {
        return;
    };
    let mut code = Code::default();
    code.li(8, 10_000);
    code.op(Op::Csrrs, i(5, 0, 0xc01));
    code.op(Op::Addi, i(9, 5, 0));
    let top = code.here();
    code.op(Op::Csrrs, i(6, 0, 0xc01));
    // Exit 1 when it went back.
    code.op(Op::Bgeu, s(5, 6, 16));
    code.exit(1);
    code.op(Op::Addi, i(5, 6, 0));
    code.op(Op::Addi, i(8, 8, -1));
    code.op(Op::Bne, s(0, 8, top.wrapping_sub(code.here()) as i32));
    // 2 when it stood still from first to last.
    code.op(Op::Bne, s(9, 5, 16));
    code.exit(2);
    code.exit(0);
    let image = Image {
        text: code.bytes,
        data: Vec::new(),
        bss: 8,
    };
    assert_eq!(qemu.run(&image).end, End::Exit(0));
    for subject in subjects {
        assert_eq!(subject.run(&image).end, End::Exit(0), "{}", subject.name());
    }
}
