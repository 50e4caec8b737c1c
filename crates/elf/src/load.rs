//! The second half of an execve: a prepared program put into a fresh address
//! space.

use crate::auxv::{AuxInputs, AuxProgram, Auxv};
use crate::error::{LoadError, Problem};
use crate::image::{Image, Placement, Segment};
use crate::prepare::{LoadRequest, Prepared, prepare};
use crate::stack::{self, Content, InitialStack};
use crate::vdso;
use rivix_abi::{Errno, PAGE_SIZE, UserAddress, page_ceil};
use rivix_mem::{AddressSpace, Backing, MapFlags, MapRequest, Prot};
use std::ops::Range;

/// The stack's first size beyond its content; it grows on demand.
const STACK_SLACK: u64 = 128 << 10;
/// Bytes copied at a time where a file cannot be mapped.
const COPY_CHUNK: u64 = 64 << 10;

/// A loaded program: where it starts, and what /proc shows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The first pc: the interpreter's entry, or the program's.
    pub entry: u64,
    /// The first stack pointer. Every other register starts as zero.
    pub sp: u64,
    pub brk_start: u64,
    pub vdso: u64,
    /// What ra holds when a signal handler is entered.
    pub sigreturn: u64,
    /// What was added to the program's own addresses.
    pub load_bias: u64,
    pub code: Range<u64>,
    pub data: Range<u64>,
    pub arguments: Range<u64>,
    pub environment: Range<u64>,
    /// /proc/self/auxv.
    pub auxv: Vec<u8>,
}

/// [`prepare`](crate::prepare()) and [`commit`].
pub fn load(
    request: LoadRequest<'_>,
    mm: &AddressSpace,
    inputs: &AuxInputs,
) -> Result<Loaded, LoadError> {
    commit(&prepare(request)?, mm, inputs)
}

/// Puts a prepared program into `mm`, which must be fresh. On an error `mm` is
/// to be dropped; nothing else was touched.
pub fn commit(
    prepared: &Prepared,
    mm: &AddressSpace,
    inputs: &AuxInputs,
) -> Result<Loaded, LoadError> {
    let program = &prepared.program;
    let target = Target { mm };
    let blame = |image: &Image| {
        let file = image.file.name();
        move |problem| LoadError::new(file, problem)
    };

    // The stack comes first, so that nothing takes its place.
    target.map_stack(prepared).map_err(blame(program))?;
    let load_bias = target
        .map_program(program, prepared.interpreter.is_some())
        .map_err(blame(program))?;
    let mut entry = program.entry.wrapping_add(load_bias);
    let mut base = 0;
    if let Some(interpreter) = &prepared.interpreter {
        let bias = target
            .map_interpreter(interpreter)
            .map_err(blame(interpreter))?;
        base = bias;
        entry = interpreter.entry.wrapping_add(bias);
    }
    let vdso = target.map_vdso().map_err(blame(program))?;

    let brk_start = match program.placement {
        // A static-pie program lies among the mappings, where a break could
        // not grow: its break begins where a dynamic program would lie.
        Placement::Anywhere if prepared.interpreter.is_none() => target.dynamic_base(),
        _ => program.span.end.wrapping_add(load_bias),
    };
    mm.set_brk_start(UserAddress(brk_start));

    let aux = AuxProgram {
        vdso,
        phdr: program.phdr_vaddr.unwrap_or(0).wrapping_add(load_bias),
        phnum: program.phdr_count.into(),
        base,
        entry: program.entry.wrapping_add(load_bias),
    };
    let stack = target
        .fill_stack(prepared, inputs, &aux)
        .map_err(blame(program))?;
    mm.set_stack_start(stack.sp);
    let (code, data) = code_and_data(program, load_bias);
    Ok(Loaded {
        entry,
        sp: stack.sp,
        brk_start,
        vdso,
        sigreturn: vdso.wrapping_add(vdso::RT_SIGRETURN),
        load_bias,
        code,
        data,
        arguments: stack.arguments,
        environment: stack.environment,
        auxv: stack.auxv,
    })
}

