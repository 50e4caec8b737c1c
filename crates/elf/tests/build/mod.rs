//! Builds ELF files, valid ones and others.

pub(crate) const EXEC: u16 = 2;
pub(crate) const DYN: u16 = 3;
pub(crate) const LOAD: u32 = 1;
pub(crate) const INTERP: u32 = 3;
pub(crate) const GNU_STACK: u32 = 0x6474_e551;
pub(crate) const R: u32 = 4;
pub(crate) const W: u32 = 2;
pub(crate) const X: u32 = 1;

#[derive(Clone, Debug)]
pub(crate) struct Phdr {
    pub(crate) kind: u32,
    pub(crate) flags: u32,
    pub(crate) offset: u64,
    pub(crate) vaddr: u64,
    pub(crate) filesz: u64,
    pub(crate) memsz: u64,
    pub(crate) align: u64,
}

/// An ELF file as fields; `bytes` is everything from the file's start, over
/// which headers are written.
#[derive(Clone, Debug)]
pub(crate) struct Elf {
    pub(crate) class: u8,
    pub(crate) data: u8,
    pub(crate) kind: u16,
    pub(crate) machine: u16,
    pub(crate) entry: u64,
    pub(crate) phoff: u64,
    pub(crate) phentsize: u16,
    /// None: as many as there are.
    pub(crate) phnum: Option<u16>,
    pub(crate) phdrs: Vec<Phdr>,
    pub(crate) bytes: Vec<u8>,
}

/// exit(7).
pub(crate) const CODE: [u32; 3] = [0x0070_0513, 0x05d0_0893, 0x0000_0073];

impl Elf {
    /// Text at `base` in one page, data with a zeroed tail in the next.
    pub(crate) fn new(kind: u16, base: u64) -> Elf {
        let mut bytes = vec![0; 0x2100];
        for (index, word) in CODE.iter().enumerate() {
            bytes[0x1000 + 4 * index..][..4].copy_from_slice(&word.to_le_bytes());
        }
        bytes[0x2000..].fill(0xda);
        Elf {
            class: 2,
            data: 1,
            kind,
            machine: 243,
            entry: base + 0x1000,
            phoff: 64,
            phentsize: 56,
            phnum: None,
            phdrs: vec![
                load(R | X, 0, base, 0x1100, 0x1100),
                load(R | W, 0x2000, base + 0x2000, 0x100, 0x2100),
                Phdr {
                    kind: GNU_STACK,
                    flags: R | W,
                    ..load(0, 0, 0, 0, 0)
                },
            ],
            bytes,
        }
    }

    /// Adds a PT_INTERP header; `path` without its NUL.
    pub(crate) fn interpreter(mut self, path: &str) -> Elf {
        let at = 0x400;
        self.bytes[at..at + path.len()].copy_from_slice(path.as_bytes());
        self.bytes[at + path.len()] = 0;
        let len = path.len() as u64 + 1;
        self.phdrs.insert(
            0,
            Phdr {
                kind: INTERP,
                ..load(R, at as u64, 0, len, len)
            },
        );
        self
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.bytes.clone();
        let mut header = vec![0x7f, b'E', b'L', b'F', self.class, self.data, 1, 0];
        header.extend([0; 8]);
        let half = |value: u16| match self.data {
            2 => value.to_be_bytes(),
            _ => value.to_le_bytes(),
        };
        header.extend(half(self.kind));
        header.extend(half(self.machine));
        header.extend(1u32.to_le_bytes());
        header.extend(self.entry.to_le_bytes());
        header.extend(self.phoff.to_le_bytes());
        header.extend(0u64.to_le_bytes());
        header.extend(5u32.to_le_bytes());
        header.extend(64u16.to_le_bytes());
        header.extend(self.phentsize.to_le_bytes());
        header.extend(self.phnum.unwrap_or(self.phdrs.len() as u16).to_le_bytes());
        header.extend([0; 6]);
        put(&mut out, 0, &header);
        if self.phoff < 1 << 20 {
            for (index, phdr) in self.phdrs.iter().enumerate() {
                let mut raw = Vec::new();
                raw.extend(phdr.kind.to_le_bytes());
                raw.extend(phdr.flags.to_le_bytes());
                for word in [
                    phdr.offset,
                    phdr.vaddr,
                    phdr.vaddr,
                    phdr.filesz,
                    phdr.memsz,
                    phdr.align,
                ] {
                    raw.extend(word.to_le_bytes());
                }
                put(&mut out, self.phoff as usize + 56 * index, &raw);
            }
        }
        out
    }
}

pub(crate) fn load(flags: u32, offset: u64, vaddr: u64, filesz: u64, memsz: u64) -> Phdr {
    Phdr {
        kind: LOAD,
        flags,
        offset,
        vaddr,
        filesz,
        memsz,
        align: 0x1000,
    }
}

fn put(out: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if out.len() < at + bytes.len() {
        out.resize(at + bytes.len(), 0);
    }
    out[at..at + bytes.len()].copy_from_slice(bytes);
}
