//! userfaultfd(2), in the one form used here: a page that is missing from a
//! registered range raises SIGBUS where it is touched, and is put there by a
//! copy that is atomic to all who look.
//!
//! `UFFD_USER_MODE_ONLY` needs no privilege. System calls of the host that
//! touch such a page fail with EFAULT; none is ever given a guest address.

use rivix_abi::{Errno, PAGE_SIZE};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::OnceLock;

/// The one descriptor of this host process.
pub(crate) struct Uffd(OwnedFd);

#[repr(C)]
#[derive(Default)]
struct Api {
    api: u64,
    features: u64,
    ioctls: u64,
}

#[repr(C)]
#[derive(Default)]
struct Register {
    start: u64,
    len: u64,
    mode: u64,
    ioctls: u64,
}

#[repr(C)]
struct HostRange {
    start: u64,
    len: u64,
}

#[repr(C)]
#[derive(Default)]
struct Copy {
    dst: u64,
    src: u64,
    len: u64,
    mode: u64,
    copied: i64,
}

// linux/userfaultfd.h
const USER_MODE_ONLY: i32 = 1;
const API: u64 = 0xaa;
const FEATURE_SIGBUS: u64 = 1 << 7;
const MODE_MISSING: u64 = 1;
const UFFDIO_API: libc::Ioctl = 0xc018_aa3f;
const UFFDIO_REGISTER: libc::Ioctl = 0xc020_aa00;
const UFFDIO_UNREGISTER: libc::Ioctl = 0x8010_aa01;
const UFFDIO_COPY: libc::Ioctl = 0xc028_aa03;

/// The descriptor; None where the host has or allows none.
pub(crate) fn get() -> Option<&'static Uffd> {
    static UFFD: OnceLock<Option<Uffd>> = OnceLock::new();
    UFFD.get_or_init(Uffd::open).as_ref()
}

impl Uffd {
    fn open() -> Option<Uffd> {
        // SAFETY: a system call without pointers; the new descriptor is owned at once.
        let fd = unsafe {
            let fd = libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | USER_MODE_ONLY);
            if fd < 0 {
                return None;
            }
            OwnedFd::from_raw_fd(fd as i32)
        };
        let mut api = Api {
            api: API,
            features: FEATURE_SIGBUS,
            ..Api::default()
        };
        // SAFETY: the structure that this request takes.
        let got = unsafe { libc::ioctl(fd.as_raw_fd(), UFFDIO_API, &raw mut api) };
        (got == 0).then_some(Uffd(fd))
    }

    /// Missing pages of the host range raise SIGBUS from now on. It is private
    /// anonymous memory of a window.
    pub(crate) fn register(&self, host: usize, len: usize) -> Result<(), Errno> {
        let mut register = Register {
            start: host as u64,
            len: len as u64,
            mode: MODE_MISSING,
            ioctls: 0,
        };
        // SAFETY: the structure that this request takes; pages stay as they are.
        check(unsafe { libc::ioctl(self.0.as_raw_fd(), UFFDIO_REGISTER, &raw mut register) })
    }

    /// Missing pages of the host range are zeros again, made by the host.
    pub(crate) fn unregister(&self, host: usize, len: usize) -> Result<(), Errno> {
        let mut range = HostRange {
            start: host as u64,
            len: len as u64,
        };
        // SAFETY: the structure that this request takes; pages stay as they are.
        check(unsafe { libc::ioctl(self.0.as_raw_fd(), UFFDIO_UNREGISTER, &raw mut range) })
    }

    /// Puts copies of the pages at `src` where pages are missing at `dst`; the
    /// number of bytes, at least a page. It stops before a page that is there;
    /// EEXIST when that is the first.
    ///
    /// # Safety
    /// `dst` lies in a window (M2). `src` is memory that the host process may read.
    pub(crate) unsafe fn copy(&self, dst: usize, src: usize, len: usize) -> Result<usize, Errno> {
        let mut copy = Copy {
            dst: dst as u64,
            src: src as u64,
            len: len as u64,
            ..Copy::default()
        };
        // SAFETY: the structure that this request takes; the caller's promise. The
        // host refuses ranges that are not registered.
        let got = unsafe { libc::ioctl(self.0.as_raw_fd(), UFFDIO_COPY, &raw mut copy) };
        if got == 0 {
            return Ok(len);
        }
        let error = Errno::last_host();
        if copy.copied >= PAGE_SIZE as i64 {
            return Ok(copy.copied as usize);
        }
        Err(error)
    }
}

fn check(got: i32) -> Result<(), Errno> {
    if got == 0 {
        Ok(())
    } else {
        Err(Errno::last_host())
    }
}
