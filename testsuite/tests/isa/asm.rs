//! Machine code and static ELF images, made here so that the tests need no
//! cross compiler.

use rivix_isa::{Op, Operands, decode, encode};

pub(crate) const TEXT: u64 = 0x1_0000;
/// The image's initialised data.
pub(crate) const DATA: u64 = 0x1000_0000;
/// Zeroed memory, readable and writable.
pub(crate) const BSS: u64 = 0x2000_0000;

/// An instruction to run: its bits, and 2 or 4 bytes of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) bits: u32,
    pub(crate) len: u64,
}

impl Word {
    pub(crate) fn new(op: Op, operands: Operands) -> Word {
        Word {
            bits: encode(op, operands),
            len: 4,
        }
    }

    pub(crate) fn compressed(half: u16) -> Word {
        Word {
            bits: u32::from(half),
            len: 2,
        }
    }

    pub(crate) fn text(&self) -> String {
        match decode(self.bits) {
            Some(insn) => format!("{insn} ({:#x})", self.bits),
            None => format!("{:#x}", self.bits),
        }
    }
}

/// Shorthands for operands.
pub(crate) fn r(rd: u8, rs1: u8, rs2: u8) -> Operands {
    Operands {
        rd,
        rs1,
        rs2,
        ..Operands::default()
    }
}

pub(crate) fn i(rd: u8, rs1: u8, imm: i32) -> Operands {
    Operands {
        rd,
        rs1,
        imm,
        ..Operands::default()
    }
}

/// rs2 at imm(rs1).
pub(crate) fn s(rs2: u8, rs1: u8, imm: i32) -> Operands {
    Operands {
        rs1,
        rs2,
        imm,
        ..Operands::default()
    }
}

/// c.j.
pub(crate) fn c_j(offset: i32) -> u16 {
    let o = offset as u32;
    let bit = |from: u32, to: u32| (o >> from & 1) << to;
    let imm = bit(11, 12)
        | bit(4, 11)
        | (o >> 8 & 3) << 9
        | bit(10, 8)
        | bit(6, 7)
        | bit(7, 6)
        | (o >> 1 & 7) << 3
        | bit(5, 2);
    (0xa001 | imm) as u16
}

/// c.beqz, or c.bnez when `not`; `register` is one of x8..x15.
pub(crate) fn c_branch(not: bool, register: u8, offset: i32) -> u16 {
    let o = offset as u32;
    let imm = (o >> 8 & 1) << 12 | (o >> 3 & 3) << 10 | (o >> 6 & 3) << 5 | (o >> 1 & 3) << 3;
    let base = if not { 0xe001 } else { 0xc001 };
    (base | imm | (o >> 5 & 1) << 2 | u32::from(register & 7) << 7) as u16
}

/// Code under construction, at [`TEXT`].
#[derive(Default)]
pub(crate) struct Code {
    pub(crate) bytes: Vec<u8>,
}

impl Code {
    pub(crate) fn here(&self) -> u64 {
        TEXT + self.bytes.len() as u64
    }

    pub(crate) fn op(&mut self, op: Op, operands: Operands) {
        self.word(Word::new(op, operands));
    }

    pub(crate) fn word(&mut self, word: Word) {
        self.bytes
            .extend_from_slice(&word.bits.to_le_bytes()[..word.len as usize]);
    }

    pub(crate) fn bytes_at(&mut self, address: u64, word: Word) {
        let at = (address - TEXT) as usize;
        let bytes = &word.bits.to_le_bytes()[..word.len as usize];
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// rd = value, below 2 GiB.
    pub(crate) fn li(&mut self, rd: u8, value: u64) {
        let value = i32::try_from(value).expect("an address below 2 GiB");
        let low = value << 20 >> 20;
        self.op(Op::Lui, i(rd, 0, value.wrapping_sub(low)));
        self.op(Op::Addiw, i(rd, rd, low));
    }

    pub(crate) fn jump(&mut self, target: u64) {
        let offset = target.wrapping_sub(self.here()) as i64;
        self.op(
            Op::Jal,
            i(0, 0, i32::try_from(offset).expect("a near jump")),
        );
    }

    /// A place to patch with [`Code::patch_jump`].
    pub(crate) fn later_jump(&mut self) -> u64 {
        let at = self.here();
        self.op(Op::Jal, i(0, 0, 0));
        at
    }

    pub(crate) fn patch_jump(&mut self, at: u64, target: u64) {
        let offset = i32::try_from(target.wrapping_sub(at) as i64).expect("a near jump");
        self.bytes_at(at, Word::new(Op::Jal, i(0, 0, offset)));
    }

    /// Bytes that are no legal instruction.
    pub(crate) fn skip(&mut self, bytes: u64) {
        self.bytes.resize(self.bytes.len() + bytes as usize, 0);
    }

    /// ecall with up to three arguments already in a0..a2.
    pub(crate) fn syscall(&mut self, number: i32) {
        self.op(Op::Addi, i(17, 0, number));
        self.op(Op::Ecall, Operands::default());
    }

    /// write(1, from, len) until all is written, then go on.
    pub(crate) fn write_out(&mut self, from: u64, len: u64) {
        self.li(11, from);
        self.li(12, len);
        let again = self.here();
        self.op(Op::Addi, i(10, 0, 1));
        self.syscall(64);
        self.op(Op::Add, r(11, 11, 10));
        self.op(Op::Sub, r(12, 12, 10));
        let offset = again.wrapping_sub(self.here()) as i32;
        self.op(Op::Bne, s(0, 12, offset));
    }

    pub(crate) fn exit(&mut self, status: i32) {
        self.op(Op::Addi, i(10, 0, status));
        self.syscall(94);
    }
}

/// A static riscv64 executable.
pub(crate) struct Image {
    pub(crate) text: Vec<u8>,
    pub(crate) data: Vec<u8>,
    pub(crate) bss: u64,
}

impl Image {
    pub(crate) fn elf(&self) -> Vec<u8> {
        const PAGE: usize = 0x1000;
        const R: u32 = 4;
        const W: u32 = 2;
        const X: u32 = 1;
        let text_at = PAGE;
        let data_at = (text_at + self.text.len()).next_multiple_of(PAGE);
        let segments = [
            (R | X, text_at, TEXT, self.text.len(), self.text.len()),
            (R | W, data_at, DATA, self.data.len(), self.data.len()),
            (R | W, 0, BSS, 0, self.bss as usize),
        ];
        let segments: Vec<_> = segments
            .into_iter()
            .filter(|segment| segment.4 != 0)
            .collect();

        let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0];
        file.resize(16, 0);
        for half in [2u16, 243] {
            file.extend(half.to_le_bytes());
        }
        file.extend(1u32.to_le_bytes());
        for offset in [TEXT, 64, 0] {
            file.extend(offset.to_le_bytes());
        }
        // EF_RISCV_RVC | EF_RISCV_FLOAT_ABI_DOUBLE.
        file.extend(5u32.to_le_bytes());
        for half in [64, 56, segments.len() as u16, 0, 0, 0] {
            file.extend(half.to_le_bytes());
        }
        for (flags, at, address, in_file, in_memory) in segments {
            file.extend(1u32.to_le_bytes());
            file.extend(flags.to_le_bytes());
            for word in [
                at as u64,
                address,
                address,
                in_file as u64,
                in_memory as u64,
            ] {
                file.extend(word.to_le_bytes());
            }
            file.extend((PAGE as u64).to_le_bytes());
        }
        file.resize(text_at, 0);
        file.extend(&self.text);
        file.resize(data_at, 0);
        file.extend(&self.data);
        file
    }
}
