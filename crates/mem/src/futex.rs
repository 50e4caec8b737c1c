//! What makes two futex words the same word.

use crate::space::{AddressSpace, MemAccess};
use rivix_abi::mman::Prot;
use rivix_abi::{Errno, UserAddress};

/// futex(2): "the same physical memory", as far as it can be told by names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FutexKey {
    /// FUTEX_PRIVATE_FLAG: address space and address.
    Private { space: u64, addr: u64 },
    /// Shared operation on private memory: the same, but a key space of its own,
    /// so that shared and private operations do not meet.
    Anonymous { space: u64, addr: u64 },
    /// As private, for operations that name a memory node: they do not meet others.
    OnNode { space: u64, addr: u64 },
    /// A file's or shared memory's device, inode and offset.
    Shared { dev: u64, ino: u64, offset: u64 },
}

impl AddressSpace {
    /// EINVAL when not 4-aligned; EFAULT when outside, and for shared operations
    /// also when there is no page for `access`, or one that nobody can write to
    /// and is no file's.
    pub fn futex_key(
        &self,
        addr: UserAddress,
        shared: bool,
        access: MemAccess,
    ) -> Result<FutexKey, Errno> {
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
        // Brings the page in, and finds the end of a file and a stack to grow.
        self.load_u32(UserAddress(addr))?;
        let state = self.state().read();
        let (start, vma) = state.tree.at(addr).ok_or(Errno::EFAULT)?;
        let can_write = vma.prot.contains(Prot::WRITE);
        if access == MemAccess::Write && !can_write {
            return Err(Errno::EFAULT);
        }
        match vma.file_at(start, addr) {
            // A private page that cannot be written to is still the file's.
            Some((source, offset)) if !vma.is_private() || !can_write => {
                let (dev, ino) = source.dev_ino();
                Ok(FutexKey::Shared { dev, ino, offset })
            }
            _ if can_write => Ok(FutexKey::Anonymous { space, addr }),
            _ => Err(Errno::EFAULT),
        }
    }
}
