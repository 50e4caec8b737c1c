//! Files the loader must refuse: the errno execve(2) gives, and a sentence that
//! names the thing.

mod build;

use build::{DYN, EXEC, Elf, GNU_STACK, INTERP, Phdr, R, W, X, load};
use rivix_abi::Errno;
use rivix_elf::{ExecFile, LoadError, LoadRequest, MemoryFile, Prepared, prepare};
use std::sync::Arc;

const TASK_SIZE: u64 = 1 << 38;
const STACK_LIMIT: u64 = 8 << 20;

fn memory(name: &str, bytes: Vec<u8>) -> Arc<dyn ExecFile> {
    Arc::new(MemoryFile::new(name, bytes))
}

/// Files that scripts and programs below name.
fn lookup(path: &[u8]) -> Result<Arc<dyn ExecFile>, Errno> {
    let name = std::str::from_utf8(path).unwrap();
    let bytes = match name {
        "/ld.so" => Elf::new(DYN, 0).to_bytes(),
        "/empty" => Vec::new(),
        "/text" => b"hello".to_vec(),
        "/script" => b"#!/ld.so\n".to_vec(),
        "/loop" => b"#!/loop\n".to_vec(),
        "/x86" => Elf {
            machine: 62,
            ..Elf::new(DYN, 0)
        }
        .to_bytes(),
        "/secret" => return Err(Errno::EACCES),
        _ => return Err(Errno::ENOENT),
    };
    Ok(memory(name, bytes))
}

fn try_prepare(bytes: Vec<u8>, argv: Vec<Vec<u8>>) -> Result<Prepared, LoadError> {
    prepare(LoadRequest {
        program: memory("prog", bytes),
        execfn: b"./prog".to_vec(),
        argv,
        envp: vec![b"A=1".to_vec()],
        lookup: &mut lookup,
        task_size: TASK_SIZE,
        stack_limit: STACK_LIMIT,
    })
}

fn check(bytes: Vec<u8>, errno: Errno, says: &str) {
    let error = match try_prepare(bytes, vec![b"prog".to_vec()]) {
        Ok(prepared) => panic!("accepted, expected {errno}: {says}: {prepared:?}"),
        Err(error) => error,
    };
    let text = error.to_string();
    assert_eq!(error.errno(), errno, "{text}");
    assert!(text.contains(says), "{text:?} should say {says:?}");
    assert!(
        text.starts_with("prog: ") || text.starts_with('/'),
        "{text:?} names no file"
    );
}

/// A valid program with one change.
fn check_elf(change: impl FnOnce(&mut Elf), errno: Errno, says: &str) {
    let mut elf = Elf::new(EXEC, 0x10000);
    change(&mut elf);
    check(elf.to_bytes(), errno, says);
}

fn accept(change: impl FnOnce(&mut Elf)) -> Prepared {
    let mut elf = Elf::new(EXEC, 0x10000);
    change(&mut elf);
    try_prepare(elf.to_bytes(), vec![b"prog".to_vec()]).unwrap()
}

#[test]
fn not_programs() {
    check(Vec::new(), Errno::ENOEXEC, "empty");
    check(b"\x7f".to_vec(), Errno::ENOEXEC, "not an ELF program");
    check(
        b"echo hello\n".to_vec(),
        Errno::ENOEXEC,
        "not an ELF program",
    );
    check(vec![0; 4096], Errno::ENOEXEC, "not an ELF program");
    check(
        b"\x7fELF".to_vec(),
        Errno::ENOEXEC,
        "64 bytes needed, 4 there",
    );
}

