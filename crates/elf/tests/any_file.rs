//! Whatever a file says, loading it ends with a result that keeps its promises.

mod build;
mod target;

use build::{Elf, Phdr};
use proptest::prelude::*;

/// Small numbers, powers of two, and their neighbours, besides any number.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        3 => (0u64..64).prop_map(|page| page * 0x1000),
        1 => 0u64..0x3000,
        1 => (0u32..64, -1i64..=1).prop_map(|(bit, by)| (1u64 << bit).wrapping_add_signed(by)),
        1 => any::<u64>(),
    ]
}

fn phdr() -> impl Strategy<Value = Phdr> {
    let kind = prop_oneof![
        6 => Just(build::LOAD),
        1 => Just(build::INTERP),
        1 => Just(build::GNU_STACK),
        1 => any::<u32>(),
    ];
    (
        kind,
        0u32..8,
        number(),
        number(),
        number(),
        number(),
        number(),
    )
        .prop_map(|(kind, flags, offset, vaddr, filesz, memsz, align)| Phdr {
            kind,
            flags,
            offset,
            vaddr,
            filesz,
            memsz,
            align,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_headers(
        is_fixed in any::<bool>(),
        is_interpreted in any::<bool>(),
        entry in number(),
        phdrs in proptest::collection::vec(phdr(), 0..6),
        keep_text in any::<bool>(),
        len in 0usize..0x3000,
    ) {
        let mut elf = Elf::new(if is_fixed { build::EXEC } else { build::DYN }, 0x10000);
        if is_interpreted {
            elf = elf.interpreter("/ld.so");
        }
        if keep_text {
            elf.phdrs.extend(phdrs);
        } else {
            (elf.phdrs, elf.entry) = (phdrs, entry);
        }
        let mut bytes = elf.to_bytes();
        bytes.truncate(len);
        let result = target::run(&bytes, None);
        prop_assert!(result.is_ok(), "{result:?}");

        // Mapped or copied, the result is the same.
        let bytes = elf.to_bytes();
        let copied = target::run(&bytes, None);
        prop_assert!(copied.is_ok(), "{copied:?}");
        let source = target::Source::new().unwrap();
        prop_assert_eq!(copied, target::run(&bytes, Some(&source)));
    }

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300), head in 0usize..3) {
        let head: &[u8] = [b"".as_slice(), b"#!", b"\x7fELF\x02\x01"][head];
        let bytes = [head, &bytes].concat();
        let result = target::run(&bytes, None);
        prop_assert!(result.is_ok(), "{result:?}");
    }
}
