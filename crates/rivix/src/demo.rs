//! The guest that Rivix carries with it. Its source is beside it;
//! `cargo xtask build-guests --check` tells whether they agree.

/// A static riscv64 Linux program that needs no files.
pub(crate) const IMAGE: &[u8] = include_bytes!("../demo/demo");
