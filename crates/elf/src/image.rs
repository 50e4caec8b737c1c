//! One ELF file, read and checked: all that mapping it needs.
//!
//! Everything here is claimed by the file. Sums are checked, counts bounded;
//! what the kernel would only notice while mapping is refused before.

use crate::error::{LoadError, Problem, SegmentFault};
use crate::file::{self, ExecFile};
use object::LittleEndian as LE;
use object::elf;
use rivix_abi::{Errno, PAGE_SIZE, page_ceil};
use std::ops::Range;
use std::sync::Arc;

pub(crate) const HEADER_LEN: usize = 64;
pub(crate) const PHDR_LEN: usize = 56;
/// Linux reads at most 64 KiB of program headers.
const PHDRS_MAX_BYTES: usize = 65536;
const PATH_MAX: u64 = 4096;

/// Where an image's addresses come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// ET_EXEC: the addresses in the file.
    Fixed,
    /// ET_DYN: wherever there is room.
    Anywhere,
}

/// One PT_LOAD header, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its place in the table, for messages.
    pub index: usize,
    pub vaddr: u64,
    pub file_offset: u64,
    pub file_size: u64,
    pub mem_size: u64,
    pub read: bool,
    pub write: bool,
    pub exec: bool,
}

impl Segment {
    /// Whole pages, relative to the load bias. The sums were checked.
    pub(crate) fn pages(&self) -> Range<u64> {
        let end = self.vaddr.saturating_add(self.mem_size);
        (self.vaddr & !(PAGE_SIZE - 1))..page_ceil(end).unwrap_or(u64::MAX)
    }
}

/// A checked ELF file.
pub struct Image {
    pub(crate) file: Arc<dyn ExecFile>,
    pub placement: Placement,
    pub entry: u64,
    pub phdr_count: u16,
    /// The address of the program headers, when a segment holds them.
    pub phdr_vaddr: Option<u64>,
    pub segments: Vec<Segment>,
    /// All segments' pages.
    pub span: Range<u64>,
    /// The largest alignment a segment asks for; a power of two, a page or more.
    pub align: u64,
    pub exec_stack: bool,
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Image")
            .field("file", &self.file.name())
            .field("placement", &self.placement)
            .field("entry", &self.entry)
            .field("segments", &self.segments)
            .finish_non_exhaustive()
    }
}

/// The file header, as far as its meaning does not depend on being loadable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) kind: u16,
    pub(crate) flags: u32,
    pub(crate) entry: u64,
    pub(crate) phoff: u64,
    pub(crate) phentsize: u16,
    pub(crate) phnum: u16,
}

/// One program header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProgramHeader {
    pub(crate) kind: u32,
    pub(crate) flags: u32,
    pub(crate) offset: u64,
    pub(crate) vaddr: u64,
    pub(crate) filesz: u64,
    pub(crate) memsz: u64,
    pub(crate) align: u64,
}

impl ProgramHeader {
    fn from_object(raw: &elf::ProgramHeader64<LE>) -> ProgramHeader {
        ProgramHeader {
            kind: raw.p_type.get(LE).0,
            flags: raw.p_flags.get(LE).0,
            offset: raw.p_offset.get(LE),
            vaddr: raw.p_vaddr.get(LE),
            filesz: raw.p_filesz.get(LE),
            memsz: raw.p_memsz.get(LE),
            align: raw.p_align.get(LE),
        }
    }
}

/// An ELF file whose headers were read; its segments are still to be checked.
pub(crate) struct Outline {
    file: Arc<dyn ExecFile>,
    placement: Placement,
    header: Header,
    headers: Vec<ProgramHeader>,
    /// The path in the first PT_INTERP header.
    pub(crate) interpreter: Option<Vec<u8>>,
}

impl Outline {
    pub(crate) fn read(file: &Arc<dyn ExecFile>) -> Result<Outline, LoadError> {
        Outline::check(file).map_err(|problem| LoadError::new(file.name(), problem))
    }

