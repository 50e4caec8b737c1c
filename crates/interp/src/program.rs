//! Translations of programs, which outlive the processes that ran them.
//!
//! A program is what execve(2) mapped executable from files: which files, as of
//! which change, at which addresses. All address spaces that begin with the same
//! share its blocks, and the last few programs are kept for those to come. Blocks
//! are made only from pages that are the files' own ([`FileCode`]), so that none of
//! the spaces can put anything else into what the others run; and who comes later
//! runs them only if the code they were made from is what it has in its memory.
//!
//! Blocks of a program are never retired. A space leaves the program when its code
//! there may have changed, and when the program is full.

use crate::code::Code;
use crate::slot::Slot;
use crate::translate::{self, Draft};
use rivix_mem::{AddressSpace, FileCode, FileVersion};
use rivix_sync::{Mutex, level};
use std::ops::Range;
use std::sync::Arc;

/// Programs kept while nobody runs them, at most.
const MAX_PROGRAMS: usize = 8;

/// Slots of all programs kept, about 8 MiB; they take about as much again beside.
const MAX_KEPT_SLOTS: usize = 1 << 19;

/// Slots of one program. One that has more is too big to be kept.
const MAX_SLOTS: usize = 1 << 18;

/// Mappings of code that a program begins with. An ELF file usually has one.
const MAX_STRETCHES: usize = 16;

/// One mapping of a program's code.
#[derive(PartialEq, Eq)]
struct Stretch {
    range: Range<u64>,
    offset: u64,
    file: FileVersion,
}

impl Stretch {
    fn of(file: &FileCode) -> Option<Stretch> {
        Some(Stretch {
            range: file.range(),
            offset: file.offset(),
            file: file.version().ok()?,
        })
    }
}

/// A program's translations. It holds no file and no memory of a guest.
struct Program {
    stretches: Vec<Stretch>,
    code: Arc<Code>,
    made_from: Mutex<level::Code, Arc<MadeFrom>>,
}

/// The code that a program's blocks were made from.
#[derive(Default)]
struct MadeFrom {
    /// How many blocks there were then.
    blocks: usize,
    /// In order of addresses, without overlaps.
    parts: Vec<(u64, Vec<u8>)>,
    /// Two blocks were made from different code at one address.
    is_mixed: bool,
}

impl MadeFrom {
    fn new(code: &Code) -> MadeFrom {
        let blocks = code.blocks();
        let mut sources: Vec<&(u64, Box<[u8]>)> =
            blocks.iter().flat_map(|block| &block.source).collect();
        sources.sort_unstable_by_key(|(at, _)| *at);
        let mut parts: Vec<(u64, Vec<u8>)> = Vec::new();
        let mut is_mixed = false;
        for (at, bytes) in sources {
            let (inside, beyond) = match parts.last() {
                Some((start, part)) if *at <= start + part.len() as u64 => {
                    let known = &part[(at - start) as usize..];
                    let (inside, beyond) = bytes.split_at(known.len().min(bytes.len()));
                    is_mixed |= !known.starts_with(inside);
                    (true, beyond)
                }
                _ => (false, &bytes[..]),
            };
            match parts.last_mut() {
                Some((_, part)) if inside => part.extend_from_slice(beyond),
                _ => parts.push((*at, beyond.to_vec())),
            }
        }
        MadeFrom {
            blocks: blocks.len(),
            parts,
            is_mixed,
        }
    }
}

impl Program {
    /// True when `space` has the code that all blocks were made from.
    fn is_in(&self, space: &AddressSpace) -> bool {
        let known = Arc::clone(&self.made_from.lock());
        let made_from = if known.blocks == self.code.count() {
            known
        } else {
            let new = Arc::new(MadeFrom::new(&self.code));
            *self.made_from.lock() = Arc::clone(&new);
            new
        };
        let mut buffer = Vec::new();
        !made_from.is_mixed
            && made_from.parts.iter().all(|(at, bytes)| {
                buffer.resize(bytes.len(), 0);
                space.fetch_code(*at, &mut buffer) == bytes.len() && buffer == *bytes
            })
    }
}

