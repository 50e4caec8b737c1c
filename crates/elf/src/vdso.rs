//! The vdso: an ELF image that the loader maps into every process.
//!
//! Its source is `vdso/vdso.S`; the built image is committed beside it.

/// The image, one page at most.
pub const IMAGE: &[u8] = include_bytes!("../vdso/vdso.so");

/// Where in the image a signal handler returns to: `__vdso_rt_sigreturn`.
pub const RT_SIGRETURN: u64 = find(b"__vdso_rt_sigreturn");

/// A symbol's offset, read from the image while compiling: a missing symbol is
/// a build error.
const fn find(name: &[u8]) -> u64 {
    // The section headers are there for tools; the two tables are found through
    // the dynamic segment, as a C library does.
    let phoff = word(32, 8);
    let count = word(56, 2);
    let mut index = 0;
    let mut dynamic = 0;
    while index < count {
        let header = phoff + 56 * index;
        if word(header, 4) == 2 {
            dynamic = word(header + 8, 8);
        }
        index += 1;
    }
    assert!(dynamic != 0, "the vdso has no dynamic segment");
    let (mut strings, mut symbols, mut hash) = (0, 0, 0);
    while word(dynamic, 8) != 0 {
        let value = word(dynamic + 8, 8);
        match word(dynamic, 8) {
            4 => hash = value,
            5 => strings = value,
            6 => symbols = value,
            _ => {}
        }
        dynamic += 16;
    }
    // The number of chains is the number of symbols.
    let count = word(hash + 4, 4);
    let mut index = 0;
    while index < count {
        let symbol = symbols + 24 * index;
        if has_name(strings + word(symbol, 4), name) {
            return word(symbol + 8, 8);
        }
        index += 1;
    }
    panic!("the vdso lacks a symbol");
}

const fn word(at: u64, size: usize) -> u64 {
    let mut value = 0;
    let mut index = size;
    while index > 0 {
        index -= 1;
        value = value << 8 | IMAGE[at as usize + index] as u64;
    }
    value
}

const fn has_name(at: u64, name: &[u8]) -> bool {
    let mut index = 0;
    while index < name.len() {
        if IMAGE[at as usize + index] != name[index] {
            return false;
        }
        index += 1;
    }
    IMAGE[at as usize + index] == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trampoline_words() {
        // Unwinders and debuggers recognise a signal frame by them.
        let at = RT_SIGRETURN as usize;
        let words = [0x08b0_0893u32, 0x0000_0073].map(u32::to_le_bytes).concat();
        assert_eq!(IMAGE[at..at + 8], words[..]);
    }

    #[test]
    fn one_page() {
        assert!(IMAGE.len() as u64 <= rivix_abi::PAGE_SIZE);
    }
}
