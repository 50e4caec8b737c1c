//! Reading arguments from registers, and results back into one.

use rivix_abi::{UserAddress, UserRef};
use rivix_task::Outcome;

/// A descriptor number as an argument or result.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fd(pub i32);

/// How an argument is read from its register. Narrow types take the low bits,
/// as the kernel's own `int` and `unsigned int` arguments do.
pub trait FromRaw {
    fn from_raw(raw: u64) -> Self;
}

macro_rules! narrow {
    ($($type:ty),*) => {
        $(impl FromRaw for $type {
            fn from_raw(raw: u64) -> Self {
                raw as $type
            }
        })*
    };
}
narrow!(u64, i64, u32, i32, usize);

impl FromRaw for UserAddress {
    fn from_raw(raw: u64) -> Self {
        UserAddress(raw)
    }
}

impl<T> FromRaw for UserRef<T> {
    fn from_raw(raw: u64) -> Self {
        UserRef::new(UserAddress(raw))
    }
}

impl FromRaw for Fd {
    fn from_raw(raw: u64) -> Self {
        Fd(raw as i32)
    }
}

/// What a handler returns, as a0 gets it.
pub trait IntoOutcome {
    fn into_outcome(self) -> Outcome;
}

impl IntoOutcome for Outcome {
    fn into_outcome(self) -> Outcome {
        self
    }
}

impl IntoOutcome for () {
    fn into_outcome(self) -> Outcome {
        Outcome::Value(0)
    }
}

impl IntoOutcome for Fd {
    fn into_outcome(self) -> Outcome {
        Outcome::Value(self.0 as i64 as u64)
    }
}

impl IntoOutcome for UserAddress {
    fn into_outcome(self) -> Outcome {
        Outcome::Value(self.0)
    }
}

macro_rules! wide {
    ($($type:ty),*) => {
        $(impl IntoOutcome for $type {
            fn into_outcome(self) -> Outcome {
                Outcome::Value(self as u64)
            }
        })*
    };
}
wide!(u64, i64, usize, u32, i32);
