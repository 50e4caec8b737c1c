//! Guest addresses. A guest address is a claim, never a pointer: nothing here
//! dereferences.

use crate::Errno;
use bytemuck::{AnyBitPattern, NoUninit};
use core::fmt;
use core::marker::PhantomData;

/// Bytes in a guest page.
pub const PAGE_SIZE: u64 = 4096;

/// An address a guest named. Arithmetic is checked and fails with EFAULT.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UserAddress(pub u64);

impl UserAddress {
    pub const NULL: UserAddress = UserAddress(0);

    pub fn is_null(self) -> bool {
        self.0 == 0
    }

    /// This address plus `bytes`; EFAULT on overflow.
    pub fn offset(self, bytes: u64) -> Result<UserAddress, Errno> {
        self.0
            .checked_add(bytes)
            .map(UserAddress)
            .ok_or(Errno::EFAULT)
    }

    pub fn is_page_aligned(self) -> bool {
        self.0.is_multiple_of(PAGE_SIZE)
    }

    pub fn page_floor(self) -> UserAddress {
        UserAddress(self.0 & !(PAGE_SIZE - 1))
    }

    /// None: NULL, as optional pointer arguments use it.
    pub fn non_null(self) -> Option<UserAddress> {
        (!self.is_null()).then_some(self)
    }
}

impl fmt::Debug for UserAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// `value` rounded up to a page; None on overflow.
pub fn page_ceil(value: u64) -> Option<u64> {
    value
        .checked_add(PAGE_SIZE - 1)
        .map(|v| v & !(PAGE_SIZE - 1))
}

/// Plain bytes without padding, which may cross the guest boundary.
pub trait UserData: AnyBitPattern + NoUninit {}
impl<T: AnyBitPattern + NoUninit> UserData for T {}

/// The claimed address of a `T` in guest memory.
pub struct UserRef<T> {
    pub addr: UserAddress,
    _of: PhantomData<fn() -> T>,
}

impl<T> UserRef<T> {
    pub fn new(addr: UserAddress) -> Self {
        UserRef {
            addr,
            _of: PhantomData,
        }
    }

    pub fn is_null(self) -> bool {
        self.addr.is_null()
    }

    pub fn non_null(self) -> Option<Self> {
        (!self.is_null()).then_some(self)
    }

    /// The `index`-th element of an array that begins here.
    pub fn at(self, index: u64) -> Result<Self, Errno> {
        let bytes = index
            .checked_mul(size_of::<T>() as u64)
            .ok_or(Errno::EFAULT)?;
        Ok(Self::new(self.addr.offset(bytes)?))
    }
}

impl<T> Clone for UserRef<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for UserRef<T> {}
impl<T> fmt::Debug for UserRef<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.addr.fmt(f)
    }
}
