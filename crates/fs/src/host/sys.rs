//! Host calls as safe functions. Every one keeps F1: pointers are to live buffers
//! of this process with their true length, or to NUL-terminated strings.

use rivix_abi::Errno;
use rivix_abi::stat::Stat;
use rivix_abi::statfs::Statfs;
use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// A name or path for the host; a NUL inside cannot name anything.
pub(crate) fn c_path(path: &[u8]) -> Result<CString, Errno> {
    CString::new(path).map_err(|_| Errno::ENOENT)
}

fn check(result: i64) -> Result<usize, Errno> {
    usize::try_from(result).map_err(|_| Errno::last_host())
}

/// Repeats a call that a host signal interrupted; for calls that cannot block long.
fn retry(mut call: impl FnMut() -> i64) -> Result<usize, Errno> {
    loop {
        match check(call()) {
            Err(Errno::EINTR) => {}
            done => return done,
        }
    }
}

fn owned(fd: usize) -> OwnedFd {
    // SAFETY: F2, the host just returned this descriptor to us alone.
    unsafe { OwnedFd::from_raw_fd(fd as i32) }
}

pub(crate) fn nofile_limit() -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: F1, a live rlimit.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    limit.rlim_cur
}

#[repr(C)]
struct HostOpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

pub(crate) fn openat2(
    dir: BorrowedFd<'_>,
    path: &CStr,
    flags: i32,
    mode: u32,
    resolve: u64,
) -> Result<OwnedFd, Errno> {
    let how = HostOpenHow {
        flags: flags as u32 as u64,
        mode: mode.into(),
        resolve,
    };
    loop {
        let result = retry(|| {
            // SAFETY: F1.
            unsafe {
                libc::syscall(
                    libc::SYS_openat2,
                    dir.as_raw_fd(),
                    path.as_ptr(),
                    &raw const how,
                    size_of::<HostOpenHow>(),
                )
            }
        });
        match result {
            // A rename raced with the walk (openat2(2)): walk again.
            Err(Errno::EAGAIN) => std::thread::yield_now(),
            other => return other.map(owned),
        }
    }
}

pub(crate) fn openat(
    dir: BorrowedFd<'_>,
    path: &CStr,
    flags: i32,
    mode: u32,
) -> Result<OwnedFd, Errno> {
    // SAFETY: F1.
    retry(|| unsafe { libc::openat(dir.as_raw_fd(), path.as_ptr(), flags, mode) }.into()).map(owned)
}

/// Opens a path of the host as the embedder wrote it.
pub(crate) fn open_host_path(path: &CStr, flags: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: F1.
    retry(|| unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC) }.into()).map(owned)
}

fn to_stat(host: &libc::stat) -> Stat {
    Stat {
        dev: host.st_dev,
        ino: host.st_ino,
        mode: host.st_mode,
        nlink: host.st_nlink.try_into().unwrap_or(u32::MAX),
        uid: host.st_uid,
        gid: host.st_gid,
        rdev: host.st_rdev,
        size: host.st_size,
        blksize: host.st_blksize as i32,
        blocks: host.st_blocks,
        atime: host.st_atime,
        atime_nsec: host.st_atime_nsec as u64,
        mtime: host.st_mtime,
        mtime_nsec: host.st_mtime_nsec as u64,
        ctime: host.st_ctime,
        ctime_nsec: host.st_ctime_nsec as u64,
        ..Stat::default()
    }
}

pub(crate) fn fstat(fd: BorrowedFd<'_>) -> Result<Stat, Errno> {
    let mut stat = MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: F1; all zero is a valid stat.
    let stat = unsafe {
        check(libc::fstat(fd.as_raw_fd(), stat.as_mut_ptr()).into())?;
        stat.assume_init()
    };
    Ok(to_stat(&stat))
}

pub(crate) fn fstatat(dir: BorrowedFd<'_>, name: &CStr) -> Result<Stat, Errno> {
    let mut stat = MaybeUninit::<libc::stat>::zeroed();
    let flags = libc::AT_SYMLINK_NOFOLLOW;
    // SAFETY: F1; all zero is a valid stat.
    let stat = unsafe {
        check(libc::fstatat(dir.as_raw_fd(), name.as_ptr(), stat.as_mut_ptr(), flags).into())?;
        stat.assume_init()
    };
    Ok(to_stat(&stat))
}

/// Birth time and attributes, which stat lacks.
pub(crate) fn statx(fd: BorrowedFd<'_>) -> Option<libc::statx> {
    let mut stat = MaybeUninit::<libc::statx>::zeroed();
    let mask = libc::STATX_BASIC_STATS | libc::STATX_BTIME;
    // SAFETY: F1; all zero is a valid statx.
    unsafe {
        let flags = libc::AT_EMPTY_PATH;
        check(libc::statx(fd.as_raw_fd(), c"".as_ptr(), flags, mask, stat.as_mut_ptr()).into())
            .ok()?;
        Some(stat.assume_init())
    }
}

