//! Every row of the table, compressed ones too, on edge and random operands.

use crate::asm::{Code, Image, Word};
use crate::block::{self, BeforeSc, Reg, Variant};
use crate::reference;
use crate::subject::{self, End, Outcome};
use crate::vectors::{Rng, Vector, vectors};
use rivix_isa::table::{COMPRESSED, CompressedRow};
use rivix_isa::{Format, Op, Operands, decode};

/// Registers with every role and number: distinct, equal, x0, high.
const REGISTERS: &[[u8; 4]] = &[
    [10, 11, 12, 13],
    [11, 11, 12, 12],
    [12, 11, 12, 11],
    [10, 11, 11, 11],
    [9, 9, 9, 9],
    [0, 5, 6, 7],
    [1, 0, 31, 30],
    [31, 30, 0, 29],
    [2, 28, 3, 0],
    [20, 4, 26, 18],
];

const IMMEDIATES: &[i32] = &[0, 1, -1, 2, 7, 255, -256, 1365, 2047, -2048];

/// Deltas and offsets that keep an access inside the three scratch words.
const OFFSETS: &[i32] = &[0, 1, -1, 8, 2047, -2048, 1000, -77];

fn operands(registers: [u8; 4], rm: u8, imm: i32) -> Operands {
    let [rd, rs1, rs2, rs3] = registers;
    Operands {
        rd,
        rs1,
        rs2,
        rs3,
        rm,
        imm,
    }
}

/// Encodings of `op` that between them show every field of its format.
fn variants(op: Op, rng: &mut Rng) -> Vec<Variant> {
    let mut all: Vec<Variant> = Vec::new();
    let mut add = |registers, rm, imm| all.push(Word::new(op, operands(registers, rm, imm)).into());
    match op.format() {
        Format::R | Format::F3 | Format::FCompare | Format::FToX | Format::XToF => {
            REGISTERS.iter().for_each(|&registers| add(registers, 0, 0));
        }
        Format::F4 | Format::F3Rm | Format::F2Rm | Format::FToXRm | Format::XToFRm => {
            [7, 0, 1, 2, 3, 4]
                .iter()
                .for_each(|&rm| add(REGISTERS[0], rm, 0));
            REGISTERS[1..]
                .iter()
                .for_each(|&registers| add(registers, 7, 0));
        }
        Format::I | Format::U => {
            REGISTERS
                .iter()
                .for_each(|&registers| add(registers, 0, rng.next() as i32));
            IMMEDIATES.iter().for_each(|&imm| add(REGISTERS[0], 0, imm));
            IMMEDIATES
                .iter()
                .for_each(|&imm| add(REGISTERS[1], 0, imm << 20));
        }
        Format::Shift64 => {
            REGISTERS.iter().for_each(|&registers| add(registers, 0, 5));
            (0..64).for_each(|shift| add(REGISTERS[0], 0, shift));
        }
        Format::Shift32 => {
            REGISTERS.iter().for_each(|&registers| add(registers, 0, 5));
            (0..32).for_each(|shift| add(REGISTERS[0], 0, shift));
        }
        Format::Csr | Format::CsrImm => {
            // csrrw frm leaves a mode that later instructions might refuse,
            // but each pass sets fcsr anew.
            for csr in [1, 2, 3] {
                REGISTERS
                    .iter()
                    .for_each(|&registers| add(registers, 0, csr));
            }
        }
        Format::Fence => [0x0ff, 0x033, 0x833, 0x010, 0]
            .iter()
            .for_each(|&imm| add([0; 4], 0, imm)),
        Format::FenceI => [0, 1].iter().for_each(|&imm| add([0; 4], 0, imm)),
        // Tested where signals are.
        Format::Nullary => {}
        Format::Branch => {
            for offset in [16, -12, 20, -30, 2046, -2048, 4094, -4096] {
                add(REGISTERS[0], 0, offset);
            }
            REGISTERS
                .iter()
                .for_each(|&registers| add(registers, 0, 32));
        }
        Format::J => {
            for offset in [16, -12, 2050, -2050, 0x1f002, -0x20004, 0xff000, -0xff000] {
                add(REGISTERS[0], 0, offset);
            }
            add(REGISTERS[5], 0, 64);
            add(REGISTERS[6], 0, -64);
        }
        Format::Jalr => {
            for imm in [0, 1, 2, 3, -1, -2, 2047, -2048, 1026] {
                add(REGISTERS[0], 0, imm);
                add(REGISTERS[1], 0, imm);
            }
            add(REGISTERS[5], 0, 12);
            add(REGISTERS[9], 0, -12);
        }
        Format::Load | Format::FLoad | Format::Store | Format::FStore => {
            for (n, &offset) in OFFSETS.iter().enumerate() {
                let registers = REGISTERS[n % 6];
                for delta in 0..9 {
                    let word = Word::new(op, operands(registers, 0, offset));
                    all.push(Variant {
                        delta,
                        ..word.into()
                    });
                }
            }
        }
        Format::Amo | Format::Lr => {
            let deltas: &[u64] = if op.mnemonic().ends_with(".d") {
                &[0, 8]
            } else {
                &[0, 4, 8]
            };
            let settings = match op {
                Op::ScW | Op::ScD => &[
                    BeforeSc::Nothing,
                    BeforeSc::Reserve,
                    BeforeSc::ReserveElsewhere,
                    BeforeSc::ReserveAndUse,
                ][..],
                _ => &[BeforeSc::Nothing],
            };
            for &delta in deltas {
                for &before_sc in settings {
                    for (n, &registers) in REGISTERS.iter().enumerate() {
                        if registers[1] == 0 {
                            continue;
                        }
                        let word = Word::new(op, operands(registers, 0, n as i32 & 3));
                        all.push(Variant {
                            word,
                            delta,
                            before_sc,
                        });
                    }
                }
            }
        }
    }
    // A base register cannot be x0: nothing is mapped near address 0.
    all
}