    fn check(file: &Arc<dyn ExecFile>) -> Result<Outline, Problem> {
        let header = read_header(&**file)?;
        let placement = match header.kind {
            elf_type::EXEC => Placement::Fixed,
            elf_type::DYN => Placement::Anywhere,
            kind => return Err(Problem::WrongType { kind }),
        };
        let headers = read_program_headers(&**file, &header)?;
        let interpreter = headers
            .iter()
            .find(|header| header.kind == segment_type::INTERP)
            .map(|header| read_interpreter(&**file, header))
            .transpose()?;
        let file = Arc::clone(file);
        Ok(Outline {
            file,
            placement,
            header,
            headers,
            interpreter,
        })
    }

    pub(crate) fn file_name(&self) -> String {
        self.file.name()
    }

    /// Checks the segments for a guest of `task_size` bytes.
    pub(crate) fn into_image(self, task_size: u64) -> Result<Image, LoadError> {
        let name = self.file.name();
        Image::check(self, task_size).map_err(|problem| LoadError::new(name, problem))
    }
}

impl Image {
    fn check(outline: Outline, task_size: u64) -> Result<Image, Problem> {
        let Outline {
            file,
            placement,
            header,
            headers,
            ..
        } = outline;
        let mut segments = Vec::new();
        let mut align = PAGE_SIZE;
        let mut exec_stack = false;
        for (index, header) in headers.iter().enumerate() {
            match header.kind {
                segment_type::LOAD => {
                    if header.align.is_power_of_two() {
                        align = align.max(header.align);
                    }
                    // A segment without bytes maps nothing.
                    if header.memsz == 0 && header.filesz == 0 {
                        continue;
                    }
                    segments.push(check_segment(
                        index,
                        header,
                        placement,
                        task_size,
                        file.len(),
                    )?);
                }
                segment_type::GNU_STACK => exec_stack = header.flags & segment_flag::X != 0,
                _ => {}
            }
        }
        check_overlap(&segments)?;
        let span = span_of(&segments, task_size)?;
        check_entry(header.entry, &segments)?;

        let phdr_vaddr = segments
            .iter()
            .find(|segment| {
                let end = segment.file_offset.saturating_add(segment.file_size);
                (segment.file_offset..end).contains(&header.phoff)
            })
            .and_then(|segment| {
                header
                    .phoff
                    .checked_sub(segment.file_offset)?
                    .checked_add(segment.vaddr)
            });

        Ok(Image {
            file,
            placement,
            entry: header.entry,
            phdr_count: header.phnum,
            phdr_vaddr,
            segments,
            span,
            align,
            exec_stack,
        })
    }

    /// Bytes of address space from the first page to the last.
    pub(crate) fn total_size(&self) -> u64 {
        self.span.end.saturating_sub(self.span.start)
    }
}

/// Reads the file header and tells what the file is when it is not a riscv64
/// ELF file.
pub(crate) fn read_header(file: &dyn ExecFile) -> Result<Header, Problem> {
    let what = "ELF header";
    let mut words = [0u64; HEADER_LEN / 8];
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
    let have = match file::read_full(file, bytes, 0) {
        Err(errno) => return Err(Problem::Read { what, errno }),
        Ok(Ok(())) => HEADER_LEN as u64,
        Ok(Err(have)) => have,
    };
    if have == 0 {
        return Err(Problem::Empty);
    }
    if bytes.get(..4) != Some(&elf::ELFMAG) {
        return Err(Problem::NotElf);
    }
    if have < HEADER_LEN as u64 {
        return Err(Problem::Truncated {
            what,
            need: HEADER_LEN as u64,
            have,
        });
    }
    let (raw, _) =
        object::pod::from_bytes::<elf::FileHeader64<LE>>(bytes).map_err(|()| Problem::NotElf)?;
    let ident = &raw.e_ident;

    // A foreign file first says for whom it was built: the machine number lies
    // at the same place in each class, in the file's own byte order.
    let machine = raw.e_machine.get(LE).0;
    let big_endian = ident.data.0 == 2;
    let machine = if big_endian {
        machine.swap_bytes()
    } else {
        machine
    };
    if machine != elf_machine::RISCV {
        return Err(Problem::WrongMachine { machine });
    }
    if ident.class.0 != 2 {
        return Err(Problem::WrongClass);
    }
    if big_endian {
        return Err(Problem::BigEndian);
    }
    Ok(Header {
        kind: raw.e_type.get(LE).0,
        flags: raw.e_flags.get(LE).0,
        entry: raw.e_entry.get(LE),
        phoff: raw.e_phoff.get(LE),
        phentsize: raw.e_phentsize.get(LE),
        phnum: raw.e_phnum.get(LE),
    })
}

