//! Random instruction streams: straight lines and forward branches inside a
//! counted loop, with every op, pairs that engines fuse, and memory. Compared
//! on all registers and memory at the end; a difference is narrowed down to the
//! first instruction that makes one.

use crate::asm::{BSS, Code, DATA, Image, Word, c_branch, c_j, i, r, s};
use crate::subject::{self, End, Outcome, Subject};
use crate::vectors::{Kind, Rng, random};
use rivix_isa::{Format, Insn, Op, Operands, decode};

const IMAGES: u64 = 48;
const STREAMS: usize = 24;
const ITEMS: usize = 300;
/// Passes over a stream's code, so that linked and already decoded blocks run.
const PASSES: i32 = 3;

/// Memory of a stream, reached from the two base registers.
const MEMORY: u64 = BSS + 0xe00;
const MEMORY_BYTES: u64 = 0x1200;
/// Right after it: all registers at the end.
const DUMP: u64 = MEMORY + MEMORY_BYTES;
const DUMP_BYTES: u64 = 65 * 8;
const COUNTER: u64 = DUMP + DUMP_BYTES;

/// Base addresses, never written by a stream.
const BASES: [(u8, u64); 2] = [(2, MEMORY + 0x880), (8, MEMORY + 0x848)];
/// Overwritten by the stream's own plumbing.
const TEMPS: [u8; 2] = [30, 31];

fn is_free(rd: u8) -> bool {
    rd != 2 && rd != 8 && !TEMPS.contains(&rd)
}

/// One instruction, or one whose offset depends on the layout.
#[derive(Clone, Debug)]
enum Item {
    Plain(Word),
    /// No branch goes between these: an address, and the atomics on it.
    Group(Vec<Word>),
    /// A branch or jal; its target is `skip` items past the next one.
    Forward {
        word: Word,
        skip: usize,
    },
    /// The jalr, c.jr or c.jalr after an auipc into the same register (and,
    /// when compressed, an addi between).
    Indirect {
        rd: u8,
        base: u8,
        skip: usize,
    },
    IndirectCompressed {
        call: bool,
        base: u8,
        skip: usize,
    },
}

impl Item {
    fn bytes(&self) -> u64 {
        match self {
            Item::Plain(word) | Item::Forward { word, .. } => word.len,
            Item::Group(words) => words.iter().map(|word| word.len).sum(),
            Item::Indirect { .. } => 8,
            Item::IndirectCompressed { .. } => 10,
        }
    }

    fn skip(&self) -> usize {
        match self {
            Item::Plain(_) | Item::Group(_) => 0,
            Item::Forward { skip, .. }
            | Item::Indirect { skip, .. }
            | Item::IndirectCompressed { skip, .. } => *skip,
        }
    }

    fn text(&self) -> String {
        match self {
            Item::Plain(word) => word.text(),
            Item::Forward { word, skip } => format!("{} over {skip}", word.text()),
            Item::Group(words) => words.iter().map(Word::text).collect::<Vec<_>>().join("; "),
            other => format!("{other:?}"),
        }
    }
}

struct Stream {
    items: Vec<Item>,
    x: [u64; 32],
    f: [u64; 32],
    fcsr: u64,
}

/// Makes items, with a liking for the registers just written.
struct Generator<'a> {
    rng: &'a mut Rng,
    last_rd: u8,
    halves: &'a [u16],
}

