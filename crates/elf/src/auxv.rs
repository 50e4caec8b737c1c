//! The auxiliary vector (getauxval(3)), in the order of riscv64 Linux.

/// Entry types.
pub mod key {
    pub const NULL: u64 = 0;
    pub const PHDR: u64 = 3;
    pub const PHENT: u64 = 4;
    pub const PHNUM: u64 = 5;
    pub const PAGESZ: u64 = 6;
    pub const BASE: u64 = 7;
    pub const FLAGS: u64 = 8;
    pub const ENTRY: u64 = 9;
    pub const UID: u64 = 11;
    pub const EUID: u64 = 12;
    pub const GID: u64 = 13;
    pub const EGID: u64 = 14;
    pub const HWCAP: u64 = 16;
    pub const CLKTCK: u64 = 17;
    pub const SECURE: u64 = 23;
    pub const RANDOM: u64 = 25;
    pub const RSEQ_FEATURE_SIZE: u64 = 27;
    pub const RSEQ_ALIGN: u64 = 28;
    pub const EXECFN: u64 = 31;
    pub const SYSINFO_EHDR: u64 = 33;
    pub const L1I_CACHESIZE: u64 = 40;
    pub const L3_CACHEGEOMETRY: u64 = 47;
    pub const MINSIGSTKSZ: u64 = 51;
}

/// What the vector says of the process and the machine, from outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuxInputs {
    /// One bit per single-letter extension.
    pub hwcap: u64,
    pub uid: u32,
    pub euid: u32,
    pub gid: u32,
    pub egid: u32,
    /// Ids or capabilities changed with this exec.
    pub secure: bool,
    pub random: [u8; 16],
    /// The size of a signal frame.
    pub minsigstksz: u64,
}

/// What the vector says of the loaded program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AuxProgram {
    pub(crate) vdso: u64,
    pub(crate) phdr: u64,
    pub(crate) phnum: u64,
    pub(crate) base: u64,
    pub(crate) entry: u64,
}

/// Pairs of type and value; the final NULL is implied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Auxv {
    pairs: Vec<(u64, u64)>,
}

impl Auxv {
    /// RANDOM and EXECFN get their addresses when the stack is laid out.
    pub(crate) fn new(inputs: &AuxInputs, program: &AuxProgram) -> Auxv {
        let mut auxv = Auxv::default();
        auxv.push(key::SYSINFO_EHDR, program.vdso);
        // Size and geometry of four caches: zero is "unknown".
        for cache in key::L1I_CACHESIZE..=key::L3_CACHEGEOMETRY {
            auxv.push(cache, 0);
        }
        auxv.push(key::MINSIGSTKSZ, inputs.minsigstksz);
        auxv.push(key::HWCAP, inputs.hwcap);
        auxv.push(key::PAGESZ, rivix_abi::PAGE_SIZE);
        auxv.push(key::CLKTCK, 100);
        auxv.push(key::PHDR, program.phdr);
        auxv.push(key::PHENT, crate::image::PHDR_LEN as u64);
        auxv.push(key::PHNUM, program.phnum);
        auxv.push(key::BASE, program.base);
        auxv.push(key::FLAGS, 0);
        auxv.push(key::ENTRY, program.entry);
        auxv.push(key::UID, inputs.uid.into());
        auxv.push(key::EUID, inputs.euid.into());
        auxv.push(key::GID, inputs.gid.into());
        auxv.push(key::EGID, inputs.egid.into());
        auxv.push(key::SECURE, inputs.secure.into());
        auxv.push(key::RANDOM, 0);
        auxv.push(key::EXECFN, 0);
        auxv.push(key::RSEQ_FEATURE_SIZE, rivix_abi::rseq::FEATURE_SIZE);
        auxv.push(key::RSEQ_ALIGN, rivix_abi::rseq::ALIGNMENT);
        auxv
    }

    pub(crate) fn push(&mut self, kind: u64, value: u64) {
        self.pairs.push((kind, value));
    }

    pub(crate) fn set(&mut self, kind: u64, value: u64) {
        for pair in self.pairs.iter_mut().filter(|pair| pair.0 == kind) {
            pair.1 = value;
        }
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let last = (key::NULL, 0);
        self.pairs
            .iter()
            .chain([&last])
            .flat_map(|(kind, value)| [kind.to_le_bytes(), value.to_le_bytes()])
            .flatten()
            .collect()
    }
}
