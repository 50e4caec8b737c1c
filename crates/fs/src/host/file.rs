//! Regular files and directories of the host, at offsets we record ourselves.

use super::{HostFd, sys};
use crate::file::DirEntry;
use crate::lookup::join;
use crate::{File, FileOps, SeekFrom, Sink, Source};
use rivix_abi::Errno;
use rivix_abi::fcntl::{DT_DIR, O_ACCMODE, O_RDWR};
use rivix_abi::stat::S_IFDIR;
use rivix_mem::MapSource;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// Bounce buffer for large transfers.
const CHUNK: usize = 128 * 1024;
const SMALL: usize = 4096;

pub(crate) fn open_ops(fd: Arc<HostFd>, kind: u32) -> Box<dyn FileOps> {
    if kind == S_IFDIR {
        Box::new(HostDir { fd })
    } else {
        Box::new(HostFile {
            fd,
            shares_offset: false,
        })
    }
}

/// A regular file the embedder passed in: its offset is shared with whoever else
/// has that description (`rivix run A > f; echo b >> f`, `2>&1`), so it stays the host's.
pub(crate) fn inherited_ops(fd: Arc<HostFd>) -> Box<dyn FileOps> {
    Box::new(HostFile {
        fd,
        shares_offset: true,
    })
}

/// A regular file.
struct HostFile {
    fd: Arc<HostFd>,
    shares_offset: bool,
}

/// Where a write goes.
#[derive(Clone, Copy)]
enum To {
    At(u64),
    /// The end of the file, wherever it is then.
    End,
    /// The host's own offset, which moves.
    Shared,
    /// The end, and the host's own offset follows.
    SharedEnd,
}