impl Generator<'_> {
    fn stream(&mut self) -> Stream {
        let mut items = Vec::new();
        while items.len() < ITEMS {
            self.push(&mut items);
        }
        let x = std::array::from_fn(|_| random(Kind::Int, self.rng));
        let f = std::array::from_fn(|_| {
            let kind = self.rng.pick(&[Kind::Single, Kind::Double]);
            random(kind, self.rng)
        });
        let fcsr = self.rng.below(5) << 5 | self.rng.below(32);
        Stream { items, x, f, fcsr }
    }

    fn source(&mut self) -> u8 {
        if self.rng.one_in(3) {
            self.last_rd
        } else {
            self.rng.below(32) as u8
        }
    }

    fn target(&mut self) -> u8 {
        if self.rng.one_in(4) && is_free(self.last_rd) {
            return self.last_rd;
        }
        loop {
            let rd = self.rng.below(32) as u8;
            if is_free(rd) {
                return rd;
            }
        }
    }

    fn imm(&mut self) -> i32 {
        let bits = self.rng.next() as i32;
        bits >> self.rng.below(31)
    }

    fn skip(&mut self) -> usize {
        self.rng.below(6) as usize
    }

    fn base(&mut self) -> u8 {
        self.rng.pick(&BASES).0
    }

    fn push(&mut self, items: &mut Vec<Item>) {
        match self.rng.below(11) {
            // Fresh values: computed ones tend to 0 and NaN.
            10 => {
                let op = self.rng.pick(&[Op::Ld, Op::Lw, Op::Fld, Op::Flw]);
                self.push_op(op, items);
            }
            0..6 => {
                let op = self.rng.pick(Op::ALL);
                self.push_op(op, items);
            }
            6..8 => self.push_compressed(items),
            _ => self.push_pair(items),
        }
    }

    fn plain(&mut self, op: Op, operands: Operands, items: &mut Vec<Item>) {
        self.last_rd = operands.rd;
        items.push(Item::Plain(Word::new(op, operands)));
    }

    fn push_op(&mut self, op: Op, items: &mut Vec<Item>) {
        let rm = self.rng.pick(&[7, 7, 7, 0, 1, 2, 3, 4]);
        let any = Operands {
            rd: self.target(),
            rs1: self.source(),
            rs2: self.source(),
            rs3: self.source(),
            rm,
            imm: self.imm(),
        };
        // f2, f8, f30 and f31 are as good as others.
        let any_f = Operands {
            rd: self.rng.below(32) as u8,
            ..any
        };
        match op.format() {
            Format::R
            | Format::I
            | Format::Shift64
            | Format::Shift32
            | Format::U
            | Format::FCompare
            | Format::FToX
            | Format::FToXRm => self.plain(op, any, items),
            Format::F4
            | Format::F3Rm
            | Format::F3
            | Format::F2Rm
            | Format::XToF
            | Format::XToFRm => items.push(Item::Plain(Word::new(op, any_f))),
            Format::Load => {
                let operands = Operands {
                    rs1: self.base(),
                    ..any
                };
                self.plain(op, operands, items);
            }
            Format::FLoad => {
                let operands = Operands {
                    rs1: self.base(),
                    ..any_f
                };
                items.push(Item::Plain(Word::new(op, operands)));
            }
            Format::Store | Format::FStore => {
                let operands = Operands {
                    rs1: self.base(),
                    ..any
                };
                items.push(Item::Plain(Word::new(op, operands)));
            }
            Format::Branch => {
                items.push(Item::Forward {
                    word: Word::new(op, any),
                    skip: self.skip(),
                });
            }
            Format::J => {
                items.push(Item::Forward {
                    word: Word::new(op, any),
                    skip: self.skip(),
                });
            }
            Format::Jalr => {
                let base = self.target();
                if base == 0 {
                    return;
                }
                let rd = if self.rng.one_in(2) { base } else { any.rd };
                items.push(Item::Indirect {
                    rd,
                    base,
                    skip: self.skip(),
                });
            }
            Format::Amo | Format::Lr => self.push_atomic(op, any, items),
            Format::Csr | Format::CsrImm => self.push_csr(op, any, items),
            Format::Fence => self.plain(
                op,
                Operands {
                    imm: any.imm & 0xff,
                    ..r(0, 0, 0)
                },
                items,
            ),
            Format::FenceI if self.rng.one_in(8) => self.plain(op, r(0, 0, 0), items),
            Format::FenceI | Format::Nullary => {}
        }
    }

    fn push_atomic(&mut self, op: Op, any: Operands, items: &mut Vec<Item>) {
        let (size, lr) = if op.mnemonic().ends_with(".w") {
            (4, Op::LrW)
        } else {
            (8, Op::LrD)
        };
        let [address, _] = TEMPS;
        let offset = (self.rng.below(4096) as i32 - 2048) / size * size;
        let base = self.base();
        let mut words = vec![Word::new(Op::Addi, i(address, base, offset))];
        // Every SC follows an LR of its own size, often of its own address: an
        // SC after an LR of the other size may succeed or fail.
        if matches!(op, Op::ScW | Op::ScD) {
            let reserved = if self.rng.one_in(4) { base } else { address };
            words.push(Word::new(lr, r(self.target(), reserved, 0)));
        }
        words.push(Word::new(
            op,
            Operands {
                rs1: address,
                imm: any.imm & 3,
                ..any
            },
        ));
        self.last_rd = any.rd;
        items.push(Item::Group(words));
    }

    /// Writes only what keeps frm a legal mode.
    fn push_csr(&mut self, op: Op, any: Operands, items: &mut Vec<Item>) {
        let (csr, rs1) = match op {
            Op::Csrrwi => {
                let csr = self.rng.pick(&[1, 2, 3]);
                let limit = if csr == 2 { 5 } else { 32 };
                (csr, self.rng.below(limit) as u8)
            }
            Op::Csrrsi | Op::Csrrci => {
                let csr = self.rng.pick(&[1, 3]);
                (csr, any.rs1)
            }
            Op::Csrrw => (1, any.rs1),
            _ => {
                let csr = self.rng.pick(&[1, 2, 3]);
                (csr, if csr == 1 { any.rs1 } else { 0 })
            }
        };
        self.plain(
            op,
            Operands {
                rs1,
                imm: csr,
                ..any
            },
            items,
        );
    }

    fn push_compressed(&mut self, items: &mut Vec<Item>) {
        let half = self.rng.pick(self.halves);
        let insn = decode(u32::from(half)).expect("a legal instruction");
        let word = Word::compressed(half);
        match insn.format() {
            Format::Branch | Format::J => {
                items.push(Item::Forward {
                    word,
                    skip: self.skip(),
                });
            }
            Format::Jalr => {
                let base = TEMPS[0];
                let call = insn.rd != 0;
                items.push(Item::IndirectCompressed {
                    call,
                    base,
                    skip: self.skip(),
                });
            }
            _ => {
                if insn.format() != Format::FLoad {
                    self.last_rd = insn.rd;
                }
                items.push(Item::Plain(word));
            }
        }
    }

    /// What compilers emit together and engines fuse.
    fn push_pair(&mut self, items: &mut Vec<Item>) {
        let rd = self.target();
        let other = self.source();
        let imm = self.imm();
        let first = match self.rng.below(8) {
            0 => (Op::Lui, i(rd, 0, imm)),
            1 => (Op::Auipc, i(rd, 0, imm & 0x1f_f000)),
            2 => (Op::Slli, i(rd, other, imm)),
            3 => (
                self.rng.pick(&[Op::Slt, Op::Sltu]),
                r(rd, other, self.source()),
            ),
            4 => (
                self.rng.pick(&[Op::Slti, Op::Sltiu, Op::Andi]),
                i(rd, other, imm),
            ),
            5 => (Op::Addi, i(rd, other, imm)),
            6 => (
                self.rng.pick(&[Op::Ld, Op::Lw, Op::Lbu]),
                i(rd, self.base(), imm),
            ),
            _ => (Op::Sub, r(rd, other, self.source())),
        };
        self.plain(first.0, first.1, items);
        let then = if self.rng.one_in(4) {
            self.target()
        } else {
            rd
        };
        let imm = self.imm();
        let skip = self.skip();
        let branch = |op, operands| Item::Forward {
            word: Word::new(op, operands),
            skip,
        };
        match self.rng.below(8) {
            0 => self.plain(Op::Addi, i(then, rd, imm), items),
            1 => self.plain(Op::Addiw, i(then, rd, imm), items),
            2 => {
                let source = self.source();
                self.plain(Op::Add, r(then, rd, source), items);
            }
            3 => {
                let op = self.rng.pick(&[Op::Srli, Op::Srai, Op::Slli, Op::Srliw]);
                self.plain(op, i(then, rd, imm), items);
            }
            4 => items.push(branch(Op::Bne, s(0, rd, 0))),
            5 => items.push(branch(Op::Beq, s(0, rd, 0))),
            6 => {
                let op = self.rng.pick(&[Op::Blt, Op::Bgeu, Op::Bne]);
                items.push(branch(op, s(other, rd, 0)));
            }
            _ => {
                let base = self.base();
                items.push(Item::Plain(Word::new(Op::Sd, s(rd, base, imm))));
            }
        }
    }
}