#[test]
fn headers() {
    check_elf(|elf| elf.class = 1, Errno::ENOEXEC, "32-bit");
    check_elf(|elf| elf.data = 2, Errno::ENOEXEC, "big-endian");
    check_elf(|elf| elf.machine = 62, Errno::ENOEXEC, "x86-64");
    check_elf(|elf| elf.machine = 183, Errno::ENOEXEC, "AArch64");
    check_elf(
        |elf| (elf.machine, elf.class) = (40, 1),
        Errno::ENOEXEC,
        "ARM",
    );
    check_elf(
        |elf| (elf.machine, elf.data) = (22, 2),
        Errno::ENOEXEC,
        "S/390",
    );
    check_elf(|elf| elf.machine = 9999, Errno::ENOEXEC, "machine 9999");
    check_elf(|elf| elf.kind = 1, Errno::ENOEXEC, "link it first");
    check_elf(|elf| elf.kind = 4, Errno::ENOEXEC, "core dump");
    check_elf(|elf| elf.kind = 0xfe00, Errno::ENOEXEC, "unknown type");
    check_elf(|elf| elf.phentsize = 57, Errno::ENOEXEC, "57 bytes each");
    check_elf(|elf| elf.phentsize = 0, Errno::ENOEXEC, "0 bytes each");
    check_elf(
        |elf| elf.phnum = Some(0),
        Errno::ENOEXEC,
        "0 program headers",
    );
    check_elf(
        |elf| elf.phnum = Some(1171),
        Errno::ENOEXEC,
        "1171 program headers",
    );
    check_elf(
        |elf| elf.phnum = Some(0xffff),
        Errno::ENOEXEC,
        "65535 program headers",
    );
    check_elf(
        |elf| elf.phnum = Some(1000),
        Errno::ENOEXEC,
        "ends inside its program headers",
    );
    check_elf(
        |elf| elf.phoff = 1 << 40,
        Errno::ENOEXEC,
        "ends inside its program headers",
    );
    check_elf(
        |elf| elf.phoff = u64::MAX - 8,
        Errno::ENOEXEC,
        "ends inside its program headers",
    );
    let bytes = Elf::new(EXEC, 0x10000).to_bytes();
    check(
        bytes[..60].to_vec(),
        Errno::ENOEXEC,
        "ends inside its ELF header",
    );
    check(
        bytes[..100].to_vec(),
        Errno::ENOEXEC,
        "ends inside its program headers",
    );
    // As many as Linux reads.
    accept(|elf| {
        let filler = Phdr {
            kind: 0,
            ..load(0, 0, 0, 0, 0)
        };
        (elf.phoff, elf.phdrs) = (0x2100, [elf.phdrs.clone(), vec![filler; 1167]].concat());
    });
}

#[test]
fn segments() {
    check_elf(
        |elf| elf.phdrs.truncate(0),
        Errno::ENOEXEC,
        "0 program headers",
    );
    check_elf(
        |elf| elf.phdrs.drain(..2).for_each(drop),
        Errno::EINVAL,
        "no loadable segment",
    );
    check_elf(
        |elf| elf.phdrs[0].memsz = 0x1000,
        Errno::EINVAL,
        "exceeds its size in memory",
    );
    check_elf(
        |elf| elf.phdrs[1].memsz = u64::MAX,
        Errno::EINVAL,
        "wraps around",
    );
    check_elf(
        |elf| elf.phdrs[1].memsz = TASK_SIZE,
        Errno::ENOMEM,
        "beyond the guest's",
    );
    check_elf(
        |elf| elf.phdrs[1].vaddr = TASK_SIZE,
        Errno::ENOMEM,
        "beyond the guest's",
    );
    check_elf(
        |elf| elf.phdrs[1].vaddr = TASK_SIZE - 0x2000,
        Errno::ENOMEM,
        "beyond the guest's",
    );
    check_elf(
        |elf| elf.phdrs[1].vaddr = u64::MAX - 0xfff,
        Errno::EINVAL,
        "wraps around",
    );
    check_elf(
        |elf| elf.phdrs[1].vaddr += 8,
        Errno::EINVAL,
        "differ within a page",
    );
    check_elf(
        |elf| elf.phdrs[1].offset = 0x5000,
        Errno::ENOEXEC,
        "beyond the end of the file",
    );
    check_elf(
        |elf| elf.phdrs[1].offset = !0xfff,
        Errno::ENOEXEC,
        "beyond the end of the file",
    );
    check_elf(
        |elf| elf.phdrs[1].filesz = 0x1001,
        Errno::ENOEXEC,
        "beyond the end of the file",
    );
    check_elf(
        |elf| elf.phdrs[1].vaddr = 0x11000,
        Errno::ENOEXEC,
        "overlaps program header 0",
    );
    check_elf(
        |elf| elf.phdrs.push(elf.phdrs[0].clone()),
        Errno::ENOEXEC,
        "overlaps program header 0",
    );
    let far = |elf: &mut Elf| {
        elf.kind = DYN;
        elf.phdrs[1].vaddr = 1 << 50;
    };
    check_elf(far, Errno::ENOMEM, "beyond the guest's");
    // The rest of the last page is there, as zeroes.
    accept(|elf| elf.phdrs[1].filesz = 0x1000);
    accept(|elf| elf.phdrs[1].align = 3);
    accept(|elf| elf.phdrs.swap(0, 1));
    accept(|elf| elf.phdrs.push(load(R | W, 0, 0, 0, 0)));
    assert_eq!(
        accept(|elf| elf.phdrs[0].align = 1 << 63).program.align,
        1 << 63
    );
}

#[test]
fn entries() {
    check_elf(
        |elf| elf.entry = 0,
        Errno::EINVAL,
        "entry point 0x0 lies in no executable",
    );
    check_elf(|elf| elf.entry = 0x12000, Errno::EINVAL, "0x12000");
    check_elf(
        |elf| elf.entry = u64::MAX,
        Errno::EINVAL,
        "0xffffffffffffffff",
    );
    check_elf(
        |elf| elf.phdrs[0].flags = R,
        Errno::EINVAL,
        "no executable segment",
    );
    accept(|elf| elf.entry = 0x11ffe);
}

