//! Where bytes come from and go to: guest memory or a kernel buffer, in one shape.

use rivix_abi::Errno;

/// Takes the bytes of a read.
pub trait Sink {
    /// Bytes still wanted.
    fn remaining(&self) -> usize;
    /// Takes bytes from the front of `bytes` and says how many. Fewer than
    /// `min(bytes.len(), remaining())` means that guest memory ended there;
    /// EFAULT when nothing at all could be stored.
    fn put(&mut self, bytes: &[u8]) -> Result<usize, Errno>;
}

/// Gives the bytes of a write.
pub trait Source {
    /// Bytes still to give.
    fn remaining(&self) -> usize;
    /// Fills `buf` from the front and says how much. Fewer than
    /// `min(buf.len(), remaining())` means that guest memory ended there;
    /// EFAULT when nothing at all could be fetched.
    fn take(&mut self, buf: &mut [u8]) -> Result<usize, Errno>;
    /// RLIMIT_FSIZE of the writer.
    fn size_limit(&self) -> u64 {
        u64::MAX
    }
}

/// A kernel buffer that grows to at most `limit` bytes.
pub struct VecSink {
    pub bytes: Vec<u8>,
    limit: usize,
}

impl VecSink {
    pub fn new(limit: usize) -> Self {
        VecSink {
            bytes: Vec::new(),
            limit,
        }
    }
}

impl Sink for VecSink {
    fn remaining(&self) -> usize {
        self.limit - self.bytes.len()
    }

    fn put(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        let n = bytes.len().min(self.remaining());
        self.bytes.extend_from_slice(&bytes[..n]);
        Ok(n)
    }
}

/// A kernel buffer to be written.
pub struct SliceSource<'a> {
    rest: &'a [u8],
    size_limit: u64,
}

impl<'a> SliceSource<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        SliceSource {
            rest: bytes,
            size_limit: u64::MAX,
        }
    }

    pub fn with_size_limit(bytes: &'a [u8], size_limit: u64) -> Self {
        SliceSource {
            rest: bytes,
            size_limit,
        }
    }
}

impl Source for SliceSource<'_> {
    fn remaining(&self) -> usize {
        self.rest.len()
    }

    fn take(&mut self, buf: &mut [u8]) -> Result<usize, Errno> {
        let n = buf.len().min(self.rest.len());
        let (now, rest) = self.rest.split_at(n);
        buf[..n].copy_from_slice(now);
        self.rest = rest;
        Ok(n)
    }

    fn size_limit(&self) -> u64 {
        self.size_limit
    }
}