/// The compressed encodings a stream can hold.
fn usable_halves() -> Vec<u16> {
    let usable = |insn: Insn| {
        let is_base = BASES.iter().any(|&(base, _)| base == insn.rs1);
        match insn.format() {
            Format::Nullary => false,
            Format::Load => is_base && is_free(insn.rd),
            Format::FLoad | Format::Store | Format::FStore => is_base,
            Format::Branch | Format::J | Format::Jalr => true,
            _ => is_free(insn.rd),
        }
    };
    let compressed = (0..=u16::MAX).filter(|half| half & 3 != 3);
    compressed
        .filter(|&half| decode(u32::from(half)).is_some_and(usable))
        .collect()
}

/// Lays out the first `count` items; a longer skip ends at their end.
fn emit_items(code: &mut Code, items: &[Item], count: usize) {
    let items = &items[..count];
    let mut at = code.here();
    let mut addresses = Vec::new();
    for item in items {
        addresses.push(at);
        at += item.bytes();
    }
    addresses.push(at);
    for (n, item) in items.iter().enumerate() {
        let target = addresses[(n + 1 + item.skip()).min(count)];
        let offset = (target - addresses[n]) as i32;
        match item {
            Item::Plain(word) => code.word(*word),
            Item::Group(words) => words.iter().for_each(|&word| code.word(word)),
            Item::Forward { word, .. } => {
                let insn = decode(word.bits).expect("a legal instruction");
                code.word(match (word.len, insn.op) {
                    (4, op) => Word::new(
                        op,
                        Operands {
                            imm: offset,
                            ..Operands::from(&insn)
                        },
                    ),
                    (_, Op::Jal) => Word::compressed(c_j(offset)),
                    (_, op) => Word::compressed(c_branch(op == Op::Bne, insn.rs1, offset)),
                });
            }
            Item::Indirect { rd, base, .. } => {
                code.op(Op::Auipc, i(*base, 0, 0));
                code.op(Op::Jalr, i(*rd, *base, offset));
            }
            Item::IndirectCompressed { call, base, .. } => {
                code.op(Op::Auipc, i(*base, 0, 0));
                code.op(Op::Addi, i(*base, *base, offset));
                let bits = if *call { 0x9002 } else { 0x8002 };
                code.word(Word::compressed(bits | u16::from(*base) << 7));
            }
        }
    }
}