/// The address space being filled.
struct Target<'a> {
    mm: &'a AddressSpace,
}

impl Target<'_> {
    /// Where a dynamic program goes: two thirds up the address space.
    fn dynamic_base(&self) -> u64 {
        (self.mm.task_size() / 3 * 2) & !(PAGE_SIZE - 1)
    }

    /// Linux puts a random gap above the stack, so that the last page is never
    /// mapped: an access at the very end faults.
    fn stack_top(&self) -> u64 {
        self.mm.task_size() - 16 * PAGE_SIZE
    }

    fn map_stack(&self, prepared: &Prepared) -> Result<(), Problem> {
        let content = stack::size(&prepared.argv, &prepared.envp, &prepared.execfn);
        let top = self.stack_top();
        // A stack limit below the content still leaves room for it.
        let slack = STACK_SLACK.min(prepared.stack_limit);
        let len = content
            .checked_add(slack)
            .and_then(page_ceil)
            .filter(|len| *len < top);
        let len = len.ok_or(Problem::ArgumentsTooBig { limit: top })?;
        let exec = if prepared.program.exec_stack {
            Prot::EXEC
        } else {
            Prot::empty()
        };
        self.map(
            "stack",
            MapRequest {
                addr: UserAddress(top - len),
                len,
                prot: Prot::READ | Prot::WRITE | exec,
                flags: ANONYMOUS | MapFlags::FIXED | MapFlags::GROWSDOWN,
                backing: Backing::Anonymous,
                name: None,
            },
        )?;
        Ok(())
    }

    fn fill_stack(
        &self,
        prepared: &Prepared,
        inputs: &AuxInputs,
        aux: &AuxProgram,
    ) -> Result<InitialStack, Problem> {
        let content = Content {
            argv: &prepared.argv,
            envp: &prepared.envp,
            execfn: &prepared.execfn,
            random: inputs.random,
            auxv: Auxv::new(inputs, aux),
        };
        let top = self.stack_top();
        let stack = stack::build(top, content).ok_or(Problem::ArgumentsTooBig { limit: top })?;
        self.write("stack", stack.sp, &stack.bytes)?;
        Ok(stack)
    }

    /// Returns what to add to the program's addresses.
    fn map_program(&self, image: &Image, has_interpreter: bool) -> Result<u64, Problem> {
        let bias = match image.placement {
            Placement::Fixed => 0,
            Placement::Anywhere if has_interpreter => match self.dynamic_bias(image) {
                Some(bias) => bias,
                None => self.free_bias(image)?,
            },
            Placement::Anywhere => self.free_bias(image)?,
        };
        self.map_segments(image, bias, MapFlags::FIXED_NOREPLACE)?;
        Ok(bias)
    }

    fn map_interpreter(&self, image: &Image) -> Result<u64, Problem> {
        let bias = match image.placement {
            Placement::Fixed => 0,
            Placement::Anywhere => self.free_bias(image)?,
        };
        // One that says where it is takes that place from the program, if need be.
        self.map_segments(image, bias, MapFlags::FIXED)?;
        Ok(bias)
    }

    /// The alignment asked for, as far as this address space can give it.
    fn align(&self, image: &Image) -> u64 {
        if image.align > self.mm.task_size() / 4 {
            PAGE_SIZE
        } else {
            image.align
        }
    }

    /// Places the image two thirds up. None: it would come too near the stack.
    fn dynamic_bias(&self, image: &Image) -> Option<u64> {
        let align = self.align(image);
        let start =
            (self.dynamic_base() & !(align - 1)).checked_add(image.span.start & (align - 1))?;
        let end = start.checked_add(image.total_size())?;
        let limit = self.mm.task_size() / 8 * 7;
        (end <= limit).then(|| start.wrapping_sub(image.span.start))
    }

    /// Places the image among the mappings, where there is room.
    fn free_bias(&self, image: &Image) -> Result<u64, Problem> {
        let what = "segments";
        let align = self.align(image);
        let size = image.total_size();
        let len = size.checked_add(align - PAGE_SIZE);
        let fail = |errno| Problem::Map {
            what,
            addr: image.span.start,
            len: size,
            errno,
        };
        let len = len.ok_or(fail(Errno::ENOMEM))?;
        let at = self.map(
            what,
            MapRequest {
                addr: UserAddress::NULL,
                len,
                prot: Prot::empty(),
                flags: ANONYMOUS | MapFlags::NORESERVE,
                backing: Backing::Anonymous,
                name: None,
            },
        )?;
        self.mm.unmap(UserAddress(at), len).map_err(fail)?;
        // The first address from `at` on that is congruent with the image.
        let wanted = image.span.start & (align - 1);
        let skip = wanted.wrapping_sub(at) & (align - 1);
        let start = at.checked_add(skip).ok_or(fail(Errno::ENOMEM))?;
        Ok(start.wrapping_sub(image.span.start))
    }

    /// `fixed`: how a segment treats what is in its place.
    fn map_segments(&self, image: &Image, bias: u64, fixed: MapFlags) -> Result<(), Problem> {
        for (position, segment) in image.segments.iter().enumerate() {
            // A page may hold the end of one segment and the start of another:
            // the later one gets it.
            let pages = segment.pages();
            let earlier = image.segments.get(..position).unwrap_or_default();
            let shares = earlier.iter().any(|other| {
                let other = other.pages();
                other.start < pages.end && pages.start < other.end
            });
            let fixed = if shares { MapFlags::FIXED } else { fixed };
            self.map_segment(image, segment, bias, fixed)?;
        }
        Ok(())
    }

    fn map_segment(
        &self,
        image: &Image,
        segment: &Segment,
        bias: u64,
        fixed: MapFlags,
    ) -> Result<(), Problem> {
        let what = "segment";
        let prot = protection(segment);
        let pages = segment.pages();
        let start = pages.start.wrapping_add(bias);
        let end = pages.end.wrapping_add(bias);
        let data_end = segment.vaddr.saturating_add(segment.file_size);
        let file_end = match segment.file_size {
            0 => start,
            _ => page_ceil(data_end)
                .unwrap_or(pages.end)
                .min(pages.end)
                .wrapping_add(bias),
        };

        if file_end > start {
            let inside = segment.vaddr % PAGE_SIZE;
            let offset = segment.file_offset.saturating_sub(inside);
            let len = file_end.saturating_sub(start);
            let mut request = MapRequest {
                addr: UserAddress(start),
                len,
                prot,
                flags: MapFlags::PRIVATE | fixed,
                backing: Backing::Anonymous,
                name: None,
            };
            match image.file.map_source() {
                Some(source) => {
                    request.backing = Backing::File { source, offset };
                    self.map(what, request)?;
                }
                None => {
                    request.flags |= MapFlags::ANONYMOUS;
                    request.prot = Prot::READ | Prot::WRITE;
                    self.map(what, request)?;
                    self.copy(image, start, offset, len)?;
                    self.mm
                        .protect(UserAddress(start), len, prot)
                        .map_err(|errno| Problem::Map {
                            what,
                            addr: start,
                            len,
                            errno,
                        })?;
                }
            }
            // Linux does not insist on clearing what the program cannot write.
            if segment.mem_size > segment.file_size && segment.write {
                let from = data_end.wrapping_add(bias);
                let len = file_end.saturating_sub(from);
                self.mm
                    .zero(UserAddress(from), len)
                    .map_err(|errno| Problem::Map {
                        what,
                        addr: from,
                        len,
                        errno,
                    })?;
            }
        }
        if end > file_end {
            let exec = prot & Prot::EXEC;
            self.map(
                "zeroed data",
                MapRequest {
                    addr: UserAddress(file_end),
                    len: end.saturating_sub(file_end),
                    prot: Prot::READ | Prot::WRITE | exec,
                    flags: ANONYMOUS | fixed,
                    backing: Backing::Anonymous,
                    name: None,
                },
            )?;
        }
        Ok(())
    }

    /// Copies whole pages of a file that cannot be mapped.
    fn copy(&self, image: &Image, to: u64, offset: u64, len: u64) -> Result<(), Problem> {
        let what = "segment";
        let mut buffer = vec![0; usize::try_from(COPY_CHUNK.min(len)).unwrap_or(0)];
        let mut done = 0u64;
        while done < len {
            let want = usize::try_from(len - done)
                .unwrap_or(usize::MAX)
                .min(buffer.len());
            let Some(chunk) = buffer.get_mut(..want) else {
                break;
            };
            let from = offset.saturating_add(done);
            let got = image
                .file
                .read_at(chunk, from)
                .map_err(|errno| Problem::Read { what, errno })?;
            // The rest of the last page is zero already.
            if got == 0 {
                break;
            }
            let chunk = chunk.get(..got).unwrap_or_default();
            self.write(what, to.saturating_add(done), chunk)?;
            done = done.saturating_add(got as u64);
        }
        Ok(())
    }

    fn map_vdso(&self) -> Result<u64, Problem> {
        let what = "vdso";
        let at = self.map(
            what,
            MapRequest {
                addr: UserAddress::NULL,
                len: PAGE_SIZE,
                prot: Prot::READ | Prot::WRITE,
                flags: ANONYMOUS,
                backing: Backing::Anonymous,
                name: Some("[vdso]"),
            },
        )?;
        self.write(what, at, vdso::IMAGE)?;
        self.mm
            .protect(UserAddress(at), PAGE_SIZE, Prot::READ | Prot::EXEC)
            .map_err(|errno| Problem::Map {
                what,
                addr: at,
                len: PAGE_SIZE,
                errno,
            })?;
        Ok(at)
    }

    fn map(&self, what: &'static str, request: MapRequest) -> Result<u64, Problem> {
        let (addr, len) = (request.addr.0, request.len);
        match self.mm.map(request) {
            Ok(at) => Ok(at.0),
            Err(errno) => Err(Problem::Map {
                what,
                addr,
                len,
                errno,
            }),
        }
    }

    fn write(&self, what: &'static str, addr: u64, bytes: &[u8]) -> Result<(), Problem> {
        self.mm
            .write_bytes(UserAddress(addr), bytes)
            .map_err(|errno| Problem::Map {
                what,
                addr,
                len: bytes.len() as u64,
                errno,
            })
    }
}

const ANONYMOUS: MapFlags = MapFlags::PRIVATE.union(MapFlags::ANONYMOUS);

fn protection(segment: &Segment) -> Prot {
    let mut prot = Prot::empty();
    prot.set(Prot::READ, segment.read);
    prot.set(Prot::WRITE, segment.write);
    prot.set(Prot::EXEC, segment.exec);
    prot
}

/// start_code, end_code, start_data and end_data of proc_pid_stat(5).
fn code_and_data(program: &Image, bias: u64) -> (Range<u64>, Range<u64>) {
    let file_end = |segment: &Segment| segment.vaddr.saturating_add(segment.file_size);
    let all = program.segments.iter();
    let code = all.clone().filter(|segment| segment.exec);
    let code_start = code.clone().map(|segment| segment.vaddr).min();
    let code = code_start.unwrap_or(0)..code.map(file_end).max().unwrap_or(0);
    let data_start = all.clone().map(|segment| segment.vaddr).max();
    let data = data_start.unwrap_or(0)..all.map(file_end).max().unwrap_or(0);
    let moved = |range: Range<u64>| range.start.wrapping_add(bias)..range.end.wrapping_add(bias);
    (moved(code), moved(data))
}
