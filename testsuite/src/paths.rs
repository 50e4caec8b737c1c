//! Where things are in the repository.

use std::path::{Path, PathBuf};

/// The top of the repository: the folder whose `Cargo.toml` is the workspace's.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Cargo's target folder.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// This package's own folder.
pub fn testsuite() -> PathBuf {
    root().join("testsuite")
}