/// Moves up to `want` bytes through a bounce buffer. `step` gets a buffer and the
/// bytes moved so far; zero ends the transfer.
fn bounced(
    want: usize,
    mut step: impl FnMut(&mut [u8], usize) -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    let mut small = [0u8; SMALL];
    let mut large = Vec::new();
    let buf: &mut [u8] = if want <= SMALL {
        &mut small
    } else {
        large.resize(want.min(CHUNK), 0);
        &mut large
    };
    let mut moved = 0;
    while moved < want {
        let len = buf.len().min(want - moved);
        match step(&mut buf[..len], moved) {
            Ok(n) => {
                moved += n;
                if n < len {
                    break;
                }
            }
            Err(errno) if moved == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    Ok(moved)
}

/// Reads at a position, through a bounce buffer.
pub(crate) fn read_bounced(
    fd: BorrowedFd<'_>,
    sink: &mut dyn Sink,
    at: u64,
) -> Result<usize, Errno> {
    if i64::try_from(at).is_err() {
        return Err(Errno::EINVAL);
    }
    bounced(sink.remaining(), |buf, moved| {
        let n = sys::pread(fd, buf, at.saturating_add(moved as u64))?;
        if n == 0 { Ok(0) } else { sink.put(&buf[..n]) }
    })
}

fn write_to(fd: BorrowedFd<'_>, source: &mut dyn Source, at: To) -> Result<usize, Errno> {
    let limit = source.size_limit();
    let start = match at {
        To::At(at) => at,
        _ if limit == u64::MAX => 0,
        To::End | To::SharedEnd => sys::fstat(fd)?.size as u64,
        To::Shared => sys::lseek(fd, 0, libc::SEEK_CUR)?,
    };
    let want = source.remaining();
    if want == 0 {
        return Ok(0);
    }
    let room = limit.min(i64::MAX as u64).saturating_sub(start);
    if room == 0 {
        // setrlimit(2), RLIMIT_FSIZE: the caller adds SIGXFSZ.
        return Err(Errno::EFBIG);
    }
    let want = want.min(usize::try_from(room).unwrap_or(usize::MAX));
    bounced(want, |buf, moved| {
        let got = source.take(buf)?;
        let mut put = 0;
        while put < got {
            let rest = &buf[put..got];
            let n = match at {
                To::At(at) => sys::pwrite(fd, rest, at + (moved + put) as u64),
                To::End => sys::append(fd, rest, 0),
                To::SharedEnd => sys::append(fd, rest, -1),
                To::Shared => sys::write(fd, rest),
            };
            match n {
                Ok(0) => break,
                Ok(n) => put += n,
                Err(errno) if put == 0 => return Err(errno),
                Err(_) => break,
            }
        }
        Ok(put)
    })
}

/// Writes at a position, through a bounce buffer, below the writer's size limit.
pub(crate) fn write_bounced(
    fd: BorrowedFd<'_>,
    source: &mut dyn Source,
    at: u64,
) -> Result<usize, Errno> {
    write_to(fd, source, To::At(at))
}

impl HostFile {
    fn read_at(&self, sink: &mut dyn Sink, at: u64) -> Result<usize, Errno> {
        read_bounced(self.fd.as_fd(), sink, at)
    }

    fn write_at(&self, source: &mut dyn Source, at: To) -> Result<usize, Errno> {
        write_to(self.fd.as_fd(), source, at)
    }

    fn size(&self) -> Result<u64, Errno> {
        Ok(sys::fstat(self.fd.as_fd())?.size as u64)
    }
}

impl FileOps for HostFile {
    fn read(&self, file: &File, sink: &mut dyn Sink, at: Option<u64>) -> Result<usize, Errno> {
        match at {
            Some(at) => self.read_at(sink, at),
            None if self.shares_offset => bounced(sink.remaining(), |buf, _| {
                match sys::read(self.fd.as_fd(), buf)? {
                    0 => Ok(0),
                    n => sink.put(&buf[..n]),
                }
            }),
            None => {
                let mut offset = file.offset();
                let n = self.read_at(sink, *offset)?;
                *offset += n as u64;
                Ok(n)
            }
        }
    }

    fn write(&self, file: &File, source: &mut dyn Source, at: Option<u64>) -> Result<usize, Errno> {
        if self.shares_offset && at.is_none() {
            let to = if file.is_append() {
                To::SharedEnd
            } else {
                To::Shared
            };
            return self.write_at(source, to);
        }
        // pwrite(2), BUGS: O_APPEND wins over the given position.
        match (file.is_append(), at) {
            (true, Some(_)) => self.write_at(source, To::End),
            (true, None) => {
                let mut offset = file.offset();
                let n = self.write_at(source, To::End)?;
                if n > 0 {
                    *offset = self.size()?;
                }
                Ok(n)
            }
            (false, Some(at)) => self.write_at(source, To::At(at)),
            (false, None) => {
                let mut offset = file.offset();
                let n = self.write_at(source, To::At(*offset))?;
                *offset += n as u64;
                Ok(n)
            }
        }
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn seek(&self, file: &File, to: SeekFrom) -> Result<u64, Errno> {
        if self.shares_offset {
            let (at, whence) = match to {
                SeekFrom::Start(at) => (at, libc::SEEK_SET),
                SeekFrom::Current(by) => (by, libc::SEEK_CUR),
                SeekFrom::End(by) => (by, libc::SEEK_END),
                SeekFrom::Data(at) => (at, libc::SEEK_DATA),
                SeekFrom::Hole(at) => (at, libc::SEEK_HOLE),
            };
            return sys::lseek(self.fd.as_fd(), at, whence);
        }
        let mut offset = file.offset();
        let new = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => i64::try_from(*offset)
                .ok()
                .and_then(|at| at.checked_add(by)),
            SeekFrom::End(by) => i64::try_from(self.size()?)
                .ok()
                .and_then(|at| at.checked_add(by)),
            SeekFrom::Data(at) => Some(sys::lseek(self.fd.as_fd(), at, libc::SEEK_DATA)? as i64),
            SeekFrom::Hole(at) => Some(sys::lseek(self.fd.as_fd(), at, libc::SEEK_HOLE)? as i64),
        };
        let new = new.ok_or(Errno::EOVERFLOW)?;
        *offset = u64::try_from(new).map_err(|_| Errno::EINVAL)?;
        Ok(*offset)
    }

    fn map_source(&self, file: &File) -> Result<Arc<dyn MapSource>, Errno> {
        let stat = sys::fstat(self.fd.as_fd())?;
        let path = file.place().display_path();
        Ok(Arc::new(HostMap::new(
            self.fd.clone(),
            path,
            (stat.dev, stat.ino),
            file,
        )))
    }

    fn truncate(&self, length: u64) -> Result<(), Errno> {
        sys::ftruncate(self.fd.as_fd(), length)?;
        note_length(self.fd.as_fd(), length);
        Ok(())
    }

    fn allocate(&self, mode: u32, offset: u64, len: u64) -> Result<(), Errno> {
        sys::fallocate(self.fd.as_fd(), mode, offset, len)
    }

    fn waits_for_disk(&self) -> bool {
        true
    }

    fn sync(&self, data_only: bool) -> Result<(), Errno> {
        sys::fsync(self.fd.as_fd(), data_only)
    }

    fn advise(&self, at: i64, len: i64, advice: i32) -> Result<(), Errno> {
        sys::fadvise(self.fd.as_fd(), at, len, advice)
    }

    fn sync_fs(&self) -> Result<(), Errno> {
        sys::syncfs(self.fd.as_fd())
    }
}

/// Tells mem that a file became `length` bytes long.
pub(super) fn note_length(fd: BorrowedFd<'_>, length: u64) {
    if let Ok(stat) = sys::fstat(fd) {
        rivix_mem::note_truncate((stat.dev, stat.ino), length);
    }
}

/// What mem maps of a file.
pub(crate) struct HostMap {
    fd: Arc<HostFd>,
    path: Vec<u8>,
    dev_ino: (u64, u64),
    writable: bool,
}

impl HostMap {
    pub(crate) fn new(fd: Arc<HostFd>, path: Vec<u8>, dev_ino: (u64, u64), file: &File) -> HostMap {
        HostMap {
            fd,
            path,
            dev_ino,
            writable: file.flags() & O_ACCMODE == O_RDWR,
        }
    }
}

impl MapSource for HostMap {
    fn host_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    fn path(&self) -> Vec<u8> {
        self.path.clone()
    }

    fn dev_ino(&self) -> (u64, u64) {
        self.dev_ino
    }

    fn may_read(&self) -> bool {
        true
    }

    fn may_write(&self) -> bool {
        self.writable
    }

    fn may_exec(&self) -> bool {
        true
    }
}

/// A directory, with the mount points in it that the host lacks.
struct HostDir {
    fd: Arc<HostFd>,
}

/// Cookies of entries that only we have, above every cookie a host gives.
const OWN_COOKIES: u64 = i64::MAX as u64 - 256;

impl HostDir {
    /// Names of mount points in this directory that the host does not list.
    fn own_names(&self, file: &File) -> Vec<Vec<u8>> {
        let dir = &file.place().path;
        let mounts = self.fd.shared().mount_paths.get();
        let mut names = Vec::new();
        for path in mounts.into_iter().flatten() {
            let (above, name) = crate::lookup::split(path);
            let on_host =
                || sys::c_path(name).is_ok_and(|name| sys::fstatat(self.fd.as_fd(), &name).is_ok());
            if above == &dir[..] && !name.is_empty() && join(dir, name) == path[..] && !on_host() {
                names.push(name.to_vec());
            }
        }
        names
    }
}

impl FileOps for HostDir {
    fn read(&self, _: &File, _: &mut dyn Sink, _: Option<u64>) -> Result<usize, Errno> {
        Err(Errno::EISDIR)
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn seek(&self, file: &File, to: SeekFrom) -> Result<u64, Errno> {
        let mut offset = file.offset();
        let new = match to {
            SeekFrom::Start(at) => at,
            SeekFrom::Current(by) => (*offset as i64).checked_add(by).ok_or(Errno::EOVERFLOW)?,
            SeekFrom::End(_) => sys::lseek(self.fd.as_fd(), 0, libc::SEEK_END)? as i64,
            _ => return Err(Errno::EINVAL),
        };
        *offset = u64::try_from(new).map_err(|_| Errno::EINVAL)?;
        Ok(*offset)
    }

    fn readdir(
        &self,
        file: &File,
        emit: &mut dyn FnMut(&DirEntry<'_>) -> bool,
    ) -> Result<(), Errno> {
        let mut offset = file.offset();
        let mut buf = vec![0u8; 32768];
        if *offset < OWN_COOKIES {
            sys::lseek(self.fd.as_fd(), *offset as i64, libc::SEEK_SET)?;
            loop {
                let n = sys::getdents64(self.fd.as_fd(), &mut buf)?;
                if n == 0 {
                    break;
                }
                let mut rest = &buf[..n];
                while let Some((entry, len)) = parse_dirent(rest) {
                    if !emit(&entry) {
                        return Ok(());
                    }
                    *offset = entry.next;
                    rest = &rest[len..];
                }
            }
        }
        let own = self.own_names(file);
        let from = offset.saturating_sub(OWN_COOKIES) as usize;
        for (index, name) in own.iter().enumerate().skip(from) {
            let next = OWN_COOKIES + index as u64 + 1;
            if !emit(&DirEntry {
                ino: 1,
                next,
                kind: DT_DIR,
                name,
            }) {
                return Ok(());
            }
            *offset = next;
        }
        Ok(())
    }

    fn truncate(&self, _: u64) -> Result<(), Errno> {
        Err(Errno::EISDIR)
    }

    fn waits_for_disk(&self) -> bool {
        true
    }

    fn sync(&self, data_only: bool) -> Result<(), Errno> {
        sys::fsync(self.fd.as_fd(), data_only)
    }

    fn sync_fs(&self) -> Result<(), Errno> {
        sys::syncfs(self.fd.as_fd())
    }
}

/// The first record of a getdents64 buffer and its length.
fn parse_dirent(buf: &[u8]) -> Option<(DirEntry<'_>, usize)> {
    let ino = u64::from_ne_bytes(buf.get(0..8)?.try_into().ok()?);
    let next = u64::from_ne_bytes(buf.get(8..16)?.try_into().ok()?);
    let len = usize::from(u16::from_ne_bytes(buf.get(16..18)?.try_into().ok()?));
    let kind = *buf.get(18)?;
    let name = buf.get(19..len)?;
    let end = name.iter().position(|&b| b == 0).unwrap_or(name.len());
    Some((
        DirEntry {
            ino,
            next,
            kind,
            name: &name[..end],
        },
        len,
    ))
}
