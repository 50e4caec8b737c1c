//! Whose system calls a program makes.

use crate::error::{Error, Result};
use std::fmt;
use std::str::FromStr;

/// The personality of a program: whose system calls it makes, by which numbers. Its
/// children have the same one, whatever programs they run.
///
/// Two tutorials, in which students write a kernel for riscv64, have user programs
/// of their own. With their personality such programs run here; `syscalls/TEACHING.md`
/// in the sources says what each call does. A Linux program never meets them.
///
/// ```
/// let abi: rivix::Abi = "rcore".parse().unwrap();
/// assert_eq!(abi, rivix::Abi::Rcore);
/// assert_eq!(rivix::Abi::default(), rivix::Abi::Linux);
/// let error = "xv6".parse::<rivix::Abi>().unwrap_err();
/// assert_eq!(error.to_string(), "xv6: unknown ABI; choose one of: linux, rcore, ucore");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Abi {
    /// Linux.
    #[default]
    Linux,
    /// The kernel of the rCore tutorial, chapter 8 and those before it.
    Rcore,
    /// The kernel of the uCore tutorial, chapter 8 and those before it.
    Ucore,
}

impl Abi {
    /// The name of the personality used by default.
    pub const DEFAULT_NAME: &'static str = "linux";
    const ALL: [Abi; 3] = [Abi::Linux, Abi::Rcore, Abi::Ucore];

    pub(crate) fn inner(self) -> rivix_task::Abi {
        match self {
            Abi::Linux => rivix_task::Abi::Linux,
            Abi::Rcore => rivix_task::Abi::Rcore,
            Abi::Ucore => rivix_task::Abi::Ucore,
        }
    }
}

impl fmt::Display for Abi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.inner().name())
    }
}

impl FromStr for Abi {
    type Err = Error;

    fn from_str(name: &str) -> Result<Abi> {
        let found = Abi::ALL.iter().find(|abi| abi.inner().name() == name);
        found.copied().ok_or_else(|| Error::UnknownAbi {
            name: name.to_owned(),
            known: Abi::ALL.map(|abi| abi.to_string()).join(", "),
        })
    }
}
