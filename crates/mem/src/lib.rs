//! Being built.
//! Guest address spaces.
use rivix_abi::{Errno, UserAddress, UserData, UserRef};
use std::os::fd::BorrowedFd;

/// A guest's memory.
pub struct AddressSpace {}

impl AddressSpace {
    pub fn read<T: UserData>(&self, _: UserRef<T>) -> Result<T, Errno> { Err(Errno::EFAULT) }
    pub fn write<T: UserData>(&self, _: UserRef<T>, _: &T) -> Result<(), Errno> { Err(Errno::EFAULT) }
    pub fn read_bytes(&self, _: UserAddress, _: &mut [u8]) -> Result<(), Errno> { Err(Errno::EFAULT) }
    pub fn write_bytes(&self, _: UserAddress, _: &[u8]) -> Result<(), Errno> { Err(Errno::EFAULT) }
    pub fn read_partial(&self, _: UserAddress, _: &mut [u8]) -> usize { 0 }
    pub fn write_partial(&self, _: UserAddress, _: &[u8]) -> usize { 0 }
}

pub trait MapSource: Send + Sync {
    fn host_fd(&self) -> BorrowedFd<'_>;
    fn path(&self) -> Vec<u8>;
    fn dev_ino(&self) -> (u64, u64);
    fn may_read(&self) -> bool;
    fn may_write(&self) -> bool;
    fn may_exec(&self) -> bool;
}
