//! A description of a program for people: `rivix info PROG`.
//!
//! Unlike the loader this looks at a file of any kind, and goes on where the
//! loader would stop.

use crate::error::{LoadError, Problem, machine_name};
use crate::file::{self, ExecFile};
use crate::image::{self, Outline, ProgramHeader, elf_type, segment_flag, segment_type};
use crate::script::{self, Script};
use rivix_abi::Errno;
use std::fmt;
use std::sync::Arc;

/// At most so many bytes of dynamic section, names and attributes are read.
const TABLE_MAX: u64 = 64 << 10;
/// At most so many needed libraries are listed.
const NEEDED_MAX: usize = 256;

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    pub file: String,
    pub len: u64,
    pub kind: Kind,
    /// Why it would not be loaded, if so. None for scripts: their interpreter
    /// decides.
    pub refusal: Option<LoadError>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Elf(Box<ElfInfo>),
    Script(Script),
    /// ELF for other machines, or no program at all.
    Foreign,
}

/// What the headers of a riscv64 ELF file say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElfInfo {
    pub linkage: &'static str,
    pub entry: u64,
    pub flags: u32,
    pub segments: Vec<SegmentInfo>,
    pub interpreter: Option<String>,
    pub needed: Vec<String>,
    /// The extensions it was compiled for, as its attributes name them.
    pub isa: Option<String>,
    pub exec_stack: bool,
}

/// One PT_LOAD header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    pub vaddr: u64,
    pub file_offset: u64,
    pub file_size: u64,
    pub mem_size: u64,
    pub flags: u32,
    pub align: u64,
}

/// Describes `file`. `task_size`: the address space it would get. An error
/// only when the file cannot be read.
pub fn inspect(file: &Arc<dyn ExecFile>, task_size: u64) -> Result<Info, LoadError> {
    let name = file.name();
    let mut head = [0; script::HEAD_LEN];
    let len = match file::read_full(&**file, &mut head, 0) {
        Ok(Ok(())) => head.len(),
        Ok(Err(len)) => usize::try_from(len).unwrap_or(0),
        Err(errno) => {
            return Err(LoadError::new(
                name,
                Problem::Read {
                    what: "first bytes",
                    errno,
                },
            ));
        }
    };
    let head = head.get(..len).unwrap_or(&head);
    if script::is_script(head) {
        let (kind, refusal) = match script::parse(head) {
            Some(script) => (Kind::Script(script), None),
            None => (
                Kind::Foreign,
                Some(LoadError::new(name.clone(), Problem::BadScript)),
            ),
        };
        return Ok(Info {
            file: name,
            len: file.len(),
            kind,
            refusal,
        });
    }
    let refusal = Outline::read(file)
        .and_then(|outline| outline.into_image(task_size))
        .err();
    let kind = match image::read_header(&**file) {
        Ok(header) => {
            let headers = image::read_program_headers(&**file, &header).unwrap_or_default();
            Kind::Elf(Box::new(describe(&**file, &header, &headers)))
        }
        Err(_) => Kind::Foreign,
    };
    Ok(Info {
        file: name,
        len: file.len(),
        kind,
        refusal,
    })
}

fn describe(file: &dyn ExecFile, header: &image::Header, headers: &[ProgramHeader]) -> ElfInfo {
    let find = |kind| headers.iter().find(|header| header.kind == kind);
    let loads = || {
        headers
            .iter()
            .filter(|header| header.kind == segment_type::LOAD)
    };
    let interpreter = find(segment_type::INTERP)
        .and_then(|header| image::read_interpreter(file, header).ok())
        .map(|path| String::from_utf8_lossy(&path).into_owned());
    let dynamic = find(segment_type::DYNAMIC);
    let linkage = match header.kind {
        elf_type::REL => "relocatable object",
        elf_type::CORE => "core dump",
        elf_type::EXEC if interpreter.is_some() => "dynamic",
        elf_type::EXEC => "static",
        elf_type::DYN if interpreter.is_some() => "dynamic, position-independent",
        elf_type::DYN if header.entry != 0 => "static, position-independent",
        elf_type::DYN => "shared library",
        _ => "unknown type",
    };
    ElfInfo {
        linkage,
        entry: header.entry,
        flags: header.flags,
        segments: loads()
            .map(|header| SegmentInfo {
                vaddr: header.vaddr,
                file_offset: header.offset,
                file_size: header.filesz,
                mem_size: header.memsz,
                flags: header.flags,
                align: header.align,
            })
            .collect(),
        interpreter,
        needed: dynamic
            .map(|dynamic| needed(file, headers, dynamic))
            .unwrap_or_default(),
        isa: find(segment_type::RISCV_ATTRIBUTES)
            .and_then(|header| read_some(file, header.offset, header.filesz).ok())
            .and_then(|bytes| isa_attribute(&bytes)),
        exec_stack: find(segment_type::GNU_STACK)
            .is_some_and(|header| header.flags & segment_flag::X != 0),
    }
}