/// A program in an address space that runs it.
#[derive(Clone)]
pub(crate) struct Attached {
    program: Arc<Program>,
    /// The space's own mappings of it.
    files: Arc<[FileCode]>,
}

impl Attached {
    pub(crate) fn code(&self) -> &Code {
        &self.program.code
    }

    fn file(&self, pc: u64) -> Option<&FileCode> {
        self.files.iter().find(|file| file.range().contains(&pc))
    }

    pub(crate) fn covers(&self, pc: u64) -> bool {
        self.file(pc).is_some()
    }

    pub(crate) fn overlaps(&self, range: &Range<u64>) -> bool {
        self.files.iter().any(|file| {
            let own = file.range();
            own.start < range.end && range.start < own.end
        })
    }

    /// True when `space`, to which it is attached, still has its code.
    pub(crate) fn is_in(&self, space: &AddressSpace) -> bool {
        self.program.is_in(space)
    }

    /// The block at `pc`, if it can be made from the program's code alone.
    pub(crate) fn translate(&self, space: &AddressSpace, pc: u64, variant: u8) -> Option<Draft> {
        let file = self.file(pc)?;
        let fetch = |addr, dst: &mut [u8]| space.fetch_file_code(file, addr, dst);
        let draft = translate::block(&fetch, pc, variant).ok()?;
        (!draft.is_cut_short).then_some(draft)
    }

    /// Adds a block; `None` when the program is full.
    pub(crate) fn publish(&self, draft: Draft, variant: u8) -> Option<*const Slot> {
        self.code().publish_within(draft, variant, MAX_SLOTS)
    }
}

/// The programs kept, the one used last at the end.
#[derive(Default)]
pub(crate) struct Programs {
    kept: Mutex<level::Code, Vec<Arc<Program>>>,
}

impl Programs {
    /// The program that was just loaded into `space`, with what is known of it.
    /// `None` when none of its code is a file's.
    pub(crate) fn attach(&self, space: &AddressSpace) -> Option<Attached> {
        let files = space.file_code();
        if files.is_empty() || files.len() > MAX_STRETCHES {
            return None;
        }
        let stretches: Vec<Stretch> = files.iter().map(Stretch::of).collect::<Option<_>>()?;
        let known = {
            let kept = self.kept.lock();
            let known = kept.iter().find(|program| program.stretches == stretches);
            known.cloned()
        };
        let (program, stale) = match known {
            Some(program) if program.is_in(space) => (program, None),
            stale => {
                let new = Arc::new(Program {
                    stretches,
                    code: Arc::new(Code::new()),
                    made_from: Mutex::default(),
                });
                (new, stale)
            }
        };
        self.keep(&program, stale.as_ref());
        Some(Attached {
            program,
            files: files.into(),
        })
    }

    /// Makes `program` the last of those kept, without `stale` and as few others as
    /// must give way.
    fn keep(&self, program: &Arc<Program>, stale: Option<&Arc<Program>>) {
        let mut dropped = Vec::new();
        let mut kept = self.kept.lock();
        kept.retain(|other| {
            let goes = Arc::ptr_eq(other, program) || stale.is_some_and(|s| Arc::ptr_eq(other, s));
            if goes {
                dropped.push(Arc::clone(other));
            }
            !goes
        });
        kept.push(Arc::clone(program));
        let mut slots: usize = kept.iter().map(|program| program.code.slots()).sum();
        while kept.len() > MAX_PROGRAMS || (slots > MAX_KEPT_SLOTS && kept.len() > 1) {
            let oldest = kept.remove(0);
            slots -= oldest.code.slots().min(slots);
            dropped.push(oldest);
        }
        drop(kept);
        // Their blocks are freed without the lock.
        drop(dropped);
    }
}

#[cfg(test)]
mod tests;
