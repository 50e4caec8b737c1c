//! Futexes (linux/futex.h).

use bytemuck::{Pod, Zeroable};

/// struct futex_waitv.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct FutexWaitv {
    pub value: u64,
    pub addr: u64,
    pub flags: u32,
    pub reserved: u32,
}