pub(crate) fn fstatfs(fd: BorrowedFd<'_>) -> Result<Statfs, Errno> {
    let mut host = MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: F1; all zero is a valid statfs, and the layouts are equal.
    unsafe {
        check(libc::fstatfs(fd.as_raw_fd(), host.as_mut_ptr()).into())?;
        let host = host.assume_init();
        const { assert!(size_of::<libc::statfs>() == size_of::<Statfs>()) };
        Ok(std::mem::transmute::<libc::statfs, Statfs>(host))
    }
}

/// A symlink's text, by an O_PATH descriptor of the link itself.
pub(crate) fn readlink_fd(fd: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    readlinkat(fd, c"")
}

pub(crate) fn readlinkat(fd: BorrowedFd<'_>, name: &CStr) -> Result<Vec<u8>, Errno> {
    let mut buf = vec![0u8; 4096];
    // SAFETY: F1.
    let n = check(unsafe {
        libc::readlinkat(
            fd.as_raw_fd(),
            name.as_ptr(),
            buf.as_mut_ptr().cast(),
            buf.len(),
        )
    } as i64)?;
    buf.truncate(n);
    Ok(buf)
}

pub(crate) fn pread(fd: BorrowedFd<'_>, buf: &mut [u8], at: u64) -> Result<usize, Errno> {
    let at = i64::try_from(at).map_err(|_| Errno::EINVAL)?;
    // SAFETY: F1.
    retry(|| unsafe { libc::pread(fd.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len(), at) } as i64)
}

pub(crate) fn pwrite(fd: BorrowedFd<'_>, buf: &[u8], at: u64) -> Result<usize, Errno> {
    let at = i64::try_from(at).map_err(|_| Errno::EINVAL)?;
    // SAFETY: F1.
    retry(|| unsafe { libc::pwrite(fd.as_raw_fd(), buf.as_ptr().cast(), buf.len(), at) } as i64)
}

/// Writes at the end, wherever that is at that moment. `offset` -1 moves the
/// descriptor's own offset there, 0 leaves it (pwritev2(2)).
pub(crate) fn append(fd: BorrowedFd<'_>, buf: &[u8], offset: i64) -> Result<usize, Errno> {
    let iov = libc::iovec {
        iov_base: buf.as_ptr().cast_mut().cast(),
        iov_len: buf.len(),
    };
    retry(|| {
        // SAFETY: F1; the buffer is only read.
        let n =
            unsafe { libc::pwritev2(fd.as_raw_fd(), &raw const iov, 1, offset, libc::RWF_APPEND) };
        n as i64
    })
}

/// Reads at the descriptor's own offset.
pub(crate) fn read(fd: BorrowedFd<'_>, buf: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: F1.
    retry(|| unsafe { libc::read(fd.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len()) } as i64)
}

/// Writes at the descriptor's own offset.
pub(crate) fn write(fd: BorrowedFd<'_>, buf: &[u8]) -> Result<usize, Errno> {
    // SAFETY: F1.
    retry(|| unsafe { libc::write(fd.as_raw_fd(), buf.as_ptr().cast(), buf.len()) } as i64)
}

pub(crate) fn lseek(fd: BorrowedFd<'_>, at: i64, whence: i32) -> Result<u64, Errno> {
    // SAFETY: takes no pointers.
    check(unsafe { libc::lseek(fd.as_raw_fd(), at, whence) }).map(|at| at as u64)
}

/// Raw directory records.
pub(crate) fn getdents64(fd: BorrowedFd<'_>, buf: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: F1.
    check(unsafe {
        libc::syscall(
            libc::SYS_getdents64,
            fd.as_raw_fd(),
            buf.as_mut_ptr(),
            buf.len(),
        )
    })
}

pub(crate) fn ftruncate(fd: BorrowedFd<'_>, len: u64) -> Result<(), Errno> {
    let len = i64::try_from(len).map_err(|_| Errno::EFBIG)?;
    // SAFETY: takes no pointers.
    retry(|| unsafe { libc::ftruncate(fd.as_raw_fd(), len) }.into()).map(drop)
}

pub(crate) fn fallocate(fd: BorrowedFd<'_>, mode: u32, at: u64, len: u64) -> Result<(), Errno> {
    let at = i64::try_from(at).map_err(|_| Errno::EFBIG)?;
    let len = i64::try_from(len).map_err(|_| Errno::EFBIG)?;
    // SAFETY: takes no pointers.
    retry(|| unsafe { libc::fallocate(fd.as_raw_fd(), mode as i32, at, len) }.into()).map(drop)
}

