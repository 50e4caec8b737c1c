//! What a core file says (core(5), elf(5)): notes of the process and its threads,
//! then memory. It is `core` in the process's directory.

use super::core::DumpedThread;
use crate::current::CurrentTask;
use crate::traits::CoreFilter;
use rivix_abi::fcntl::{O_CREAT, O_EXCL, O_LARGEFILE, O_NOFOLLOW, O_RDWR};
use rivix_abi::mman::Prot;
use rivix_abi::signal::SigInfo;
use rivix_abi::time::Timeval;
use rivix_abi::{Errno, PAGE_SIZE, UserAddress};
use rivix_fs::{File, Lookup, SliceSource};
use rivix_mem::MappingInfo;
use std::sync::Arc;

const NAME: &[u8] = b"core";
const MODE: u32 = 0o600;

const HEADER_BYTES: u64 = 64;
const SEGMENT_BYTES: u64 = 56;
/// e_phnum is 16 bits wide; as on Linux more would need another place (PN_XNUM).
const MAX_SEGMENTS: usize = 0xfffe;
const EM_RISCV: u16 = 243;
const ET_CORE: u16 = 4;
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;

const NT_PRSTATUS: u32 = 1;
const NT_FPREGSET: u32 = 2;
const NT_PRPSINFO: u32 = 3;
const NT_AUXV: u32 = 6;
const NT_SIGINFO: u32 = 0x5349_4749;
const NT_FILE: u32 = 0x4649_4c45;

/// Memory is read and written this much at a time.
const CHUNK: usize = 64 * 1024;

/// Writes the file, up to `limit` bytes of it.
///
/// # Errors
/// Those of making and writing a file; EINTR when the process is killed meanwhile.
pub(super) fn write(
    task: &CurrentTask,
    info: &SigInfo,
    others: &[DumpedThread],
    limit: u64,
) -> Result<(), Errno> {
    let mappings = task.mm().mappings();
    if mappings.len() >= MAX_SEGMENTS {
        return Err(Errno::EFBIG);
    }
    let notes = notes(task, info, others, &mappings);
    let sizes: Vec<u64> = mappings.iter().map(|map| dumped_bytes(task, map)).collect();

    let mut out = Output {
        task,
        file: create(task)?,
        limit,
        length: 0,
    };
    let head = head(&mappings, &sizes, notes.len() as u64);
    let mut at = head.len() as u64;
    // Cut short by its limit it is a core file all the same.
    if !out.put(0, &head)? || !out.put(at, &notes)? {
        return Ok(());
    }
    at = (at + notes.len() as u64).next_multiple_of(PAGE_SIZE);
    for (map, size) in mappings.iter().zip(sizes) {
        if !out.memory(at, map.range.start, size)? {
            break;
        }
        at += size;
    }
    out.finish(at)
}

/// A file of ours: what had the name before is removed, never followed or overwritten.
fn create(task: &CurrentTask) -> Result<Arc<File>, Errno> {
    let fs = task.fs();
    let lookup = Lookup::new(fs.namespace(), fs, task.caller());
    let last = lookup.last_name(NAME)?;
    let place = lookup.child(&last.parent, &last.name);
    if let Ok(place) = place
        && fs.namespace().mount_at(&place.path).is_none()
        && last.writable().is_ok()
    {
        // What cannot be removed makes the next step fail.
        let _ = last.parent.node.unlink(&last.name, false);
    }
    let flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_LARGEFILE;
    lookup.open(NAME, flags, MODE)
}

struct Output<'a> {
    task: &'a CurrentTask,
    file: Arc<File>,
    limit: u64,
    length: u64,
}