pub(crate) fn read_program_headers(
    file: &dyn ExecFile,
    header: &Header,
) -> Result<Vec<ProgramHeader>, Problem> {
    let what = "program headers";
    if usize::from(header.phentsize) != PHDR_LEN {
        return Err(Problem::ProgramHeaderSize {
            size: header.phentsize,
        });
    }
    let count = usize::from(header.phnum);
    let size = count * PHDR_LEN;
    if count == 0 || size > PHDRS_MAX_BYTES {
        return Err(Problem::ProgramHeaderCount {
            count: header.phnum,
        });
    }
    let need = header.phoff.saturating_add(size as u64);
    let truncated = Problem::Truncated {
        what,
        need,
        have: file.len(),
    };
    if need > file.len() || i64::try_from(need).is_err() {
        return Err(truncated);
    }
    let mut words = vec![0u64; size.div_ceil(8)];
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
    let bytes = &mut bytes[..size];
    match file::read_full(file, bytes, header.phoff) {
        Err(errno) => return Err(Problem::Read { what, errno }),
        Ok(Err(_)) => return Err(truncated),
        Ok(Ok(())) => {}
    }
    let (raw, _) = object::pod::slice_from_bytes::<elf::ProgramHeader64<LE>>(bytes, count)
        .map_err(|()| truncated)?;
    Ok(raw.iter().map(ProgramHeader::from_object).collect())
}

fn check_segment(
    index: usize,
    header: &ProgramHeader,
    placement: Placement,
    task_size: u64,
    file_len: u64,
) -> Result<Segment, Problem> {
    let refuse = |fault| Problem::Segment {
        index,
        vaddr: header.vaddr,
        size: header.memsz,
        fault,
    };
    if header.filesz > header.memsz {
        return Err(refuse(SegmentFault::FileLargerThanMemory));
    }
    let end = header.vaddr.checked_add(header.memsz).and_then(page_ceil);
    let end = end.ok_or_else(|| refuse(SegmentFault::Wraps))?;
    let limit = match placement {
        Placement::Fixed => end,
        // Only the size matters where the address is ours to choose; the
        // distance between segments is checked with the span.
        Placement::Anywhere => header.memsz,
    };
    if limit > task_size {
        return Err(refuse(SegmentFault::BeyondWindow { task_size }));
    }
    if header.filesz > 0 {
        if header.offset % PAGE_SIZE != header.vaddr % PAGE_SIZE {
            return Err(refuse(SegmentFault::Incongruent));
        }
        // The rest of the file's last page reads as zeroes; a page after it
        // would be SIGBUS at some later time.
        let file_end = header.offset.checked_add(header.filesz);
        let file_end = file_end.ok_or_else(|| refuse(SegmentFault::Wraps))?;
        if page_ceil(file_len).is_some_and(|last| file_end > last) {
            return Err(refuse(SegmentFault::BeyondFile { file_len }));
        }
    }
    Ok(Segment {
        index,
        vaddr: header.vaddr,
        file_offset: header.offset,
        file_size: header.filesz,
        mem_size: header.memsz,
        read: header.flags & segment_flag::R != 0,
        write: header.flags & segment_flag::W != 0,
        exec: header.flags & segment_flag::X != 0,
    })
}