pub(crate) fn fsync(fd: BorrowedFd<'_>, data_only: bool) -> Result<(), Errno> {
    let call = if data_only {
        libc::fdatasync
    } else {
        libc::fsync
    };
    // SAFETY: takes no pointers.
    retry(|| unsafe { call(fd.as_raw_fd()) }.into()).map(drop)
}

pub(crate) fn syncfs(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: takes no pointers.
    check(unsafe { libc::syncfs(fd.as_raw_fd()) }.into()).map(drop)
}

pub(crate) fn fadvise(fd: BorrowedFd<'_>, at: i64, len: i64, advice: i32) -> Result<(), Errno> {
    // SAFETY: takes no pointers. The error is the result itself (posix_fadvise(3)).
    match unsafe { libc::posix_fadvise(fd.as_raw_fd(), at, len, advice) } {
        0 => Ok(()),
        raw => Err(Errno::from_host(raw)),
    }
}

pub(crate) fn fchmod(fd: BorrowedFd<'_>, mode: u32) -> Result<(), Errno> {
    // SAFETY: takes no pointers.
    check(unsafe { libc::fchmod(fd.as_raw_fd(), mode) }.into()).map(drop)
}

pub(crate) fn fchmodat(dir: BorrowedFd<'_>, name: &CStr, mode: u32) -> Result<(), Errno> {
    // SAFETY: F1.
    check(unsafe { libc::fchmodat(dir.as_raw_fd(), name.as_ptr(), mode, 0) }.into()).map(drop)
}

pub(crate) fn fchownat(
    dir: BorrowedFd<'_>,
    name: &CStr,
    uid: u32,
    gid: u32,
    flags: i32,
) -> Result<(), Errno> {
    // SAFETY: F1.
    check(unsafe { libc::fchownat(dir.as_raw_fd(), name.as_ptr(), uid, gid, flags) }.into())
        .map(drop)
}

pub(crate) fn utimensat(
    dir: BorrowedFd<'_>,
    name: &CStr,
    times: &[libc::timespec; 2],
    flags: i32,
) -> Result<(), Errno> {
    // SAFETY: F1.
    check(unsafe { libc::utimensat(dir.as_raw_fd(), name.as_ptr(), times.as_ptr(), flags) }.into())
        .map(drop)
}

pub(crate) fn faccessat(dir: BorrowedFd<'_>, name: &CStr, mode: u32) -> Result<(), Errno> {
    // faccessat2(2) for AT_EMPTY_PATH; effective ids, as opens use.
    let flags = libc::AT_EMPTY_PATH | libc::AT_EACCESS | libc::AT_SYMLINK_NOFOLLOW;
    // SAFETY: F1.
    check(unsafe {
        libc::syscall(
            libc::SYS_faccessat2,
            dir.as_raw_fd(),
            name.as_ptr(),
            mode,
            flags,
        )
    })
    .map(drop)
}

pub(crate) fn mkdirat(dir: BorrowedFd<'_>, name: &CStr, mode: u32) -> Result<(), Errno> {
    // SAFETY: F1.
    check(unsafe { libc::mkdirat(dir.as_raw_fd(), name.as_ptr(), mode) }.into()).map(drop)
}

pub(crate) fn mknodat(dir: BorrowedFd<'_>, name: &CStr, mode: u32) -> Result<(), Errno> {
    // SAFETY: F1.
    check(unsafe { libc::mknodat(dir.as_raw_fd(), name.as_ptr(), mode, 0) }.into()).map(drop)
}

pub(crate) fn symlinkat(target: &CStr, dir: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    // SAFETY: F1.
    check(unsafe { libc::symlinkat(target.as_ptr(), dir.as_raw_fd(), name.as_ptr()) }.into())
        .map(drop)
}

pub(crate) fn linkat(
    from: BorrowedFd<'_>,
    name: &CStr,
    to: BorrowedFd<'_>,
    new_name: &CStr,
    flags: i32,
) -> Result<(), Errno> {
    // SAFETY: F1.
    check(
        unsafe {
            libc::linkat(
                from.as_raw_fd(),
                name.as_ptr(),
                to.as_raw_fd(),
                new_name.as_ptr(),
                flags,
            )
        }
        .into(),
    )
    .map(drop)
}

pub(crate) fn unlinkat(dir: BorrowedFd<'_>, name: &CStr, flags: i32) -> Result<(), Errno> {
    // SAFETY: F1.
    check(unsafe { libc::unlinkat(dir.as_raw_fd(), name.as_ptr(), flags) }.into()).map(drop)
}