impl Output<'_> {
    /// Writes `bytes`; false when the limit does not let them in.
    fn put(&mut self, at: u64, bytes: &[u8]) -> Result<bool, Errno> {
        if at.saturating_add(bytes.len() as u64) > self.limit {
            return Ok(false);
        }
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            let mut source = SliceSource::new(rest);
            match self.file.write(&mut source, Some(at + done as u64)) {
                Ok(0) => return Err(Errno::EIO),
                Ok(count) => done += count,
                // A kick of no meaning for us, unless it is the end.
                Err(Errno::EINTR) if !self.task.is_dump_given_up() => self.task.kick().clear(),
                Err(errno) => return Err(errno),
            }
        }
        self.length = self.length.max(at + bytes.len() as u64);
        Ok(true)
    }

    /// Writes `size` bytes of memory from `address` on; pages of zeros, and those that
    /// cannot be read, are holes.
    fn memory(&mut self, at: u64, address: u64, size: u64) -> Result<bool, Errno> {
        let mut buffer = vec![0; CHUNK];
        let mut done = 0;
        while done < size {
            if self.task.is_dump_given_up() {
                return Err(Errno::EINTR);
            }
            let want = (size - done).min(CHUNK as u64);
            let chunk = &mut buffer[..want as usize];
            let got = self
                .task
                .mm()
                .read_partial(UserAddress(address + done), chunk);
            // What lies behind a page that cannot be read is tried by itself.
            let (kept, step) = match got as u64 {
                0 => (0, PAGE_SIZE.min(want)),
                got if got < want => (got, got.next_multiple_of(PAGE_SIZE).min(want)),
                got => (got, got),
            };
            let chunk = &chunk[..kept as usize];
            if chunk.iter().any(|byte| *byte != 0) && !self.put(at + done, chunk)? {
                return Ok(false);
            }
            done += step;
        }
        Ok(true)
    }

    /// Gives the file its length: what was left out at its end is a hole.
    fn finish(&self, end: u64) -> Result<(), Errno> {
        let end = end.min(self.limit);
        if end > self.length {
            self.file.ops().truncate(end)?;
        }
        Ok(())
    }
}

/// How much of a mapping is dumped, as core(5) says of coredump_filter.
fn dumped_bytes(task: &CurrentTask, map: &MappingInfo) -> u64 {
    let whole = map.range.end - map.range.start;
    let has_file = map.dev_ino != (0, 0);
    let filter = task.memory().traits.core_filter();
    let if_wanted = |kind| if filter.contains(kind) { whole } else { 0 };
    if map.name == b"[vdso]" {
        return whole;
    }
    if map.dont_dump {
        return 0;
    }
    if map.shared {
        let is_named = has_file && !map.name.ends_with(b" (deleted)");
        return if_wanted(if is_named {
            CoreFilter::SHARED_FILES
        } else {
            CoreFilter::SHARED
        });
    }
    // A file's page that may have been written is private memory, too.
    if (!has_file || map.was_writable) && filter.contains(CoreFilter::PRIVATE) {
        return whole;
    }
    if !has_file || filter.contains(CoreFilter::PRIVATE_FILES) {
        return if has_file { whole } else { 0 };
    }
    let mut magic = [0; 4];
    let is_elf = filter.contains(CoreFilter::ELF_HEADERS)
        && map.offset == 0
        && task
            .mm()
            .read_bytes(UserAddress(map.range.start), &mut magic)
            .is_ok()
        && magic == *b"\x7fELF";
    if is_elf { PAGE_SIZE } else { 0 }
}

fn segment_flags(prot: Prot) -> u32 {
    let bit = |has, flag| if prot.contains(has) { flag } else { 0 };
    bit(Prot::READ, 4) | bit(Prot::WRITE, 2) | bit(Prot::EXEC, 1)
}