/// Encodings of a compressed row: the first, the last, and some between.
fn compressed_variants(row: &CompressedRow, rng: &mut Rng) -> Vec<Variant> {
    let halves: Vec<u16> = (0..=u16::MAX)
        .filter(|half| half & 3 != 3)
        .filter(|&half| {
            decode(u32::from(half)).is_some_and(|insn| {
                let name = insn.to_string();
                name.split(' ').next() == Some(row.mnemonic) && fits(&insn)
            })
        })
        .collect();
    let mut chosen: Vec<u16> = halves
        .first()
        .into_iter()
        .chain(halves.last())
        .copied()
        .collect();
    for _ in 0..30 {
        if !halves.is_empty() {
            chosen.push(rng.pick(&halves));
        }
    }
    let variant = |half| Variant {
        delta: rng.below(9),
        ..Word::compressed(half).into()
    };
    chosen.into_iter().map(variant).collect()
}

/// Whether the test loop can run it: targets do not overlap the jump.
fn fits(insn: &rivix_isa::Insn) -> bool {
    match insn.format() {
        Format::Branch | Format::J => insn.imm >= 16 || insn.imm <= -12,
        Format::Nullary => false,
        _ => true,
    }
}

/// One image: what is tested, and the vectors each variant runs on.
struct Case {
    name: String,
    variants: Vec<Variant>,
    vectors: Vec<Vector>,
}