pub(crate) fn renameat2(
    from: BorrowedFd<'_>,
    name: &CStr,
    to: BorrowedFd<'_>,
    new_name: &CStr,
    flags: u32,
) -> Result<(), Errno> {
    // SAFETY: F1.
    check(unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            from.as_raw_fd(),
            name.as_ptr(),
            to.as_raw_fd(),
            new_name.as_ptr(),
            flags,
        )
    })
    .map(drop)
}

/// Events of `events` that are true now.
pub(crate) fn poll_now(fd: BorrowedFd<'_>, events: u32) -> u32 {
    let mut poll = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: events as i16,
        revents: 0,
    };
    // SAFETY: F1, one live pollfd; a zero timeout never blocks.
    let n = unsafe { libc::poll(&mut poll, 1, 0) };
    if n > 0 {
        u32::from(poll.revents as u16)
    } else {
        0
    }
}

/// ioctl with a pointer to one plain structure.
pub(crate) fn ioctl_with<T: bytemuck::Pod>(
    fd: BorrowedFd<'_>,
    request: u32,
    value: &mut T,
) -> Result<u64, Errno> {
    // SAFETY: F1; callers pair each request with the structure the kernel documents.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), request.into(), std::ptr::from_mut(value)) }.into())
        .map(|n| n as u64)
}

/// ioctl whose argument is a number.
pub(crate) fn ioctl_number(fd: BorrowedFd<'_>, request: u32, arg: u64) -> Result<u64, Errno> {
    // SAFETY: callers name only requests that take no pointer.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), request.into(), arg) }.into()).map(|n| n as u64)
}

pub(crate) fn memfd(name: &CStr, flags: u32) -> Result<OwnedFd, Errno> {
    // SAFETY: F1.
    check(unsafe { libc::memfd_create(name.as_ptr(), flags | libc::MFD_CLOEXEC) }.into()).map(owned)
}

pub(crate) fn fcntl(fd: BorrowedFd<'_>, command: i32, arg: u64) -> Result<u64, Errno> {
    // SAFETY: callers name only commands that take a number.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), command, arg) }.into()).map(|n| n as u64)
}

pub(crate) fn getrandom(buf: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: F1.
    retry(|| unsafe { libc::getrandom(buf.as_mut_ptr().cast(), buf.len(), 0) } as i64)
}

/// Extended attributes go by path: an O_PATH descriptor has no fgetxattr. The host's
/// own /proc/self/fd is the documented way (open(2), O_PATH).
pub(crate) fn proc_fd_path(fd: BorrowedFd<'_>) -> CString {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    CString::new(path).unwrap_or_default()
}

pub(crate) fn getxattr(path: &CStr, name: &CStr, buf: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: F1.
    check(unsafe {
        libc::getxattr(
            path.as_ptr(),
            name.as_ptr(),
            buf.as_mut_ptr().cast(),
            buf.len(),
        )
    } as i64)
}

pub(crate) fn setxattr(path: &CStr, name: &CStr, value: &[u8], flags: u32) -> Result<(), Errno> {
    // SAFETY: F1.
    check(
        unsafe {
            libc::setxattr(
                path.as_ptr(),
                name.as_ptr(),
                value.as_ptr().cast(),
                value.len(),
                flags as i32,
            )
        }
        .into(),
    )
    .map(drop)
}

pub(crate) fn listxattr(path: &CStr) -> Result<Vec<u8>, Errno> {
    let mut buf = vec![0u8; 65536];
    // SAFETY: F1.
    let n = check(
        unsafe { libc::listxattr(path.as_ptr(), buf.as_mut_ptr().cast(), buf.len()) } as i64,
    )?;
    buf.truncate(n);
    Ok(buf)
}

pub(crate) fn removexattr(path: &CStr, name: &CStr) -> Result<(), Errno> {
    // SAFETY: F1.
    check(unsafe { libc::removexattr(path.as_ptr(), name.as_ptr()) }.into()).map(drop)
}

/// Runs a call on a terminal as job control has it: where this process is in the
/// background, the host stops it (SIGTTIN, SIGTTOU), as it does any program. Our
/// threads hold signals back, which the host would take for a refusal to be stopped.
pub(super) fn under_job_control<R>(call: impl FnOnce() -> R) -> R {
    // SAFETY: both sets are live and plain bytes; the thread's own mask is changed, and
    // put back.
    let before = unsafe {
        let mut stops: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut stops);
        libc::sigaddset(&mut stops, libc::SIGTTIN);
        libc::sigaddset(&mut stops, libc::SIGTTOU);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &stops, &mut before);
        before
    };
    let result = call();
    // SAFETY: as above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut()) };
    result
}
