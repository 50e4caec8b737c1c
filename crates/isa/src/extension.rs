//! The extensions, and how Linux names them to programs.

/// A set of rows of the table that software can ask for by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extension {
    I,
    M,
    A,
    F,
    D,
    C,
    Zicsr,
    Zifencei,
}

impl Extension {
    /// Its name in the ISA string.
    pub const fn name(self) -> &'static str {
        match self {
            Extension::I => "i",
            Extension::M => "m",
            Extension::A => "a",
            Extension::F => "f",
            Extension::D => "d",
            Extension::C => "c",
            Extension::Zicsr => "zicsr",
            Extension::Zifencei => "zifencei",
        }
    }

    /// Its bit of `riscv_hwprobe`'s IMA_EXT_0 key; none when the base
    /// behaviour implies it or the key has no such bit.
    const fn hwprobe_ima_ext_0(self) -> u64 {
        match self {
            // RISCV_HWPROBE_IMA_FD needs both.
            Extension::D => 1 << 0,
            Extension::C => 1 << 1,
            Extension::I
            | Extension::M
            | Extension::A
            | Extension::F
            | Extension::Zicsr
            | Extension::Zifencei => 0,
        }
    }
}

/// What is announced, in the ISA string's canonical order.
pub const fn extensions() -> &'static [Extension] {
    &[
        Extension::I,
        Extension::M,
        Extension::A,
        Extension::F,
        Extension::D,
        Extension::C,
        Extension::Zicsr,
        Extension::Zifencei,
    ]
}

/// The ISA string of /proc/cpuinfo: `rv64imafdc_zicsr_zifencei`.
pub fn isa_string() -> String {
    let mut text = String::from("rv64");
    for extension in extensions() {
        if extension.name().len() > 1 {
            text.push('_');
        }
        text.push_str(extension.name());
    }
    text
}

/// `AT_HWCAP`: one bit per single-letter extension, `a` being bit 0.
pub fn hwcap() -> u64 {
    extensions()
        .iter()
        .filter_map(|extension| match extension.name().as_bytes() {
            [letter] => Some(1 << (letter - b'a')),
            _ => None,
        })
        .fold(0, |all, bit: u64| all | bit)
}

/// Keys of `riscv_hwprobe` (Documentation/arch/riscv/hwprobe.rst).
pub mod hwprobe {
    pub const KEY_MVENDORID: i64 = 0;
    pub const KEY_MARCHID: i64 = 1;
    pub const KEY_MIMPID: i64 = 2;
    pub const KEY_BASE_BEHAVIOR: i64 = 3;
    pub const KEY_IMA_EXT_0: i64 = 4;
    pub const KEY_CPUPERF_0: i64 = 5;
    pub const KEY_ZICBOZ_BLOCK_SIZE: i64 = 6;
    pub const KEY_HIGHEST_VIRT_ADDRESS: i64 = 7;
    pub const KEY_TIME_CSR_FREQ: i64 = 8;
    pub const KEY_MISALIGNED_SCALAR_PERF: i64 = 9;
    pub const KEY_MISALIGNED_VECTOR_PERF: i64 = 10;
    pub const KEY_VENDOR_EXT_THEAD_0: i64 = 11;
    pub const KEY_ZICBOM_BLOCK_SIZE: i64 = 12;
    pub const KEY_VENDOR_EXT_SIFIVE_0: i64 = 13;
    pub const KEY_VENDOR_EXT_MIPS_0: i64 = 14;
    pub const KEY_ZICBOP_BLOCK_SIZE: i64 = 15;
    pub const KEY_IMA_EXT_1: i64 = 16;

    /// Base behaviour: I, M and A, and the user-visible parts of the privileged
    /// manual.
    pub const BASE_BEHAVIOR_IMA: u64 = 1;
    /// Misaligned scalar accesses are faster than byte by byte, for both keys
    /// that say so.
    pub const MISALIGNED_FAST: u64 = 3;

    /// There are no vectors.
    pub const MISALIGNED_VECTOR_UNSUPPORTED: u64 = 4;

    /// What the instruction table decides. The highest address and the time
    /// CSR's frequency are their owners' to add; a key in neither list is
    /// unknown (-1).
    pub fn pairs() -> Vec<(i64, u64)> {
        let ima_ext_0 = super::extensions()
            .iter()
            .fold(0, |all, e| all | e.hwprobe_ima_ext_0());
        vec![
            (KEY_MVENDORID, 0),
            (KEY_MARCHID, 0),
            (KEY_MIMPID, 0),
            (KEY_BASE_BEHAVIOR, BASE_BEHAVIOR_IMA),
            (KEY_IMA_EXT_0, ima_ext_0),
            (KEY_CPUPERF_0, MISALIGNED_FAST),
            (KEY_ZICBOZ_BLOCK_SIZE, 0),
            (KEY_MISALIGNED_SCALAR_PERF, MISALIGNED_FAST),
            (KEY_MISALIGNED_VECTOR_PERF, MISALIGNED_VECTOR_UNSUPPORTED),
            (KEY_VENDOR_EXT_THEAD_0, 0),
            (KEY_ZICBOM_BLOCK_SIZE, 0),
            (KEY_VENDOR_EXT_SIFIVE_0, 0),
            (KEY_VENDOR_EXT_MIPS_0, 0),
            (KEY_ZICBOP_BLOCK_SIZE, 0),
            (KEY_IMA_EXT_1, 0),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linux_names() {
        assert_eq!(isa_string(), "rv64imafdc_zicsr_zifencei");
        assert_eq!(hwcap(), 0x112d);
        let pairs = hwprobe::pairs();
        assert!(pairs.contains(&(hwprobe::KEY_BASE_BEHAVIOR, 1)));
        assert!(pairs.contains(&(hwprobe::KEY_IMA_EXT_0, 3)));
    }
}