#[test]
fn interpreters() {
    let dynamic = |path: &str| Elf::new(EXEC, 0x10000).interpreter(path).to_bytes();
    check(
        dynamic("/none"),
        Errno::ENOENT,
        "/none, which could not be opened: ENOENT",
    );
    check(dynamic("/none"), Errno::ENOENT, "--root");
    check(dynamic("/secret"), Errno::EACCES, "/secret");
    check(dynamic("/empty"), Errno::EIO, "/empty: cannot serve");
    check(dynamic("/text"), Errno::EIO, "/text: cannot serve");
    check(dynamic("/script"), Errno::EIO, "/script: cannot serve");
    check(dynamic("/x86"), Errno::ELIBBAD, "x86-64");
    assert!(
        try_prepare(dynamic("/ld.so"), Vec::new())
            .unwrap()
            .interpreter
            .is_some()
    );

    let header = |change: fn(&mut Phdr)| {
        let mut elf = Elf::new(EXEC, 0x10000).interpreter("/ld.so");
        assert_eq!(elf.phdrs[0].kind, INTERP);
        change(&mut elf.phdrs[0]);
        elf.to_bytes()
    };
    check(
        header(|phdr| phdr.filesz = 1),
        Errno::ENOEXEC,
        "does not hold a path",
    );
    check(
        header(|phdr| phdr.filesz = 6),
        Errno::ENOEXEC,
        "does not hold a path",
    );
    check(
        header(|phdr| phdr.filesz = 4097),
        Errno::ENOEXEC,
        "does not hold a path",
    );
    check(
        header(|phdr| phdr.filesz = u64::MAX),
        Errno::ENOEXEC,
        "does not hold a path",
    );
    check(
        header(|phdr| phdr.offset = 1 << 30),
        Errno::EIO,
        "could not read",
    );
    check(
        header(|phdr| phdr.offset = u64::MAX),
        Errno::EINVAL,
        "could not read",
    );
}

#[test]
fn scripts() {
    check(b"#!".to_vec(), Errno::ENOEXEC, "names no interpreter");
    check(b"#!\n".to_vec(), Errno::ENOEXEC, "names no interpreter");
    check(b"#!/none\n".to_vec(), Errno::ENOENT, "/none");
    check(b"#!/loop\n".to_vec(), Errno::ELOOP, "more than 5 scripts");
    check(b"#!/text\n".to_vec(), Errno::ENOEXEC, "/text: not an ELF");

    let words = |list: &[&str]| list.iter().map(|text| text.as_bytes().to_vec()).collect();
    let script = b"#!/script -x  y\n".to_vec();
    let prepared = try_prepare(script, words(&["zero", "one", "two"])).unwrap();
    let expect: Vec<Vec<u8>> = words(&["/ld.so", "/script", "-x  y", "./prog", "one", "two"]);
    assert_eq!(prepared.argv, expect);
    assert_eq!(prepared.execfn, b"./prog");
    assert_eq!(prepared.file().name(), "/ld.so");
}

#[test]
fn arguments() {
    let program = || Elf::new(EXEC, 0x10000).to_bytes();
    let error = |argv| {
        let error = try_prepare(program(), argv).unwrap_err();
        (error.errno(), error.to_string())
    };
    let (errno, text) = error(vec![vec![b'x'; 131_072]]);
    assert_eq!(errno, Errno::E2BIG);
    assert!(text.contains("131073 bytes"), "{text}");
    assert!(try_prepare(program(), vec![vec![b'x'; 131_071]]).is_ok());

    // A quarter of the stack limit, pointers included.
    let (errno, text) = error(vec![vec![b'x'; 100_000]; 21]);
    assert_eq!(errno, Errno::E2BIG);
    assert!(text.contains("exceed 2097152 bytes"), "{text}");
    assert!(try_prepare(program(), vec![vec![b'x'; 100_000]; 20]).is_ok());
    assert_eq!(error(vec![Vec::new(); 240_000]).0, Errno::E2BIG);
    assert!(try_prepare(program(), vec![Vec::new(); 200_000]).is_ok());

    assert_eq!(try_prepare(program(), Vec::new()).unwrap().argv, [b""]);
}

#[test]
fn stack_permission() {
    assert!(!accept(|_| ()).program.exec_stack);
    assert!(!accept(|elf| elf.phdrs.truncate(2)).program.exec_stack);
    assert!(
        accept(|elf| {
            let stack = elf
                .phdrs
                .iter_mut()
                .find(|phdr| phdr.kind == GNU_STACK)
                .unwrap();
            stack.flags = R | W | X;
        })
        .program
        .exec_stack
    );
}
