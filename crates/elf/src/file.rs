//! What the loader needs of a file.

use rivix_abi::Errno;
use rivix_mem::MapSource;
use std::sync::Arc;

/// A file that may be executed: open, and checked for permission by its giver.
pub trait ExecFile: Send + Sync {
    /// Its name for messages.
    fn name(&self) -> String;

    /// Its length in bytes.
    fn len(&self) -> u64;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads from `offset`; fewer bytes than asked for only at the end.
    fn read_at(&self, dst: &mut [u8], offset: u64) -> Result<usize, Errno>;

    /// What its pages are mapped from. None: they are copied.
    fn map_source(&self) -> Option<Arc<dyn MapSource>>;
}

/// A program held in memory, for embedded guests and tests.
pub struct MemoryFile {
    name: String,
    bytes: Vec<u8>,
}

impl MemoryFile {
    pub fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> MemoryFile {
        MemoryFile {
            name: name.into(),
            bytes: bytes.into(),
        }
    }
}

impl ExecFile for MemoryFile {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, dst: &mut [u8], offset: u64) -> Result<usize, Errno> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let Some(rest) = self.bytes.get(from..) else {
            return Ok(0);
        };
        let len = rest.len().min(dst.len());
        dst[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn map_source(&self) -> Option<Arc<dyn MapSource>> {
        None
    }
}

/// Fills `dst` from `offset`, or says how much was there.
pub(crate) fn read_full(
    file: &dyn ExecFile,
    dst: &mut [u8],
    offset: u64,
) -> Result<Result<(), u64>, Errno> {
    // A negative file position, as pread(2) would say.
    if offset
        .checked_add(dst.len() as u64)
        .is_none_or(|end| i64::try_from(end).is_err())
    {
        return Err(Errno::EINVAL);
    }
    let mut done = 0;
    while done < dst.len() {
        let got = file.read_at(&mut dst[done..], offset + done as u64)?;
        if got == 0 {
            return Ok(Err(done as u64));
        }
        done = done.saturating_add(got).min(dst.len());
    }
    Ok(Ok(()))
}
