//! MXCSR and fcsr.
//!
//! While guest code runs, MXCSR holds the guest's rounding mode and collects
//! its exceptions. Rust assumes the default environment, so everything that is
//! not guest arithmetic runs under [`with_host`].

use std::arch::asm;

/// All exceptions masked, round to nearest, no flags.
pub(crate) const DEFAULT: u32 = 0x1f80;

pub(crate) mod flag {
    pub(crate) const NX: u32 = 1;
    pub(crate) const UF: u32 = 2;
    pub(crate) const OF: u32 = 4;
    pub(crate) const DZ: u32 = 8;
    pub(crate) const NV: u32 = 16;
}

#[inline(always)]
pub(crate) fn get() -> u32 {
    let mut value = 0u32;
    // SAFETY: I5, stores MXCSR into a local.
    unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut value, options(nostack, preserves_flags)) };
    value
}

#[inline(always)]
pub(crate) fn set(value: u32) {
    // SAFETY: I5, the value has all exceptions masked and no reserved bit.
    unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const value, options(nostack, readonly)) };
}

/// The fflags that MXCSR has collected. Its denormal flag has no counterpart.
#[inline(always)]
pub(crate) fn fflags(mxcsr: u32) -> u32 {
    (mxcsr >> 5 & 1) | (mxcsr >> 3 & 2) | (mxcsr >> 1 & 4) | (mxcsr << 1 & 8) | (mxcsr << 4 & 16)
}

/// MXCSR for a rounding mode of 0..=3, without flags.
#[inline(always)]
pub(crate) fn mxcsr(frm: u32) -> u32 {
    // RNE 0, RTZ 1, RDN 2, RUP 3 against nearest 0, down 1, up 2, zero 3.
    let control = 0b10_01_11_00 >> ((frm * 2) & 6) & 3;
    DEFAULT | control << 13
}

/// The rounding mode (0..=3) that this MXCSR holds.
pub(crate) fn rounding(mxcsr: u32) -> u32 {
    match mxcsr >> 13 & 3 {
        0 => 0,
        1 => 2,
        2 => 3,
        _ => 1,
    }
}

/// Runs `body` in the environment that Rust expects.
#[inline(always)]
pub(crate) fn with_host<R>(body: impl FnOnce() -> R) -> R {
    let guest = get();
    set(DEFAULT);
    let result = body();
    set(guest);
    result
}
