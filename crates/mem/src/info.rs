//! What /proc shows of an address space.

use crate::pages::populated;
use crate::space::AddressSpace;
use crate::vma::{Origin, VmaFlags};
use rivix_abi::PAGE_SIZE;
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
        state
            .tree
            .iter()
            .map(|(start, vma)| {
                let (offset, dev_ino, path) = match &vma.origin {
                    Origin::Anonymous { .. } => (0, (0, 0), None),
                    Origin::File { source, offset } => {
                        (*offset, source.dev_ino(), Some(source.path()))
                    }
                };
                let special = || {
                    if let Some(label) = &vma.label {
                        let kind: &[u8] = if vma.is_private() {
                            b"[anon:"
                        } else {
                            b"[anon_shmem:"
                        };
                        return [kind, label, b"]"].concat();
                    }
                    let name = if let Some(name) = vma.name {
                        name
                    } else if state.brk > state.brk_start
                        && start <= state.brk
                        && vma.end >= state.brk_start
                    {
                        "[heap]"
                    } else if start <= state.stack_start && vma.end >= state.stack_start {
                        "[stack]"
                    } else {
                        ""
                    };
                    name.as_bytes().to_vec()
                };
                MappingInfo {
                    range: start..vma.end,
                    prot: vma.prot,
                    shared: !vma.is_private(),
                    offset,
                    dev_ino,
                    name: match path {
                        Some(path) if vma.label.is_none() => path,
                        _ => special(),
                    },
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
        let mut pages = 0u64;
        for (start, vma) in state.tree.iter() {
            if vma.lineage == 0 && vma.is_private_anonymous() {
                continue;
            }
            populated(self.window(), &(start..vma.end), false, &mut |run| {
                pages += (run.end - run.start) / PAGE_SIZE;
            });
        }
        pages * PAGE_SIZE
    }

    /// Where the heap lies: its start and the current break.
    pub fn heap(&self) -> Range<u64> {
        let state = self.state().read();
        state.brk_start..state.brk
    }
}