/// Fills memory, loads all registers, runs the items, and writes all of it out.
fn emit(code: &mut Code, stream: &Stream, initial: u64, count: usize) {
    let [t, u] = TEMPS;
    // memory[n + 1] = memory[n] * multiplier + address
    code.li(t, MEMORY);
    code.li(u, MEMORY + MEMORY_BYTES);
    code.li(5, 0x5851_f42d);
    code.li(6, 0x1405_7b7e);
    let top = code.here();
    code.op(Op::Mul, r(6, 6, 5));
    code.op(Op::Add, r(6, 6, t));
    code.op(Op::Sd, s(6, t, 0));
    code.op(Op::Addi, i(t, t, 8));
    code.op(Op::Bltu, s(u, t, top.wrapping_sub(code.here()) as i32));

    code.li(t, COUNTER);
    code.op(Op::Addi, i(u, 0, PASSES));
    code.op(Op::Sd, s(u, t, 0));
    code.li(u, initial);
    code.op(Op::Ld, i(t, u, 64 * 8));
    code.op(Op::Csrrw, i(0, t, 3));
    for n in 0..32 {
        code.op(Op::Fld, i(n, u, 256 + i32::from(n) * 8));
    }
    for n in 1..31 {
        code.op(Op::Ld, i(n, u, i32::from(n) * 8));
    }
    for (register, address) in BASES {
        code.li(register, address);
    }
    let top = code.here();
    emit_items(code, &stream.items, count);
    code.li(u, COUNTER);
    code.op(Op::Ld, i(t, u, 0));
    code.op(Op::Addi, i(t, t, -1));
    code.op(Op::Sd, s(t, u, 0));
    code.op(Op::Beq, s(0, t, 8));
    code.jump(top);

    code.li(u, DUMP);
    for n in 0..32 {
        code.op(Op::Sd, s(n, u, i32::from(n) * 8));
        code.op(Op::Fsd, s(n, u, 256 + i32::from(n) * 8));
    }
    code.op(Op::Csrrs, i(t, 0, 3));
    code.op(Op::Sd, s(t, u, 64 * 8));
    code.write_out(MEMORY, MEMORY_BYTES + DUMP_BYTES);
}

/// `streams` with how many items of each to run.
fn image(streams: &[(&Stream, usize)]) -> Image {
    let mut code = Code::default();
    let mut data = Vec::new();
    for &(stream, count) in streams {
        let initial = DATA + data.len() as u64;
        data.extend(
            stream
                .x
                .iter()
                .chain(&stream.f)
                .flat_map(|word| word.to_le_bytes()),
        );
        data.extend(stream.fcsr.to_le_bytes());
        emit(&mut code, stream, initial, count);
    }
    code.exit(0);
    Image {
        text: code.bytes,
        data,
        bss: 0x4000,
    }
}

const STREAM_BYTES: usize = (MEMORY_BYTES + DUMP_BYTES) as usize;

