//! How much a process has mapped, by the kinds that limits and /proc count.

use crate::vma::{Origin, Vma, VmaFlags};
use rivix_abi::mman::Prot;

/// Bytes mapped, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Everything: what RLIMIT_AS bounds.
    pub total: u64,
    /// Private and writable, but not a stack: what RLIMIT_DATA bounds.
    pub data: u64,
    pub stack: u64,
    /// Executable and not writable.
    pub exec: u64,
    /// Files and shared memory.
    pub shared: u64,
    pub locked: u64,
}

impl Usage {
    fn fields(&mut self, vma: &Vma) -> [Option<&mut u64>; 6] {
        let is_stack = vma.flags.contains(VmaFlags::GROWSDOWN);
        let is_data = is_data(vma.prot, vma.flags);
        let is_exec = vma.prot.contains(Prot::EXEC) && !vma.prot.contains(Prot::WRITE) && !is_stack;
        [
            Some(&mut self.total),
            is_data.then_some(&mut self.data),
            is_stack.then_some(&mut self.stack),
            is_exec.then_some(&mut self.exec),
            matches!(vma.origin, Origin::File { .. }).then_some(&mut self.shared),
            vma.flags
                .contains(VmaFlags::LOCKED)
                .then_some(&mut self.locked),
        ]
    }

    pub(crate) fn add(&mut self, bytes: u64, vma: &Vma) {
        for field in self.fields(vma).into_iter().flatten() {
            *field = field.saturating_add(bytes);
        }
    }

    pub(crate) fn sub(&mut self, bytes: u64, vma: &Vma) {
        for field in self.fields(vma).into_iter().flatten() {
            *field = field.saturating_sub(bytes);
        }
    }
}

/// Whether RLIMIT_DATA counts it.
pub(crate) fn is_data(prot: Prot, flags: VmaFlags) -> bool {
    prot.contains(Prot::WRITE) && !flags.intersects(VmaFlags::SHARED | VmaFlags::GROWSDOWN)
}
