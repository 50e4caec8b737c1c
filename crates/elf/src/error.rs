//! Why a program could not be loaded.
//!
//! The errno is what execve(2) answers the guest; the sentence is for the
//! person who typed the command: what is wrong with which file, and the remedy.

use rivix_abi::Errno;
use std::fmt;

/// A program that cannot be loaded: which file, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError {
    /// The file at fault, as it was named: the program, or the interpreter.
    pub file: String,
    pub problem: Problem,
}

impl LoadError {
    pub fn new(file: impl Into<String>, problem: Problem) -> LoadError {
        LoadError {
            file: file.into(),
            problem,
        }
    }

    /// What execve(2) returns.
    pub fn errno(&self) -> Errno {
        self.problem.errno()
    }

    /// True when the file is a program, but not one for riscv64 Linux: the
    /// case in which a hint on stderr helps the person watching a guest.
    pub fn is_foreign_program(&self) -> bool {
        matches!(
            self.problem,
            Problem::WrongClass | Problem::BigEndian | Problem::WrongMachine { .. }
        )
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.problem)
    }
}

impl std::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.problem)
    }
}

/// What is wrong with one program header, or with what it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SegmentFault {
    #[error("its size in the file exceeds its size in memory; the file is damaged")]
    FileLargerThanMemory,
    #[error("its range wraps around; the file is damaged")]
    Wraps,
    #[error(
        "it ends beyond the guest's address space of {task_size:#x} bytes; \
         link the program at lower addresses"
    )]
    BeyondWindow { task_size: u64 },
    #[error(
        "its file offset and its address differ within a page; link the program for 4 KiB pages"
    )]
    Incongruent,
    #[error("it overlaps program header {other}; the file is damaged: link the program again")]
    Overlaps { other: usize },
    #[error("its bytes lie beyond the end of the file, which has {file_len} bytes; copy it again")]
    BeyondFile { file_len: u64 },
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("the file is empty; give a riscv64 Linux program")]
    Empty,
    #[error(
        "not an ELF program and not a script that begins with #!; \
         give a riscv64 Linux program, or run it with a guest shell"
    )]
    NotElf,
    #[error(
        "the #! line names no interpreter within its first 255 bytes; \
         write a path after #!"
    )]
    BadScript,
    #[error("more than 5 scripts name each other as interpreters; end the chain with a program")]
    ScriptDepth,
    #[error("the file ends inside its {what} ({need} bytes needed, {have} there); copy it again")]
    Truncated {
        what: &'static str,
        need: u64,
        have: u64,
    },
    #[error("a 32-bit ELF program; only 64-bit RISC-V runs here: build it for riscv64")]
    WrongClass,
    #[error("a big-endian ELF program; only little-endian RISC-V runs here: build it for riscv64")]
    BigEndian,
    #[error(
        "an ELF program for {} (machine {machine}), not for riscv64; \
         build it with a riscv64 compiler, e.g. riscv64-linux-gnu-gcc -static",
        machine_name(*machine)
    )]
    WrongMachine { machine: u16 },
    #[error("{} (ELF type {kind}), not a program; {}", type_name(*kind), type_remedy(*kind))]
    WrongType { kind: u16 },
    #[error("its program headers are {size} bytes each instead of 56; the file is damaged")]
    ProgramHeaderSize { size: u16 },
    #[error(
        "{count} program headers; there must be between 1 and 1170 (64 KiB of them): \
         the file is damaged"
    )]
    ProgramHeaderCount { count: u16 },
    #[error("no loadable segment; the file is damaged or was stripped too far")]
    NothingToLoad,
    #[error("program header {index} ({size:#x} bytes at {vaddr:#x}) cannot be loaded: {fault}")]
    Segment {
        index: usize,
        vaddr: u64,
        size: u64,
        fault: SegmentFault,
    },
    #[error(
        "the entry point {entry:#x} lies in no executable segment; \
         link the program with an entry symbol (_start)"
    )]
    EntryOutside { entry: u64 },
    #[error("its PT_INTERP header does not hold a path; the file is damaged")]
    BadInterpreterPath,
    #[error(
        "needs the program interpreter {path}, which could not be opened: {errno}; \
         point --root at a directory that holds it (Debian: /usr/riscv64-linux-gnu), \
         or link the program with -static"
    )]
    InterpreterMissing { path: String, errno: Errno },
    #[error("its script interpreter {path} could not be opened: {errno}; correct its #! line")]
    ScriptInterpreterMissing { path: String, errno: Errno },
    #[error("cannot serve as the program interpreter of another program: {0}")]
    BadInterpreter(Box<Problem>),
    #[error(
        "the arguments and the environment exceed {limit} bytes; pass fewer or raise the stack limit"
    )]
    ArgumentsTooBig { limit: u64 },
    #[error("one argument or environment string of {len} bytes exceeds 131072; shorten it")]
    ArgumentTooLong { len: u64 },
    #[error("could not read its {what}: {errno}; check that the file can be read whole")]
    Read { what: &'static str, errno: Errno },
    #[error(
        "could not map its {what} ({len:#x} bytes at {addr:#x}): {errno}; {}",
        map_remedy(*errno)
    )]
    Map {
        what: &'static str,
        addr: u64,
        len: u64,
        errno: Errno,
    },
}