impl Case {
    fn new(name: &str, variants: Vec<Variant>, rng: &mut Rng) -> Option<Case> {
        let insn = decode(variants.first()?.word.bits).expect("a legal instruction");
        let random = match insn.format() {
            Format::F4 => 8000,
            Format::F3Rm | Format::F2Rm | Format::FToXRm | Format::XToFRm => 5000,
            Format::R | Format::F3 | Format::FCompare => 600,
            Format::Branch => 100,
            Format::U | Format::J | Format::Jalr => 2,
            _ => 60,
        };
        let kinds = match insn.format() {
            Format::U | Format::J | Format::Jalr => vec![],
            _ => block::source_kinds(&insn),
        };
        let mut vectors = vectors(&kinds, random, rng);
        if matches!(insn.format(), Format::Store | Format::FStore | Format::Amo) {
            // The third operand is the value, the first two are memory.
            for vector in &mut vectors {
                let [a, b, _] = vector.operands;
                vector.operands = [a, b.rotate_left(32), b];
            }
            vectors.truncate(300);
        }
        if matches!(insn.format(), Format::Load | Format::FLoad | Format::Lr) {
            vectors.truncate(300);
        }
        Some(Case {
            name: name.to_owned(),
            variants,
            vectors,
        })
    }

    fn image(&self) -> Image {
        let mut code = Code::default();
        for variant in &self.variants {
            block::emit(&mut code, variant, self.vectors.len() as u64);
        }
        code.exit(0);
        Image {
            text: code.bytes,
            data: self.vectors.iter().flat_map(Vector::bytes).collect(),
            bss: 0x2000 + self.vectors.len() as u64 * 32,
        }
    }

    /// The records' words with the variant and vector they belong to.
    fn words<'a>(
        &'a self,
        outcome: &'a Outcome,
    ) -> impl Iterator<Item = (&'a Variant, &'a Vector, usize, u64)> {
        let places = self.variants.iter().flat_map(|variant| {
            let insn = decode(variant.word.bits).expect("a legal instruction");
            let words = block::record_words(&insn) as usize;
            self.vectors
                .iter()
                .flat_map(move |vector| (0..words).map(move |word| (variant, vector, word)))
        });
        let values = outcome.stdout.chunks_exact(8);
        places.zip(values).map(|((variant, vector, word), bytes)| {
            (
                variant,
                vector,
                word,
                u64::from_le_bytes(bytes.try_into().expect("8 bytes")),
            )
        })
    }

    fn expected_bytes(&self) -> usize {
        let per_vector: u64 = self
            .variants
            .iter()
            .map(|v| block::record_words(&decode(v.word.bits).expect("a legal instruction")) * 8)
            .sum();
        per_vector as usize * self.vectors.len()
    }

    fn describe(variant: &Variant, vector: &Vector, word: usize) -> String {
        let insn = decode(variant.word.bits).expect("a legal instruction");
        let [a, b, c] = vector.operands;
        let mut text = format!("{}: rs1 {a:#x} rs2 {b:#x} rs3 {c:#x}", variant.word.text());
        if insn.format().has_rounding_mode()
            || matches!(insn.format(), Format::Csr | Format::CsrImm)
        {
            text += &format!(" fcsr {:#x}", vector.fcsr);
        }
        if block::record_words(&insn) == 4 || matches!(insn.format(), Format::Load | Format::FLoad)
        {
            text += &format!(" delta {} {:?}", variant.delta, variant.before_sc);
        }
        format!("{text}: {}", block::record_names(&insn)[word])
    }
}

fn cases() -> Vec<Case> {
    let mut rng = Rng(0x15a);
    let mut cases = Vec::new();
    for &op in Op::ALL {
        cases.extend(Case::new(op.mnemonic(), variants(op, &mut rng), &mut rng));
    }
    for row in COMPRESSED {
        cases.extend(Case::new(
            row.mnemonic,
            compressed_variants(row, &mut rng),
            &mut rng,
        ));
    }
    cases
}

/// At most this many differences are printed for each instruction.
const SHOWN: usize = 4;

