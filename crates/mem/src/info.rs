//! What /proc shows of an address space.

use crate::layer;
use crate::pages::populated;
use crate::space::AddressSpace;
use crate::vma::{Origin, Tree, Vma, VmaFlags};
use rivix_abi::mman::Prot;
use std::ops::Range;

/// A line of /proc/self/maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappingInfo {
    pub range: Range<u64>,
    pub prot: Prot,
    pub shared: bool,
    pub offset: u64,
    /// Device and inode; zeros without a file.
    pub dev_ino: (u64, u64),
    /// A path, a name in brackets, or nothing.
    pub name: Vec<u8>,
    pub locked: bool,
    pub grows_down: bool,
}

impl AddressSpace {
    /// All mappings by address.
    pub fn mappings(&self) -> Vec<MappingInfo> {
        let state = self.state().read();
        shown(&state.tree)
            .into_iter()
            .map(|(start, end, vma)| {
                let (offset, dev_ino, path) = match &vma.origin {
                    Origin::Anonymous { .. } => (0, (0, 0), None),
                    Origin::File { source, offset } => {
                        (*offset, source.dev_ino(), Some(source.path()))
                    }
                };
                let special = || {
                    if let Some(name) = vma.name {
                        name
                    } else if state.brk > state.brk_start
                        && start <= state.brk
                        && end >= state.brk_start
                    {
                        "[heap]"
                    } else if start <= state.stack_start && end >= state.stack_start {
                        "[stack]"
                    } else {
                        ""
                    }
                };
                MappingInfo {
                    range: start..end,
                    prot: vma.prot,
                    shared: !vma.is_private(),
                    offset,
                    dev_ino,
                    name: path.unwrap_or_else(|| special().as_bytes().to_vec()),
                    locked: vma.flags.contains(VmaFlags::LOCKED),
                    grows_down: vma.flags.contains(VmaFlags::GROWSDOWN),
                }
            })
            .collect()
    }

    /// How many mappings there are.
    pub fn mapping_count(&self) -> usize {
        self.state().read().tree.len()
    }

    /// Bytes of guest memory that the host holds pages for (VmRSS).
    pub fn resident_bytes(&self) -> u64 {
        let state = self.state().read();
        let base = self.window().base();
        let mut bytes = 0u64;
        let count = |range: Range<u64>| {
            let mut bytes = 0;
            populated(base, &range, false, &mut |run| bytes += run.end - run.start);
            bytes
        };
        for (start, vma) in state.tree.iter() {
            if vma.lineage == 0 && vma.is_private_anonymous() {
                continue;
            }
            let mut reached = start;
            for (part, chain) in state.lazy.clipped(&(start..vma.end)) {
                bytes += count(reached..part.start) + layer::resident(base, &part, &chain);
                reached = part.end;
            }
            bytes += count(reached..vma.end);
        }
        bytes
    }

    /// Where the heap lies: its start and the current break.
    pub fn heap(&self) -> Range<u64> {
        let state = self.state().read();
        state.brk_start..state.brk
    }
}

/// The mappings as Linux would have them: what a fork left waiting to be touched,
/// and what lies beside it, may be one.
fn shown(tree: &Tree) -> Vec<(u64, u64, &Vma)> {
    let mut shown: Vec<(u64, u64, &Vma)> = Vec::with_capacity(tree.len());
    for (start, vma) in tree.iter() {
        if let Some((_, end, last)) = shown.last_mut()
            && *end == start
            && (last.flags ^ vma.flags) == VmaFlags::LAZY
            && last.is_private_anonymous()
            && vma.is_private_anonymous()
            && (last.prot, last.name) == (vma.prot, vma.name)
        {
            *end = vma.end;
            continue;
        }
        shown.push((start, vma.end, vma));
    }
    shown
}
