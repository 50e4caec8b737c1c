//! Where bytes come from and go to: guest memory or a kernel buffer, in one shape.

use rivix_abi::fcntl::Iovec;
use rivix_abi::{Errno, UserAddress};
use rivix_mem::AddressSpace;
use smallvec::SmallVec;

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
    /// As `take`, leaving the bytes to be given again.
    fn peek(&mut self, buf: &mut [u8]) -> Result<usize, Errno>;
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

    fn peek(&mut self, buf: &mut [u8]) -> Result<usize, Errno> {
        let n = buf.len().min(self.rest.len());
        buf[..n].copy_from_slice(&self.rest[..n]);
        Ok(n)
    }

    fn size_limit(&self) -> u64 {
        self.size_limit
    }
}

/// Buffers in guest memory, in order: the target of a read or the origin of a write.
pub struct UserBuffers<'a> {
    mm: &'a AddressSpace,
    parts: SmallVec<[(u64, usize); 4]>,
    /// The current part, and how much of it is done.
    part: usize,
    done: usize,
    left: usize,
    size_limit: u64,
}

impl<'a> UserBuffers<'a> {
    /// One buffer. The kernel clips transfers (read(2), NOTES).
    pub fn one(mm: &'a AddressSpace, addr: UserAddress, len: usize) -> UserBuffers<'a> {
        let len = len.min(rivix_abi::fcntl::MAX_RW_COUNT);
        let parts = SmallVec::from_iter([(addr.0, len)]);
        UserBuffers {
            mm,
            parts,
            part: 0,
            done: 0,
            left: len,
            size_limit: u64::MAX,
        }
    }

    /// An iovec array already fetched. EINVAL: a negative length, or a sum that is.
    pub fn many(mm: &'a AddressSpace, iovecs: &[Iovec]) -> Result<UserBuffers<'a>, Errno> {
        let mut left = 0u64;
        let mut parts = SmallVec::new();
        for iov in iovecs {
            if i64::try_from(iov.len).is_err() {
                return Err(Errno::EINVAL);
            }
            let room = rivix_abi::fcntl::MAX_RW_COUNT as u64 - left;
            let len = iov.len.min(room);
            left += len;
            if len > 0 {
                parts.push((iov.base, len as usize));
            }
        }
        Ok(UserBuffers {
            mm,
            parts,
            part: 0,
            done: 0,
            left: left as usize,
            size_limit: u64::MAX,
        })
    }

    /// RLIMIT_FSIZE of the writer.
    pub fn limited(mut self, size_limit: u64) -> UserBuffers<'a> {
        self.size_limit = size_limit;
        self
    }

    /// Moves up to `len` bytes; `copy` gets an address, the span of the caller's
    /// buffer, and says how much it managed.
    fn each(
        &mut self,
        len: usize,
        mut copy: impl FnMut(&AddressSpace, UserAddress, std::ops::Range<usize>) -> usize,
    ) -> Result<usize, Errno> {
        let len = len.min(self.left);
        let mut moved = 0;
        while moved < len {
            let Some(&(base, size)) = self.parts.get(self.part) else {
                break;
            };
            let want = (size - self.done).min(len - moved);
            let Some(addr) = base.checked_add(self.done as u64) else {
                break;
            };
            let n = copy(self.mm, UserAddress(addr), moved..moved + want).min(want);
            moved += n;
            self.done += n;
            self.left -= n;
            if self.done == size {
                self.part += 1;
                self.done = 0;
            }
            if n < want {
                break;
            }
        }
        if moved == 0 && len > 0 {
            Err(Errno::EFAULT)
        } else {
            Ok(moved)
        }
    }
}

impl Sink for UserBuffers<'_> {
    fn remaining(&self) -> usize {
        self.left
    }

    fn put(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        self.each(bytes.len(), |mm, addr, span| {
            mm.write_partial(addr, &bytes[span])
        })
    }
}

impl Source for UserBuffers<'_> {
    fn remaining(&self) -> usize {
        self.left
    }

    fn take(&mut self, buf: &mut [u8]) -> Result<usize, Errno> {
        self.each(buf.len(), |mm, addr, span| {
            mm.read_partial(addr, &mut buf[span])
        })
    }

    fn peek(&mut self, buf: &mut [u8]) -> Result<usize, Errno> {
        let before = (self.part, self.done, self.left);
        let result = self.take(buf);
        (self.part, self.done, self.left) = before;
        result
    }

    fn size_limit(&self) -> u64 {
        self.size_limit
    }
}