fn compare(case: &Case, theirs: &Outcome, ours: &Outcome) -> Vec<String> {
    let mut wrong = Vec::new();
    if ours.end != theirs.end || ours.stdout.len() != theirs.stdout.len() {
        let done = case.words(ours).last().map(|(v, ..)| v.word.text());
        wrong.push(format!(
            "{}: {:?} after {} bytes (in {}), the reference {:?} after {}",
            case.name,
            ours.end,
            ours.stdout.len(),
            done.unwrap_or_default(),
            theirs.end,
            theirs.stdout.len()
        ));
    }
    let mut count = 0;
    for ((variant, vector, word, mine), (.., yours)) in case.words(ours).zip(case.words(theirs)) {
        if mine != yours {
            count += 1;
            if count <= SHOWN {
                let place = Case::describe(variant, vector, word);
                wrong.push(format!(
                    "{place} is {mine:#x}, the reference has {yours:#x}"
                ));
            }
        }
    }
    if count > SHOWN {
        wrong.push(format!("{}: {} more", case.name, count - SHOWN));
    }
    wrong
}

fn assert_none(wrong: Vec<String>, tried: &str) {
    let shown = &wrong[..wrong.len().min(100)];
    assert!(
        wrong.is_empty(),
        "{} lines, after {tried}:\n{}",
        wrong.len(),
        shown.join("\n")
    );
    eprintln!("agreed on {tried}");
}

#[test]
fn every_row_agrees_with_qemu() {
    let Some((qemu, subjects)) = subject::all() else {
        return;
    };
    let cases = cases();
    let wrong = subject::in_parallel(&cases, |case| {
        let image = case.image();
        let expected = qemu.run(&image);
        let wrong = subjects.iter().map(|subject| {
            let name = subject.name();
            let lines = compare(case, &expected, &subject.run(&image));
            lines.into_iter().map(move |line| format!("{name}: {line}"))
        });
        wrong.flatten().collect::<Vec<_>>()
    });
    let runs: usize = cases
        .iter()
        .map(|case| case.variants.len() * case.vectors.len())
        .sum();
    let tried = format!("{} instructions, {runs} executions", cases.len());
    assert_none(wrong.into_iter().flatten().collect(), &tried);
}

/// The harness itself: qemu against the manual's own words on integers.
#[test]
fn harness_agrees_with_the_manual() {
    let Some(qemu) = subject::reference() else {
        return;
    };
    let cases = cases();
    let wrong = subject::in_parallel(&cases, |case| {
        let outcome = qemu.run(&case.image());
        let mut wrong = Vec::new();
        if outcome.end != End::Exit(0) || outcome.stdout.len() != case.expected_bytes() {
            let bytes = outcome.stdout.len();
            wrong.push(format!(
                "{}: {:?} after {bytes} bytes",
                case.name, outcome.end
            ));
        }
        let mut checked = 0;
        for (variant, vector, word, value) in case.words(&outcome) {
            let insn = decode(variant.word.bits).expect("a legal instruction");
            let [rd, rs1, rs2, _] = block::registers(&insn);
            if word != 0 || wrong.len() > SHOWN {
                continue;
            }
            // The last load of a register wins.
            let [a, b, _] = vector.operands;
            let value_of = |reg| match reg {
                Reg::X(0) => 0,
                reg if reg == rs2 => b,
                _ => a,
            };
            let Some(expected) = reference::integer(&insn, value_of(rs1), value_of(rs2)) else {
                continue;
            };
            let expected = if rd == Reg::X(0) { 0 } else { expected };
            checked += 1;
            if value != expected {
                let place = Case::describe(variant, vector, word);
                wrong.push(format!(
                    "{place} is {value:#x}, the manual says {expected:#x}"
                ));
            }
        }
        (wrong, checked)
    });
    let checked: usize = wrong.iter().map(|(_, checked)| checked).sum();
    let tried = format!("{} instructions, {checked} results", cases.len());
    assert_none(
        wrong.into_iter().flat_map(|(wrong, _)| wrong).collect(),
        &tried,
    );
    assert!(checked > 50_000);
}