/// The ELF header and the table of segments.
fn head(mappings: &[MappingInfo], sizes: &[u64], note_bytes: u64) -> Vec<u8> {
    let count = mappings.len() as u64 + 1;
    let notes_at = HEADER_BYTES + count * SEGMENT_BYTES;
    let mut out = Bytes::default();
    out.raw(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    out.half(ET_CORE).half(EM_RISCV).word(1);
    out.long(0).long(HEADER_BYTES).long(0).word(0);
    out.half(HEADER_BYTES as u16).half(SEGMENT_BYTES as u16);
    out.half(count as u16).half(0).half(0).half(0);

    out.word(PT_NOTE).word(0).long(notes_at).long(0).long(0);
    out.long(note_bytes).long(0).long(4);

    let mut at = (notes_at + note_bytes).next_multiple_of(PAGE_SIZE);
    for (map, size) in mappings.iter().zip(sizes) {
        out.word(PT_LOAD).word(segment_flags(map.prot)).long(at);
        out.long(map.range.start).long(0);
        out.long(*size).long(map.range.end - map.range.start);
        out.long(PAGE_SIZE);
        at += size;
    }
    out.0
}

/// All notes, in Linux's order: those of the process follow its first thread's state.
fn notes(
    task: &CurrentTask,
    info: &SigInfo,
    others: &[DumpedThread],
    mappings: &[MappingInfo],
) -> Vec<u8> {
    let mut out = Bytes::default();
    let own = task.dumped();
    out.note(NT_PRSTATUS, &status(task, info, &own));
    out.note(NT_PRPSINFO, &process(task));
    out.note(NT_SIGINFO, bytemuck::bytes_of(info));
    out.note(NT_AUXV, &task.memory().program.auxv);
    out.note(NT_FILE, &files(mappings));
    out.note(NT_FPREGSET, &floats(&own));
    for thread in others {
        out.note(NT_PRSTATUS, &status(task, info, thread));
        out.note(NT_FPREGSET, &floats(thread));
    }
    out.0
}

/// struct elf_prstatus, 376 bytes.
fn status(task: &CurrentTask, info: &SigInfo, thread: &DumpedThread) -> Vec<u8> {
    let kernel = task.kernel();
    let (pgid, sid) = kernel.group_and_session(task.pid()).unwrap_or((0, 0));
    let (used, children) = (task.group().cpu_times(), task.group().child_usage().0);
    let mut out = Bytes::default();
    out.word(info.signo as u32).word(info.code as u32);
    out.word(info.errno as u32).word(info.signo as u32);
    out.long(thread.pending).long(thread.blocked);
    for id in [thread.tid, kernel.parent_of(task.pid()), pgid, sid] {
        out.word(id as u32);
    }
    let times = [
        used.user_ns,
        used.system_ns,
        children.user_ns,
        children.system_ns,
    ];
    for ns in times {
        out.raw(bytemuck::bytes_of(&Timeval::from_ns(ns.into())));
    }
    out.long(thread.regs.pc);
    for x in &thread.regs.x[1..] {
        out.long(*x);
    }
    // pr_fpvalid, and padding.
    out.word(1).word(0);
    out.0
}

/// struct elf_prpsinfo, 136 bytes.
fn process(task: &CurrentTask) -> Vec<u8> {
    const NAME_BYTES: usize = 16;
    const ARGS_BYTES: usize = 80;
    let kernel = task.kernel();
    let (pgid, sid) = kernel.group_and_session(task.pid()).unwrap_or((0, 0));
    let creds = task.creds();
    let mut out = Bytes::default();
    out.raw(&[0, b'R', 0, task.sched().nice as u8]).word(0);
    out.long(0).word(creds.uid).word(creds.gid);
    for id in [task.pid(), kernel.parent_of(task.pid()), pgid, sid] {
        out.word(id as u32);
    }
    out.padded(&task.name(), NAME_BYTES);
    let args = &task.memory().program.arg_range;
    let len = args
        .end
        .saturating_sub(args.start)
        .min(ARGS_BYTES as u64 - 1);
    let mut text = vec![0; len as usize];
    let got = task.mm().read_partial(UserAddress(args.start), &mut text);
    text.truncate(got);
    for byte in text.iter_mut().filter(|byte| **byte == 0) {
        *byte = b' ';
    }
    out.padded(&text, ARGS_BYTES);
    out.0
}

/// struct __riscv_d_ext_state, 264 bytes.
fn floats(thread: &DumpedThread) -> Vec<u8> {
    let mut out = Bytes::default();
    for f in &thread.regs.f {
        out.long(*f);
    }
    out.word(thread.regs.fcsr).word(0);
    out.0
}

/// Which files are mapped where: a count, the unit of offsets, ranges, then names.
fn files(mappings: &[MappingInfo]) -> Vec<u8> {
    let of_files = || mappings.iter().filter(|map| map.dev_ino != (0, 0));
    let mut out = Bytes::default();
    out.long(of_files().count() as u64).long(PAGE_SIZE);
    for map in of_files() {
        out.long(map.range.start).long(map.range.end);
        out.long(map.offset / PAGE_SIZE);
    }
    for map in of_files() {
        out.raw(&map.name).raw(&[0]);
    }
    out.0
}

/// Little-endian bytes, one after the other.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn raw(&mut self, bytes: &[u8]) -> &mut Bytes {
        self.0.extend_from_slice(bytes);
        self
    }

    fn half(&mut self, value: u16) -> &mut Bytes {
        self.raw(&value.to_le_bytes())
    }

    fn word(&mut self, value: u32) -> &mut Bytes {
        self.raw(&value.to_le_bytes())
    }

    fn long(&mut self, value: u64) -> &mut Bytes {
        self.raw(&value.to_le_bytes())
    }

    /// `bytes` in a field of `size` that ends in a zero.
    fn padded(&mut self, bytes: &[u8], size: usize) -> &mut Bytes {
        let kept = bytes.len().min(size - 1);
        self.raw(&bytes[..kept]);
        let filled = self.0.len() + size - kept;
        self.0.resize(filled, 0);
        self
    }

    /// A note of the kernel's: its name is CORE.
    fn note(&mut self, kind: u32, bytes: &[u8]) {
        const NAME: &[u8] = b"CORE\0\0\0\0";
        self.word(5).word(bytes.len() as u32).word(kind).raw(NAME);
        self.raw(bytes);
        let padded = self.0.len().next_multiple_of(4);
        self.0.resize(padded, 0);
    }
}
