//! Where a program's parts end up, as /proc/self/maps would show it.

mod build;

use build::{DYN, EXEC, Elf, GNU_STACK, R, W, X, load};
use rivix_abi::{Errno, UserAddress};
use rivix_elf::{AuxInputs, ExecFile, LoadError, LoadRequest, Loaded, MemoryFile};
use rivix_mem::{AddressSpace, MappingInfo, MemConfig, MemLimits, Prot};
use std::sync::Arc;

const TASK_SIZE: u64 = 1 << 38;

fn lookup(path: &[u8]) -> Result<Arc<dyn ExecFile>, Errno> {
    match path {
        b"/ld.so" => Ok(Arc::new(MemoryFile::new(
            "/ld.so",
            Elf::new(DYN, 0).to_bytes(),
        ))),
        _ => Err(Errno::ENOENT),
    }
}

fn load_into(mm: &AddressSpace, elf: &Elf) -> Loaded {
    try_load(mm, elf).unwrap()
}

fn try_load(mm: &AddressSpace, elf: &Elf) -> Result<Loaded, LoadError> {
    let request = LoadRequest {
        program: Arc::new(MemoryFile::new("prog", elf.to_bytes())),
        execfn: b"prog".to_vec(),
        argv: vec![b"prog".to_vec()],
        envp: Vec::new(),
        lookup: &mut lookup,
        task_size: mm.task_size(),
        stack_limit: 8 << 20,
    };
    rivix_elf::load(request, mm, &AuxInputs::default())
}

fn fresh() -> Arc<AddressSpace> {
    let mm = AddressSpace::new(&MemConfig::default()).unwrap();
    assert_eq!(mm.task_size(), TASK_SIZE);
    mm
}

/// Lines of `start-end perms name`.
fn maps(mm: &AddressSpace) -> Vec<String> {
    let line = |mapping: MappingInfo| {
        let bit = |flag, letter| {
            if mapping.prot.contains(flag) {
                letter
            } else {
                '-'
            }
        };
        let perms: String = [
            bit(Prot::READ, 'r'),
            bit(Prot::WRITE, 'w'),
            bit(Prot::EXEC, 'x'),
        ]
        .iter()
        .collect();
        let name = String::from_utf8_lossy(&mapping.name);
        let line = format!(
            "{:x}-{:x} {perms} {name}",
            mapping.range.start, mapping.range.end
        );
        line.trim_end().to_owned()
    };
    mm.mappings().into_iter().map(line).collect()
}

fn check(elf: &Elf, expect: &[&str]) -> Loaded {
    let mm = fresh();
    let loaded = load_into(&mm, elf);
    assert_eq!(maps(&mm), expect);
    loaded
}

// The area for mappings ends 128 MiB below the top; the stack begins with what
// it holds and 128 KiB more.

const VDSO: &str = "3ff7fff000-3ff8000000 r-x [vdso]";
const STACK: &str = "3ffffcf000-3fffff0000 rw- [stack]";

#[test]
fn fixed() {
    let elf = Elf::new(EXEC, 0x10000);
    let loaded = check(&elf, &["10000-12000 r-x", "12000-15000 rw-", VDSO, STACK]);
    assert_eq!((loaded.entry, loaded.load_bias), (0x11000, 0));
    assert_eq!(loaded.brk_start, 0x15000);
    assert_eq!(
        (loaded.code, loaded.data),
        (0x10000..0x11100, 0x12000..0x12100)
    );
    assert_eq!(loaded.vdso, 0x3f_f7ff_f000);
}

#[test]
fn static_pie() {
    let elf = Elf::new(DYN, 0);
    let loaded = check(
        &elf,
        &[
            "3ff7ffa000-3ff7ffb000 r-x [vdso]",
            "3ff7ffb000-3ff7ffd000 r-x",
            "3ff7ffd000-3ff8000000 rw-",
            STACK,
        ],
    );
    assert_eq!(loaded.entry, 0x3f_f7ff_c000);
    // Far from the mappings: two thirds up.
    assert_eq!(loaded.brk_start, 0x2a_aaaa_a000);
}

