//! Small guests made instruction by instruction, so that tests need no riscv64
//! compiler.

#![allow(dead_code, unreachable_pub, reason = "each test program uses a part")]

use rivix_isa::{Op, Operands, encode};

const BASE: u64 = 0x10000;
const EHDR: usize = 64;
const PHDR: usize = 56;

const ZERO: u8 = 0;
const A0: u8 = 10;
const A7: u8 = 17;

/// A guest under construction: constants first, then code.
#[derive(Default)]
pub struct Guest {
    data: Vec<u8>,
    code: Vec<u32>,
}

pub mod nr {
    pub const READ: i32 = 63;
    pub const WRITE: i32 = 64;
    pub const EXIT_GROUP: i32 = 94;
    pub const KILL: i32 = 129;
    pub const GETPID: i32 = 172;
}

impl Guest {
    /// A guest whose constants are `data`; its first byte is at [`Guest::data`].
    pub fn new(data: impl AsRef<[u8]>) -> Guest {
        Guest {
            data: data.as_ref().to_vec(),
            code: Vec::new(),
        }
    }

    /// The address of the constants.
    pub fn data() -> i32 {
        (BASE as usize + EHDR + PHDR) as i32
    }

    pub fn op(mut self, op: Op, operands: Operands) -> Guest {
        self.code.push(encode(op, operands));
        self
    }

    /// rd = value
    pub fn li(self, rd: u8, value: i32) -> Guest {
        let low = value << 20 >> 20;
        if low == value {
            return self.op(
                Op::Addi,
                Operands {
                    rd,
                    rs1: ZERO,
                    imm: value,
                    ..Default::default()
                },
            );
        }
        let high = value.wrapping_sub(low);
        self.op(
            Op::Lui,
            Operands {
                rd,
                imm: high,
                ..Default::default()
            },
        )
        .op(
            Op::Addiw,
            Operands {
                rd,
                rs1: rd,
                imm: low,
                ..Default::default()
            },
        )
    }

    /// A system call with these arguments.
    pub fn call(mut self, number: i32, args: &[i32]) -> Guest {
        for (at, arg) in args.iter().enumerate() {
            self = self.li(A0 + at as u8, *arg);
        }
        self.li(A7, number).op(Op::Ecall, Operands::default())
    }

    pub fn write(self, fd: i32, text_at: i32, len: usize) -> Guest {
        self.call(nr::WRITE, &[fd, text_at, len as i32])
    }

    pub fn exit(self, code: i32) -> Guest {
        self.call(nr::EXIT_GROUP, &[code])
    }

    /// Sends itself a signal.
    pub fn raise(self, signal: i32) -> Guest {
        self.call(nr::GETPID, &[])
            .li(A0 + 1, signal)
            .li(A7, nr::KILL)
            .op(Op::Ecall, Operands::default())
    }

    /// Jumps to itself for ever.
    pub fn spin(self) -> Guest {
        self.op(
            Op::Jal,
            Operands {
                rd: ZERO,
                imm: 0,
                ..Default::default()
            },
        )
    }

    /// Loads from `address`.
    pub fn load(self, address: i32) -> Guest {
        self.li(A0, address).op(
            Op::Ld,
            Operands {
                rd: A0,
                rs1: A0,
                ..Default::default()
            },
        )
    }

    /// The ELF file: one segment with everything, readable and executable.
    pub fn elf(&self) -> Vec<u8> {
        let data_end = (EHDR + PHDR + self.data.len()).next_multiple_of(4);
        let size = (data_end + self.code.len() * 4) as u64;
        let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0];
        file.resize(16, 0);
        file.extend(2u16.to_le_bytes());
        file.extend(243u16.to_le_bytes());
        file.extend(1u32.to_le_bytes());
        file.extend((BASE + data_end as u64).to_le_bytes());
        file.extend((EHDR as u64).to_le_bytes());
        file.extend(0u64.to_le_bytes());
        file.extend(4u32.to_le_bytes());
        for half in [EHDR as u16, PHDR as u16, 1, 0, 0, 0] {
            file.extend(half.to_le_bytes());
        }
        file.extend(1u32.to_le_bytes());
        file.extend(5u32.to_le_bytes());
        for word in [0, BASE, BASE, size, size, 4096] {
            file.extend(word.to_le_bytes());
        }
        file.extend(&self.data);
        file.resize(data_end, 0);
        for word in &self.code {
            file.extend(word.to_le_bytes());
        }
        file
    }
}

/// Prints `text` and exits with `code`.
pub fn printer(text: &str, code: i32) -> Vec<u8> {
    Guest::new(text)
        .write(1, Guest::data(), text.len())
        .exit(code)
        .elf()
}

/// Computes for ever.
pub fn spinner() -> Vec<u8> {
    Guest::new("").spin().elf()
}

/// Reads one byte of its input, then exits with 5. Stack memory takes the byte.
pub fn reader() -> Vec<u8> {
    const SP: u8 = 2;
    Guest::new("")
        .op(
            Op::Addi,
            Operands {
                rd: A0 + 1,
                rs1: SP,
                imm: -16,
                ..Default::default()
            },
        )
        .li(A0, 0)
        .li(A0 + 2, 1)
        .li(A7, nr::READ)
        .op(Op::Ecall, Operands::default())
        .exit(5)
        .elf()
}

/// Loads from address 0.
pub fn faulter() -> Vec<u8> {
    Guest::new("").load(0).exit(0).elf()
}

/// Threads, descriptors and mappings of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    pub threads: usize,
    pub fds: usize,
    pub mappings: usize,
}

impl Held {
    pub fn now() -> Held {
        let count = |path: &str| std::fs::read_dir(path).map_or(0, Iterator::count);
        // The host shows a thread for a moment after it was joined.
        let threads = (0..20).map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(1));
            count("/proc/self/task")
        });
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
        Held {
            threads: threads.min().unwrap_or(0),
            fds: count("/proc/self/fd"),
            mappings: maps.lines().count(),
        }
    }
}
