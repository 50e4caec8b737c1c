//! What makes two futex words the same word.

use crate::space::{AddressSpace, FaultCause, MemAccess};
use rivix_abi::{Errno, UserAddress};

/// futex(2): "the same physical memory", as far as it can be told by names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FutexKey {
    /// FUTEX_PRIVATE_FLAG: address space and address.
    Private { space: u64, addr: u64 },
    /// Shared operation on private memory: the same, but a key space of its own,
    /// so that shared and private operations do not meet.
    Anonymous { space: u64, addr: u64 },
    /// A file's or shared memory's device, inode and offset.
    Shared { dev: u64, ino: u64, offset: u64 },
}

impl AddressSpace {
    /// EINVAL when not 4-aligned; EFAULT when outside, and for shared operations
    /// also when not mapped readable.
    pub fn futex_key(&self, addr: UserAddress, shared: bool) -> Result<FutexKey, Errno> {
        if !addr.0.is_multiple_of(4) {
            return Err(Errno::EINVAL);
        }
        if self.range(addr.0, 4).is_none() {
            return Err(Errno::EFAULT);
        }
        let (space, addr) = (self.id(), addr.0);
        if !shared {
            return Ok(FutexKey::Private { space, addr });
        }
        for _ in 0..2 {
            let state = self.state().read();
            if let Some((start, vma)) = state.tree.at(addr) {
                if !vma.may_load() {
                    return Err(Errno::EFAULT);
                }
                return Ok(match vma.file_at(start, addr) {
                    Some((source, offset)) if !vma.is_private() => {
                        let (dev, ino) = source.dev_ino();
                        FutexKey::Shared { dev, ino, offset }
                    }
                    _ => FutexKey::Anonymous { space, addr },
                });
            }
            drop(state);
            // The word may lie on a stack that has yet to grow.
            if self.fault_cause(addr, MemAccess::Read, false) != FaultCause::Retry {
                break;
            }
        }
        Err(Errno::EFAULT)
    }
}