/// Up to [`TABLE_MAX`] bytes; fewer where the file ends.
fn read_some(file: &dyn ExecFile, offset: u64, len: u64) -> Result<Vec<u8>, Errno> {
    let len = usize::try_from(len.min(TABLE_MAX)).unwrap_or(0);
    let mut bytes = vec![0; len];
    if let Err(have) = file::read_full(file, &mut bytes, offset)? {
        bytes.truncate(usize::try_from(have).unwrap_or(0));
    }
    Ok(bytes)
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

/// The DT_NEEDED names.
fn needed(file: &dyn ExecFile, headers: &[ProgramHeader], dynamic: &ProgramHeader) -> Vec<String> {
    const DT_NULL: u64 = 0;
    const DT_NEEDED: u64 = 1;
    const DT_STRTAB: u64 = 5;

    let Ok(table) = read_some(file, dynamic.offset, dynamic.filesz) else {
        return Vec::new();
    };
    let pairs: Vec<(u64, u64)> = table
        .chunks_exact(16)
        .filter_map(|pair| Some((word(pair, 0)?, word(pair, 8)?)))
        .take_while(|pair| pair.0 != DT_NULL)
        .collect();
    let strings = pairs.iter().find(|pair| pair.0 == DT_STRTAB);
    let Some(strings) = strings.and_then(|pair| file_offset(headers, pair.1)) else {
        return Vec::new();
    };
    pairs
        .iter()
        .filter(|pair| pair.0 == DT_NEEDED)
        .take(NEEDED_MAX)
        .filter_map(|pair| {
            let bytes = read_some(file, strings.checked_add(pair.1)?, 256).ok()?;
            let len = bytes.iter().position(|&byte| byte == 0)?;
            Some(String::from_utf8_lossy(bytes.get(..len)?).into_owned())
        })
        .collect()
}

/// Where in the file the byte at `vaddr` lies.
fn file_offset(headers: &[ProgramHeader], vaddr: u64) -> Option<u64> {
    headers
        .iter()
        .filter(|header| header.kind == segment_type::LOAD)
        .find_map(|header| {
            let inside = vaddr.checked_sub(header.vaddr)?;
            (inside < header.filesz)
                .then(|| header.offset.checked_add(inside))
                .flatten()
        })
}

/// Tag_RISCV_arch from an attributes section (RISC-V psABI, "Attributes").
fn isa_attribute(bytes: &[u8]) -> Option<String> {
    const TAG_FILE: u64 = 1;
    const TAG_ARCH: u64 = 5;

    let mut rest = bytes
        .strip_prefix(b"A")?
        .get(4..)?
        .strip_prefix(b"riscv\0")?;
    // One sub-section: its tag, its length (counted from the tag), attributes.
    if uleb(&mut rest)? != TAG_FILE {
        return None;
    }
    rest = rest.get(4..)?;
    while !rest.is_empty() {
        let tag = uleb(&mut rest)?;
        // Odd tags have strings, even ones numbers.
        if tag % 2 == 0 {
            uleb(&mut rest)?;
            continue;
        }
        let len = rest.iter().position(|&byte| byte == 0)?;
        if tag == TAG_ARCH {
            return Some(String::from_utf8_lossy(rest.get(..len)?).into_owned());
        }
        rest = rest.get(len + 1..)?;
    }
    None
}

fn uleb(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..63).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

impl fmt::Display for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} bytes", self.file, self.len)?;
        match &self.kind {
            Kind::Elf(elf) => write!(f, "{elf}")?,
            Kind::Script(script) => {
                writeln!(f, "kind:         script")?;
                let name = String::from_utf8_lossy(&script.interpreter);
                writeln!(f, "interpreter:  {name}")?;
                if let Some(argument) = &script.argument {
                    writeln!(f, "its argument: {}", String::from_utf8_lossy(argument))?;
                }
            }
            Kind::Foreign => {}
        }
        let verdict = match (&self.refusal, &self.kind) {
            (Some(refusal), _) => format!("would refuse it: {}", refusal.problem),
            (None, Kind::Script(_)) => "would run its interpreter, found in the guest".to_owned(),
            (None, Kind::Elf(elf)) => match &elf.interpreter {
                Some(path) => format!("would run it if {path} is found in the guest (--root)"),
                None => "would run it".to_owned(),
            },
            (None, Kind::Foreign) => "would refuse it".to_owned(),
        };
        writeln!(f, "rivix:        {verdict}")
    }
}

impl fmt::Display for ElfInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machine = machine_name(image::elf_machine::RISCV);
        writeln!(
            f,
            "kind:         ELF, 64-bit, little-endian, {machine}, {}",
            self.linkage
        )?;
        writeln!(f, "entry:        {:#x}", self.entry)?;
        writeln!(f, "ABI:          {}", float_abi(self.flags))?;
        if let Some(isa) = &self.isa {
            writeln!(f, "built for:    {isa}")?;
        }
        for segment in &self.segments {
            let flag = |bit, letter| {
                if segment.flags & bit != 0 {
                    letter
                } else {
                    '-'
                }
            };
            writeln!(
                f,
                "segment:      {:#012x} {}{}{} {:#x} bytes, {:#x} from the file at {:#x}, align {:#x}",
                segment.vaddr,
                flag(segment_flag::R, 'r'),
                flag(segment_flag::W, 'w'),
                flag(segment_flag::X, 'x'),
                segment.mem_size,
                segment.file_size,
                segment.file_offset,
                segment.align,
            )?;
        }
        if self.exec_stack {
            writeln!(f, "stack:        executable")?;
        }
        if let Some(path) = &self.interpreter {
            writeln!(f, "interpreter:  {path}")?;
        }
        for library in &self.needed {
            writeln!(f, "needs:        {library}")?;
        }
        Ok(())
    }
}

/// e_flags (RISC-V psABI, "File header").
fn float_abi(flags: u32) -> String {
    let float = match flags >> 1 & 3 {
        0 => "lp64 (soft float)",
        1 => "lp64f (single float)",
        2 => "lp64d (double float)",
        _ => "lp64q (quad float)",
    };
    let mut text = float.to_owned();
    if flags & 1 != 0 {
        text.push_str(", compressed code");
    }
    if flags & 0x10 != 0 {
        text.push_str(", TSO memory order");
    }
    text
}
