//! What the tests of this repository need of a sandbox and nobody else does. No
//! part of the library's interface: it changes without notice.

pub use rivix_spawner::fault::fail_creations as fail_thread_creations;

/// Kicks that landed in the window between a check and a host call, and between
/// a check and a sleep, as `rivix_sync::hooks` counts them.
#[cfg(feature = "kick-hooks")]
pub fn kicks_in_windows() -> (u64, u64) {
    let counts = rivix_sync::hooks::counts();
    (counts.moved, counts.caught)
}