impl Problem {
    pub fn errno(&self) -> Errno {
        match self {
            Problem::Empty
            | Problem::NotElf
            | Problem::BadScript
            | Problem::Truncated { .. }
            | Problem::WrongClass
            | Problem::BigEndian
            | Problem::WrongMachine { .. }
            | Problem::WrongType { .. }
            | Problem::ProgramHeaderSize { .. }
            | Problem::ProgramHeaderCount { .. }
            | Problem::BadInterpreterPath => Errno::ENOEXEC,
            Problem::ScriptDepth => Errno::ELOOP,
            // Linux finds these after the old program is gone and kills the
            // process; EINVAL is what its loader computes.
            Problem::NothingToLoad | Problem::EntryOutside { .. } => Errno::EINVAL,
            Problem::Segment { fault, .. } => match fault {
                SegmentFault::FileLargerThanMemory
                | SegmentFault::Wraps
                | SegmentFault::Incongruent => Errno::EINVAL,
                SegmentFault::BeyondWindow { .. } => Errno::ENOMEM,
                SegmentFault::Overlaps { .. } | SegmentFault::BeyondFile { .. } => Errno::ENOEXEC,
            },
            Problem::InterpreterMissing { errno, .. }
            | Problem::ScriptInterpreterMissing { errno, .. }
            | Problem::Read { errno, .. }
            | Problem::Map { errno, .. } => *errno,
            Problem::BadInterpreter(problem) => match **problem {
                // The kernel's whole-header read comes up short.
                Problem::Empty
                | Problem::Truncated {
                    what: "ELF header", ..
                } => Errno::EIO,
                ref other if other.errno() == Errno::ENOEXEC => Errno::ELIBBAD,
                ref other => other.errno(),
            },
            Problem::ArgumentsTooBig { .. } | Problem::ArgumentTooLong { .. } => Errno::E2BIG,
        }
    }
}

/// The machines a person is likely to meet, by e_machine.
pub fn machine_name(machine: u16) -> &'static str {
    match machine {
        0 => "no machine",
        2 => "SPARC",
        3 => "x86",
        8 => "MIPS",
        20 => "PowerPC",
        21 => "PowerPC 64",
        22 => "S/390",
        40 => "ARM",
        43 => "SPARC 64",
        62 => "x86-64",
        183 => "AArch64",
        243 => "RISC-V",
        247 => "BPF",
        258 => "LoongArch",
        _ => "another machine",
    }
}

fn map_remedy(errno: Errno) -> &'static str {
    match errno {
        Errno::EEXIST => "something else lies there: link the program at other addresses",
        Errno::EPERM => "the lowest addresses are never mapped: link the program at higher ones",
        Errno::ENOMEM | Errno::EAGAIN => "allow it more memory, or run fewer programs at once",
        Errno::EACCES => "the file's mount forbids it: put it elsewhere",
        _ => "the file may have changed while it was loaded: try again",
    }
}

fn type_name(kind: u16) -> &'static str {
    match kind {
        1 => "a relocatable object file",
        4 => "a core dump",
        _ => "an ELF file of unknown type",
    }
}

fn type_remedy(kind: u16) -> &'static str {
    match kind {
        1 => "link it first",
        4 => "open it with a debugger",
        _ => "the file is damaged",
    }
}