/// What differs between two dumps of one stream.
fn differences(ours: &[u8], theirs: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for (n, (mine, yours)) in ours.chunks(8).zip(theirs.chunks(8)).enumerate() {
        if mine == yours {
            continue;
        }
        let register = n.checked_sub(MEMORY_BYTES as usize / 8);
        let place = match register {
            None => format!("memory[{:#x}]", n * 8),
            Some(n @ 0..32) => rivix_isa::XREG_NAMES[n].to_owned(),
            Some(n @ 32..64) => rivix_isa::FREG_NAMES[n - 32].to_owned(),
            Some(_) => "fcsr".to_owned(),
        };
        let number = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |n, &b| n << 8 | u64::from(b));
        found.push(format!(
            "{place} is {:#x}, not {:#x}",
            number(mine),
            number(yours)
        ));
    }
    found
}

fn agree(a: &Outcome, b: &Outcome) -> bool {
    a == b && a.end == End::Exit(0)
}

/// Finds the shortest prefix of `stream` that differs.
fn narrow(stream: &Stream, qemu: &Subject, subject: &Subject) -> String {
    let run = |count: usize| {
        let image = image(&[(stream, count)]);
        (subject.run(&image), qemu.run(&image))
    };
    let (mut good, mut bad) = (0, stream.items.len());
    while bad - good > 1 {
        let middle = good.midpoint(bad);
        let (ours, theirs) = run(middle);
        if agree(&ours, &theirs) {
            good = middle
        } else {
            bad = middle
        }
    }
    let (ours, theirs) = run(bad);
    let mut text = format!(
        "item {}: {:?}, the reference {:?}\n",
        bad - 1,
        ours.end,
        theirs.end
    );
    let shown = if std::env::var_os("RIVIX_WHOLE_STREAM").is_some() {
        bad
    } else {
        4
    };
    for item in &stream.items[bad.saturating_sub(shown)..bad] {
        text += &format!("    {}\n", item.text());
    }
    for line in differences(&ours.stdout, &theirs.stdout).iter().take(6) {
        text += &format!("  {line}\n");
    }
    text
}

#[test]
fn random_streams_agree_with_qemu() {
    let Some((qemu, subjects)) = subject::all() else {
        return;
    };
    let seed = seed();
    eprintln!("seed {seed} (RIVIX_SEED)");
    let halves = usable_halves();
    let numbers: Vec<u64> = (0..IMAGES).collect();
    let wrong = subject::in_parallel(&numbers, |&number| {
        let streams = streams(seed, number, &halves);
        let whole: Vec<_> = streams.iter().map(|stream| (stream, ITEMS)).collect();
        let image = image(&whole);
        let theirs = qemu.run(&image);
        assert_eq!(theirs.end, End::Exit(0), "the reference, image {number}");
        let wrong = subjects.iter().filter_map(|subject| {
            let ours = subject.run(&image);
            if agree(&ours, &theirs) {
                return None;
            }
            let pieces = ours
                .stdout
                .chunks(STREAM_BYTES)
                .zip(theirs.stdout.chunks(STREAM_BYTES));
            let first = pieces.take_while(|(mine, yours)| mine == yours).count();
            let narrowed = narrow(&streams[first.min(STREAMS - 1)], &qemu, subject);
            let name = subject.name();
            Some(format!(
                "{name}: image {number}, stream {first}, {narrowed}"
            ))
        });
        wrong.collect::<Vec<_>>()
    });
    let wrong: Vec<String> = wrong.into_iter().flatten().collect();
    assert!(
        wrong.is_empty(),
        "seed {seed}, {} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    let count = IMAGES as usize * STREAMS * ITEMS;
    eprintln!("agreed on {count} items, {PASSES} passes each");
}

/// From `RIVIX_SEED`, else always the same.
fn seed() -> u64 {
    std::env::var("RIVIX_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(2)
}

fn streams(seed: u64, number: u64, halves: &[u16]) -> Vec<Stream> {
    let mut rng = Rng(seed << 32 | number);
    let mut generator = Generator {
        rng: &mut rng,
        last_rd: 5,
        halves,
    };
    (0..STREAMS).map(|_| generator.stream()).collect()
}

/// The reference runs a stream to its end, twice the same.
#[test]
fn streams_are_deterministic() {
    let Some(qemu) = subject::reference() else {
        return;
    };
    let streams = streams(seed(), 0, &usable_halves());
    let whole: Vec<_> = streams.iter().map(|stream| (stream, ITEMS)).collect();
    let image = image(&whole);
    let first = qemu.run(&image);
    assert_eq!(first.end, End::Exit(0));
    assert_eq!(first.stdout.len(), STREAM_BYTES * STREAMS);
    assert!(agree(&first, &qemu.run(&image)));
}