/// Bytes that two segments claim are a damaged file. (Linux lets the later one
/// win.) Segments may share a page, in any order.
fn check_overlap(segments: &[Segment]) -> Result<(), Problem> {
    let mut sorted: Vec<&Segment> = segments.iter().collect();
    sorted.sort_by_key(|segment| (segment.vaddr, segment.index));
    for pair in sorted.windows(2) {
        let [low, high] = pair else { continue };
        if low.vaddr.saturating_add(low.mem_size) > high.vaddr {
            return Err(Problem::Segment {
                index: high.index,
                vaddr: high.vaddr,
                size: high.mem_size,
                fault: SegmentFault::Overlaps { other: low.index },
            });
        }
    }
    Ok(())
}

fn span_of(segments: &[Segment], task_size: u64) -> Result<Range<u64>, Problem> {
    let first = segments.iter().min_by_key(|segment| segment.pages().start);
    let last = segments.iter().max_by_key(|segment| segment.pages().end);
    let (Some(first), Some(last)) = (first, last) else {
        return Err(Problem::NothingToLoad);
    };
    let span = first.pages().start..last.pages().end;
    if span.end.saturating_sub(span.start) > task_size {
        return Err(Problem::Segment {
            index: last.index,
            vaddr: last.vaddr,
            size: last.mem_size,
            fault: SegmentFault::BeyondWindow { task_size },
        });
    }
    Ok(span)
}

fn check_entry(entry: u64, segments: &[Segment]) -> Result<(), Problem> {
    if segments
        .iter()
        .any(|segment| segment.exec && segment.pages().contains(&entry))
    {
        Ok(())
    } else {
        Err(Problem::EntryOutside { entry })
    }
}

/// The path in a PT_INTERP header, without its final NUL.
pub(crate) fn read_interpreter(
    file: &dyn ExecFile,
    header: &ProgramHeader,
) -> Result<Vec<u8>, Problem> {
    let what = "interpreter path";
    if !(2..=PATH_MAX).contains(&header.filesz) {
        return Err(Problem::BadInterpreterPath);
    }
    let len = usize::try_from(header.filesz).map_err(|_| Problem::BadInterpreterPath)?;
    let mut path = vec![0; len];
    match file::read_full(file, &mut path, header.offset) {
        Err(errno) => return Err(Problem::Read { what, errno }),
        Ok(Err(_)) => {
            return Err(Problem::Read {
                what,
                errno: Errno::EIO,
            });
        }
        Ok(Ok(())) => {}
    }
    if path.pop() != Some(0) {
        return Err(Problem::BadInterpreterPath);
    }
    // The kernel hands the bytes on as a C string.
    if let Some(end) = path.iter().position(|&byte| byte == 0) {
        path.truncate(end);
    }
    Ok(path)
}

pub(crate) mod elf_type {
    pub(crate) const REL: u16 = object::elf::ET_REL.0;
    pub(crate) const EXEC: u16 = object::elf::ET_EXEC.0;
    pub(crate) const DYN: u16 = object::elf::ET_DYN.0;
    pub(crate) const CORE: u16 = object::elf::ET_CORE.0;
}

pub(crate) mod elf_machine {
    pub(crate) const RISCV: u16 = object::elf::EM_RISCV.0;
}

pub(crate) mod segment_type {
    pub(crate) const LOAD: u32 = object::elf::PT_LOAD.0;
    pub(crate) const DYNAMIC: u32 = object::elf::PT_DYNAMIC.0;
    pub(crate) const INTERP: u32 = object::elf::PT_INTERP.0;
    pub(crate) const GNU_STACK: u32 = object::elf::PT_GNU_STACK.0;
    pub(crate) const RISCV_ATTRIBUTES: u32 = object::elf::PT_RISCV_ATTRIBUTES.0;
}

pub(crate) mod segment_flag {
    pub(crate) const X: u32 = object::elf::PF_X.0;
    pub(crate) const W: u32 = object::elf::PF_W.0;
    pub(crate) const R: u32 = object::elf::PF_R.0;
}
