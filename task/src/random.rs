//! The one place where guests' randomness comes from.

/// Fills `buf` from the host's generator.
pub fn fill(buf: &mut [u8]) {
    let mut done = 0;
    while done < buf.len() {
        let rest = &mut buf[done..];
        // SAFETY: pointer and length are those of one live buffer.
        let got = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match usize::try_from(got) {
            Ok(n) => done += n,
            // EINTR; other failures do not happen with flags 0 (getrandom(2)).
            Err(_) => continue,
        }
    }
}
