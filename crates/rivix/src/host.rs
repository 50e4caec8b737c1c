//! What of the host must be there before anything can run.

use crate::error::{Error, Result};
use std::sync::OnceLock;

#[cfg(not(all(
    target_arch = "x86_64",
    target_os = "linux",
    target_pointer_width = "64"
)))]
compile_error!(
    "Rivix runs on x86-64 Linux hosts. Build with --target x86_64-unknown-linux-gnu \
     (or -musl) on an x86-64 Linux machine."
);

/// The oldest kernel that has all we use (openat2, userfaultfd modes, pidfds).
pub(crate) const OLDEST_KERNEL: (u32, u32) = (5, 15);
/// The only page size whose permissions a guest's 4 KiB pages can be mapped on.
pub(crate) const PAGE_SIZE: usize = 4096;

const REMEDY_KERNEL: &str = "use Linux 5.15 or newer";
const REMEDY_PAGES: &str = "use a kernel with 4 KiB pages";

/// Checks once that this host can run guests.
pub(crate) fn check() -> Result<()> {
    static CHECKED: OnceLock<Result<(), (String, &'static str)>> = OnceLock::new();
    CHECKED
        .get_or_init(|| verdict(page_size(), &release()))
        .clone()
        .map_err(|(what, remedy)| Error::Host { what, remedy })
}

fn verdict(page_size: usize, release: &str) -> Result<(), (String, &'static str)> {
    if page_size != PAGE_SIZE {
        return Err((
            format!("its pages have {page_size} bytes, not {PAGE_SIZE}"),
            REMEDY_PAGES,
        ));
    }
    match parse_release(release) {
        Some(version) if version >= OLDEST_KERNEL => Ok(()),
        Some((major, minor)) => Err((
            format!("its kernel is Linux {major}.{minor}"),
            REMEDY_KERNEL,
        )),
        None => Err((
            format!("its kernel version `{release}` is not understood"),
            REMEDY_KERNEL,
        )),
    }
}

/// Major and minor version of a release as uname(2) gives it.
pub(crate) fn parse_release(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The running kernel's release.
pub(crate) fn release() -> String {
    match nix::sys::utsname::uname() {
        Ok(names) => names.release().to_string_lossy().into_owned(),
        Err(_) => String::new(),
    }
}

pub(crate) fn page_size() -> usize {
    match nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE) {
        Ok(Some(bytes)) => usize::try_from(bytes).unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_kernels_and_large_pages_are_named() {
        let check = |page, release: &str, expect: &str| {
            let got = verdict(page, release)
                .err()
                .map(|(what, _)| what)
                .unwrap_or_default();
            assert_eq!(got, expect);
        };
        check(4096, "6.18.0", "");
        check(4096, "5.15.0-rc1", "");
        check(4096, "5.14.21-generic", "its kernel is Linux 5.14");
        check(4096, "4.4.0", "its kernel is Linux 4.4");
        check(4096, "", "its kernel version `` is not understood");
        check(16384, "6.18.0", "its pages have 16384 bytes, not 4096");
    }
}