#[test]
fn dynamic() {
    let loaded = check(
        &Elf::new(DYN, 0).interpreter("/ld.so"),
        &[
            "2aaaaaa000-2aaaaac000 r-x",
            "2aaaaac000-2aaaaaf000 rw-",
            "3ff7ffa000-3ff7ffb000 r-x [vdso]",
            "3ff7ffb000-3ff7ffd000 r-x",
            "3ff7ffd000-3ff8000000 rw-",
            STACK,
        ],
    );
    assert_eq!(loaded.load_bias, 0x2a_aaaa_a000);
    assert_eq!(loaded.entry, 0x3f_f7ff_c000);
    assert_eq!(loaded.brk_start, 0x2a_aaaa_f000);
    let auxv: Vec<u64> = loaded
        .auxv
        .chunks_exact(8)
        .map(|word| u64::from_le_bytes(word.try_into().unwrap()))
        .collect();
    let value = |key| {
        auxv.chunks_exact(2)
            .find(|pair| pair[0] == key)
            .map(|pair| pair[1])
    };
    use rivix_elf::auxv::key;
    assert_eq!(value(key::PHDR), Some(0x2a_aaaa_a040));
    assert_eq!(value(key::BASE), Some(0x3f_f7ff_b000));
    assert_eq!(value(key::ENTRY), Some(0x2a_aaaa_b000));
    assert_eq!(value(key::SYSINFO_EHDR), Some(loaded.vdso));
}

#[test]
fn alignment_is_honoured() {
    for kind in [Elf::new(DYN, 0), Elf::new(DYN, 0).interpreter("/ld.so")] {
        for shift in [13, 16, 21, 30] {
            let mut elf = kind.clone();
            elf.phdrs
                .iter_mut()
                .for_each(|phdr| phdr.align = 1 << shift);
            let loaded = load_into(&fresh(), &elf);
            assert_eq!(loaded.load_bias % (1 << shift), 0, "{shift}");
        }
        // More than the address space can give.
        let mut elf = kind.clone();
        elf.phdrs.iter_mut().for_each(|phdr| phdr.align = 1 << 63);
        load_into(&fresh(), &elf);
    }
}

#[test]
fn stack_permission() {
    let mut elf = Elf::new(EXEC, 0x10000);
    elf.phdrs
        .iter_mut()
        .filter(|phdr| phdr.kind == GNU_STACK)
        .for_each(|phdr| phdr.flags |= X);
    let stack = STACK.replace("rw-", "rwx");
    check(&elf, &["10000-12000 r-x", "12000-15000 rw-", VDSO, &stack]);
}

#[test]
fn segments_that_share_a_page() {
    // Text ends and data begins in one page, each mapped from its own place.
    let mut elf = Elf::new(EXEC, 0x10000);
    elf.phdrs[0] = load(R | X, 0, 0x10000, 0x1800, 0x1800);
    elf.phdrs[1] = load(R | W, 0x1800, 0x11800, 0x200, 0x2000);
    let mm = fresh();
    load_into(&mm, &elf);
    assert_eq!(
        maps(&mm),
        ["10000-11000 r-x", "11000-14000 rw-", VDSO, STACK]
    );
    let mut word = [0; 4];
    mm.read_bytes(UserAddress(0x11000), &mut word).unwrap();
    assert_eq!(u32::from_le_bytes(word), build::CODE[0]);
}

#[test]
fn zeroed_tails() {
    let elf = Elf::new(EXEC, 0x10000);
    let mm = fresh();
    load_into(&mm, &elf);
    let mut data = vec![1; 0x3000];
    mm.read_bytes(UserAddress(0x12000), &mut data).unwrap();
    assert!(data[..0x100].iter().all(|&byte| byte == 0xda));
    assert!(data[0x100..].iter().all(|&byte| byte == 0));
}

#[test]
fn the_stack_wins() {
    let mut elf = Elf::new(EXEC, 0x10000);
    elf.phdrs
        .push(load(R | W, 0, TASK_SIZE - 0x11000, 0, 0x1000));
    let error = try_load(&fresh(), &elf).unwrap_err();
    assert_eq!(error.errno(), Errno::EEXIST);
    assert!(
        error
            .to_string()
            .contains("zeroed data (0x1000 bytes at 0x3ffffef000)"),
        "{error}"
    );
}

#[test]
fn limits_are_kept() {
    let limits = MemLimits {
        as_: 1 << 20,
        ..MemLimits::default()
    };
    let mm = AddressSpace::new(&MemConfig {
        limits,
        ..MemConfig::default()
    })
    .unwrap();
    let mut elf = Elf::new(EXEC, 0x10000);
    elf.phdrs[1].memsz = 1 << 20;
    let error = try_load(&mm, &elf).unwrap_err();
    assert_eq!(error.errno(), Errno::ENOMEM);
}
