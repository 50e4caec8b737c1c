//! Floating point, on the host's FPU.
//!
//! MXCSR holds the guest's dynamic rounding mode and collects exceptions (see
//! [`crate::fpenv`]), so arithmetic is assembly only. x86 and RISC-V agree on
//! results and flags, tininess included, except in these, which are handled
//! here: NaN results (canonical here), conversions that do not fit, minimum and
//! maximum, and inf * 0 + quiet NaN (invalid here). A static rounding mode, and
//! round to nearest with ties away, go through [`Slow`](cold::float_slow).

use super::step::{Exit, Step};
use super::{Cx, cold, handler};
use crate::fpenv::flag;
use crate::slot::{Args, Slot};
use crate::state::HartState;
use std::arch::asm;

pub(crate) const NAN_D: u64 = 0x7ff8_0000_0000_0000;
pub(crate) const NAN_S: u32 = 0x7fc0_0000;
const BOX: u64 = 0xffff_ffff_0000_0000;

/// An operation on raw register values.
pub(crate) trait Float: 'static {
    /// The first operand is an x register.
    const FROM_INT: bool = false;
    /// The result goes to an x register.
    const TO_INT: bool = false;
    /// Operands read.
    const SOURCES: u8;
    /// # Safety
    /// MXCSR is the guest's, `hart` as I4 says.
    unsafe fn eval(a: u64, b: u64, c: u64, hart: *mut HartState) -> u64;
}

/// A single from its box; what is not boxed is the canonical NaN.
#[inline(always)]
pub(crate) fn unbox(value: u64) -> u32 {
    if value >= BOX { value as u32 } else { NAN_S }
}

#[inline(always)]
pub(crate) fn boxed(value: u32) -> u64 {
    BOX | u64::from(value)
}

#[inline(always)]
fn canonical_d(value: f64) -> u64 {
    if value.is_nan() {
        NAN_D
    } else {
        value.to_bits()
    }
}

#[inline(always)]
fn canonical_s(value: f32) -> u64 {
    boxed(if value.is_nan() {
        NAN_S
    } else {
        value.to_bits()
    })
}

macro_rules! binary {
    ($($d:ident, $s:ident, $asm_d:literal, $asm_s:literal;)*) => {$(
        pub(crate) struct $d;
        impl Float for $d {
            const SOURCES: u8 = 2;
            #[inline(always)]
            unsafe fn eval(a: u64, b: u64, _: u64, _: *mut HartState) -> u64 {
                let mut r = f64::from_bits(a);
                // SAFETY: I5.
                unsafe {
                    asm!(concat!($asm_d, " {0}, {1}"), inout(xmm_reg) r,
                        in(xmm_reg) f64::from_bits(b), options(nomem, nostack));
                }
                canonical_d(r)
            }
        }
        pub(crate) struct $s;
        impl Float for $s {
            const SOURCES: u8 = 2;
            #[inline(always)]
            unsafe fn eval(a: u64, b: u64, _: u64, _: *mut HartState) -> u64 {
                let mut r = f32::from_bits(unbox(a));
                // SAFETY: I5.
                unsafe {
                    asm!(concat!($asm_s, " {0}, {1}"), inout(xmm_reg) r,
                        in(xmm_reg) f32::from_bits(unbox(b)),
                        options(nomem, nostack));
                }
                canonical_s(r)
            }
        }
    )*};
}

binary! {
    AddD, AddS, "addsd", "addss";
    SubD, SubS, "subsd", "subss";
    MulD, MulS, "mulsd", "mulss";
    DivD, DivS, "divsd", "divss";
}

pub(crate) struct SqrtD;
impl Float for SqrtD {
    const SOURCES: u8 = 1;
    #[inline(always)]
    unsafe fn eval(a: u64, _: u64, _: u64, _: *mut HartState) -> u64 {
        let mut r = f64::from_bits(a);
        // SAFETY: I5.
        unsafe {
            asm!("sqrtsd {0}, {0}", inout(xmm_reg) r, options(nomem, nostack));
        }
        canonical_d(r)
    }
}

pub(crate) struct SqrtS;
impl Float for SqrtS {
    const SOURCES: u8 = 1;
    #[inline(always)]
    unsafe fn eval(a: u64, _: u64, _: u64, _: *mut HartState) -> u64 {
        let mut r = f32::from_bits(unbox(a));
        // SAFETY: I5.
        unsafe {
            asm!("sqrtss {0}, {0}", inout(xmm_reg) r, options(nomem, nostack));
        }
        canonical_s(r)
    }
}

macro_rules! fused {
    ($($d:ident, $s:ident, $asm_d:literal, $asm_s:literal;)*) => {$(
        /// For hosts with FMA3.
        pub(crate) struct $d;
        impl Float for $d {
            const SOURCES: u8 = 3;
            #[inline(always)]
            unsafe fn eval(a: u64, b: u64, c: u64, hart: *mut HartState) -> u64 {
                let (fa, fb) = (f64::from_bits(a), f64::from_bits(b));
                let mut r = f64::from_bits(c);
                // SAFETY: I5.
                unsafe {
                    asm!(concat!($asm_d, " {0}, {1}, {2}"), inout(xmm_reg) r,
                        in(xmm_reg) fa, in(xmm_reg) fb,
                        options(nomem, nostack));
                }
                if r.is_nan() {
                    let (ma, mb) = (a << 1, b << 1);
                    const INF: u64 = 0x7ff << 53;
                    // SAFETY: as the caller promises.
                    unsafe { cold::fma_nan(ma == INF, mb == INF, ma == 0, mb == 0, hart) };
                    return NAN_D;
                }
                r.to_bits()
            }
        }
        /// For hosts with FMA3.
        pub(crate) struct $s;
        impl Float for $s {
            const SOURCES: u8 = 3;
            #[inline(always)]
            unsafe fn eval(a: u64, b: u64, c: u64, hart: *mut HartState) -> u64 {
                let (a, b) = (unbox(a), unbox(b));
                let (fa, fb) = (f32::from_bits(a), f32::from_bits(b));
                let mut r = f32::from_bits(unbox(c));
                // SAFETY: I5.
                unsafe {
                    asm!(concat!($asm_s, " {0}, {1}, {2}"), inout(xmm_reg) r,
                        in(xmm_reg) fa, in(xmm_reg) fb,
                        options(nomem, nostack));
                }
                if r.is_nan() {
                    let (ma, mb) = (a << 1, b << 1);
                    const INF: u32 = 0xff << 24;
                    // SAFETY: as the caller promises.
                    unsafe { cold::fma_nan(ma == INF, mb == INF, ma == 0, mb == 0, hart) };
                    return boxed(NAN_S);
                }
                boxed(r.to_bits())
            }
        }
    )*};
}

fused! {
    MaddD, MaddS, "vfmadd231sd", "vfmadd231ss";
    MsubD, MsubS, "vfmsub231sd", "vfmsub231ss";
    // RISC-V's fnmsub is -(a*b)+c and fnmadd is -(a*b)-c.
    NmsubD, NmsubS, "vfnmadd231sd", "vfnmadd231ss";
    NmaddD, NmaddS, "vfnmsub231sd", "vfnmsub231ss";
}

macro_rules! bits {
    ($($(#[$meta:meta])* $name:ident $sources:literal $from:literal $to:literal
        ($a:ident, $b:ident, $hart:ident) $body:expr;)*) => {$(
        $(#[$meta])*
        pub(crate) struct $name;
        impl Float for $name {
            const SOURCES: u8 = $sources;
            const FROM_INT: bool = $from;
            const TO_INT: bool = $to;
            #[inline(always)]
            unsafe fn eval($a: u64, $b: u64, _: u64, $hart: *mut HartState) -> u64 {
                // SAFETY: as the caller promises.
                #[allow(unused_unsafe, reason = "most bodies are plain arithmetic")]
                unsafe { $body }
            }
        }
    )*};
}

const SIGN_D: u64 = 1 << 63;
const SIGN_S: u32 = 1 << 31;

bits! {
    SgnjD 2 false false (a, b, _h) a & !SIGN_D | b & SIGN_D;
    SgnjnD 2 false false (a, b, _h) a & !SIGN_D | !b & SIGN_D;
    SgnjxD 2 false false (a, b, _h) a ^ b & SIGN_D;
    SgnjS 2 false false (a, b, _h) boxed(unbox(a) & !SIGN_S | unbox(b) & SIGN_S);
    SgnjnS 2 false false (a, b, _h) boxed(unbox(a) & !SIGN_S | !unbox(b) & SIGN_S);
    SgnjxS 2 false false (a, b, _h) boxed(unbox(a) ^ unbox(b) & SIGN_S);
    MinD 2 false false (a, b, hart) min_max_d(a, b, false, hart);
    MaxD 2 false false (a, b, hart) min_max_d(a, b, true, hart);
    MinS 2 false false (a, b, hart) min_max_s(unbox(a), unbox(b), false, hart);
    MaxS 2 false false (a, b, hart) min_max_s(unbox(a), unbox(b), true, hart);
    MvXD 1 false true (a, _b, _h) a;
    MvXW 1 false true (a, _b, _h) super::alu::sext32(a);
    MvDX 1 true false (a, _b, _h) a;
    MvWX 1 true false (a, _b, _h) boxed(a as u32);
    ClassD 1 false true (a, _b, _h) class(a >> 63 != 0, a >> 52 & 0x7ff, 0x7ff, a & ((1 << 52) - 1), 1 << 51);
    ClassS 1 false true (a, _b, _h) {
        let a = u64::from(unbox(a));
        class(a >> 31 != 0, a >> 23 & 0xff, 0xff, a & ((1 << 23) - 1), 1 << 22)
    };
}

fn class(negative: bool, exponent: u64, all: u64, fraction: u64, quiet: u64) -> u64 {
    let positive_bit = match (exponent, fraction) {
        (0, 0) => 4,
        (0, _) => 5,
        (e, 0) if e == all => 7,
        (e, f) if e == all => return if f & quiet != 0 { 1 << 9 } else { 1 << 8 },
        _ => 6,
    };
    // Negative classes mirror the positive ones.
    1 << if negative {
        7 - positive_bit
    } else {
        positive_bit
    }
}

/// IEEE 754-2019 minimumNumber and maximumNumber; -0 is less than +0.
///
/// # Safety
/// I4.
#[inline(always)]
unsafe fn min_max_d(a: u64, b: u64, max: bool, hart: *mut HartState) -> u64 {
    let is_nan = |v: u64| v << 1 > 0x7ff << 53;
    if is_nan(a) || is_nan(b) {
        let is_signalling = |v: u64| is_nan(v) && v & 1 << 51 == 0;
        if is_signalling(a) || is_signalling(b) {
            // SAFETY: as the caller promises.
            unsafe { cold::raise(hart, flag::NV) };
        }
        return match (is_nan(a), is_nan(b)) {
            (true, true) => NAN_D,
            (true, false) => b,
            _ => a,
        };
    }
    // Sign and magnitude as a signed integer keeps the order of floats.
    let key = |v: u64| v as i64 ^ ((v as i64 >> 63) as u64 >> 1) as i64;
    if (key(a) < key(b)) != max { a } else { b }
}

/// # Safety
/// I4.
#[inline(always)]
unsafe fn min_max_s(a: u32, b: u32, max: bool, hart: *mut HartState) -> u64 {
    let is_nan = |v: u32| v << 1 > 0xff << 24;
    if is_nan(a) || is_nan(b) {
        let is_signalling = |v: u32| is_nan(v) && v & 1 << 22 == 0;
        if is_signalling(a) || is_signalling(b) {
            // SAFETY: as the caller promises.
            unsafe { cold::raise(hart, flag::NV) };
        }
        return boxed(match (is_nan(a), is_nan(b)) {
            (true, true) => NAN_S,
            (true, false) => b,
            _ => a,
        });
    }
    let key = |v: u32| v as i32 ^ ((v as i32 >> 31) as u32 >> 1) as i32;
    boxed(if (key(a) < key(b)) != max { a } else { b })
}

macro_rules! compare {
    ($($d:ident, $s:ident, $asm_d:literal, $asm_s:literal;)*) => {$(
        pub(crate) struct $d;
        impl Float for $d {
            const SOURCES: u8 = 2;
            const TO_INT: bool = true;
            #[inline(always)]
            unsafe fn eval(a: u64, b: u64, _: u64, _: *mut HartState) -> u64 {
                let mut r = f64::from_bits(a);
                // SAFETY: I5.
                unsafe {
                    asm!(concat!($asm_d, " {0}, {1}"), inout(xmm_reg) r,
                        in(xmm_reg) f64::from_bits(b), options(nomem, nostack));
                }
                r.to_bits() & 1
            }
        }
        pub(crate) struct $s;
        impl Float for $s {
            const SOURCES: u8 = 2;
            const TO_INT: bool = true;
            #[inline(always)]
            unsafe fn eval(a: u64, b: u64, _: u64, _: *mut HartState) -> u64 {
                let mut r = f32::from_bits(unbox(a));
                // SAFETY: I5.
                unsafe {
                    asm!(concat!($asm_s, " {0}, {1}"), inout(xmm_reg) r,
                        in(xmm_reg) f32::from_bits(unbox(b)),
                        options(nomem, nostack));
                }
                u64::from(r.to_bits() & 1)
            }
        }
    )*};
}

// eq raises NV for signalling NaNs only, lt and le for all.
compare! {
    EqD, EqS, "cmpeqsd", "cmpeqss";
    LtD, LtS, "cmpltsd", "cmpltss";
    LeD, LeS, "cmplesd", "cmpless";
}

pub(crate) struct CvtSD;
impl Float for CvtSD {
    const SOURCES: u8 = 1;
    #[inline(always)]
    unsafe fn eval(a: u64, _: u64, _: u64, _: *mut HartState) -> u64 {
        let r: f32;
        // SAFETY: I5.
        unsafe {
            asm!("cvtsd2ss {1}, {0}", in(xmm_reg) f64::from_bits(a), inout(xmm_reg) 0f32 => r,
                options(nomem, nostack));
        }
        canonical_s(r)
    }
}

pub(crate) struct CvtDS;
impl Float for CvtDS {
    const SOURCES: u8 = 1;
    #[inline(always)]
    unsafe fn eval(a: u64, _: u64, _: u64, _: *mut HartState) -> u64 {
        let r: f64;
        // SAFETY: I5.
        unsafe {
            asm!("cvtss2sd {1}, {0}", in(xmm_reg) f32::from_bits(unbox(a)), inout(xmm_reg) 0f64 => r,
                options(nomem, nostack));
        }
        canonical_d(r)
    }
}

macro_rules! from_int {
    ($($d:ident, $s:ident, $a:ident, $value:expr;)*) => {$(
        pub(crate) struct $d;
        impl Float for $d {
            const SOURCES: u8 = 1;
            const FROM_INT: bool = true;
            #[inline(always)]
            unsafe fn eval($a: u64, _: u64, _: u64, _: *mut HartState) -> u64 {
                // SAFETY: as the caller promises.
                unsafe { int_to_d($value) }.to_bits()
            }
        }
        pub(crate) struct $s;
        impl Float for $s {
            const SOURCES: u8 = 1;
            const FROM_INT: bool = true;
            #[inline(always)]
            unsafe fn eval($a: u64, _: u64, _: u64, _: *mut HartState) -> u64 {
                // SAFETY: as the caller promises.
                boxed(unsafe { int_to_s($value) }.to_bits())
            }
        }
    )*};
}

from_int! {
    CvtDW, CvtSW, a, i64::from(a as i32);
    CvtDWu, CvtSWu, a, i64::from(a as u32);
    CvtDL, CvtSL, a, a as i64;
}

/// # Safety
/// MXCSR is the guest's.
#[inline(always)]
unsafe fn int_to_d(value: i64) -> f64 {
    let r: f64;
    // SAFETY: I5.
    unsafe {
        asm!("cvtsi2sd {1}, {0}", in(reg) value, inout(xmm_reg) 0f64 => r,
            options(nomem, nostack));
    }
    r
}

/// # Safety
/// MXCSR is the guest's.
#[inline(always)]
unsafe fn int_to_s(value: i64) -> f32 {
    let r: f32;
    // SAFETY: I5.
    unsafe {
        asm!("cvtsi2ss {1}, {0}", in(reg) value, inout(xmm_reg) 0f32 => r,
            options(nomem, nostack));
    }
    r
}

// From 2^63 up: half of it with the lost bit kept sticky, converted, and
// doubled, which is exact.
pub(crate) struct CvtDLu;
impl Float for CvtDLu {
    const SOURCES: u8 = 1;
    const FROM_INT: bool = true;
    #[inline(always)]
    unsafe fn eval(a: u64, _: u64, _: u64, hart: *mut HartState) -> u64 {
        // SAFETY: as the caller promises.
        unsafe {
            if a >> 63 == 0 {
                return int_to_d(a as i64).to_bits();
            }
            let half = int_to_d((a >> 1 | a & 1) as i64).to_bits();
            AddD::eval(half, half, 0, hart)
        }
    }
}

pub(crate) struct CvtSLu;
impl Float for CvtSLu {
    const SOURCES: u8 = 1;
    const FROM_INT: bool = true;
    #[inline(always)]
    unsafe fn eval(a: u64, _: u64, _: u64, hart: *mut HartState) -> u64 {
        // SAFETY: as the caller promises.
        unsafe {
            if a >> 63 == 0 {
                return boxed(int_to_s(a as i64).to_bits());
            }
            let half = boxed(int_to_s((a >> 1 | a & 1) as i64).to_bits());
            AddS::eval(half, half, 0, hart)
        }
    }
}

macro_rules! to_signed {
    ($($name:ident, $asm:literal, $read:expr, $int:ty, $m:literal;)*) => {$(
        pub(crate) struct $name;
        impl Float for $name {
            const SOURCES: u8 = 1;
            const TO_INT: bool = true;
            #[inline(always)]
            unsafe fn eval(a: u64, _: u64, _: u64, _: *mut HartState) -> u64 {
                let a = $read(a);
                let r: $int;
                // SAFETY: I5.
                unsafe {
                    asm!(concat!($asm, " {1", $m, "}, {0}"), in(xmm_reg) a, out(reg) r,
                        options(nomem, nostack));
                }
                // x86 answers the minimum for all that does not fit, with the
                // same flag; the minimum itself is right when negative.
                if r == <$int>::MIN && (a.is_nan() || a.is_sign_positive()) {
                    return <$int>::MAX as i64 as u64;
                }
                r as i64 as u64
            }
        }
    )*};
}

to_signed! {
    CvtWD, "cvtsd2si", f64::from_bits, i32, ":e";
    CvtWDRtz, "cvttsd2si", f64::from_bits, i32, ":e";
    CvtLD, "cvtsd2si", f64::from_bits, i64, ":r";
    CvtLDRtz, "cvttsd2si", f64::from_bits, i64, ":r";
    CvtWS, "cvtss2si", single, i32, ":e";
    CvtWSRtz, "cvttss2si", single, i32, ":e";
    CvtLS, "cvtss2si", single, i64, ":r";
    CvtLSRtz, "cvttss2si", single, i64, ":r";
}

#[inline(always)]
fn single(value: u64) -> f32 {
    f32::from_bits(unbox(value))
}

macro_rules! to_unsigned {
    ($($name:ident, $asm:literal, $read:expr, $bits:literal, $width:expr;)*) => {$(
        pub(crate) struct $name;
        impl Float for $name {
            const SOURCES: u8 = 1;
            const TO_INT: bool = true;
            #[inline(always)]
            unsafe fn eval(a: u64, _: u64, _: u64, hart: *mut HartState) -> u64 {
                let a = $read(a);
                // What rounds to less than 2^32 (or 2^63) is done by the signed 64-bit
                // conversion; the upper bound here leaves room for rounding up.
                const LIMIT: u64 = if $bits == 64 {
                    (1023 + 63) << 52
                } else {
                    0x41ef_ffff_ffe0_0000
                };
                // SAFETY: as the caller promises; I5.
                unsafe {
                    let wide = $width(a);
                    if wide > LIMIT || $bits == 64 && wide == LIMIT {
                        return cold::to_unsigned_odd(wide, $bits, $asm.as_bytes()[3] == b't', hart);
                    }
                    let r: i64;
                    asm!(concat!($asm, " {1:r}, {0}"), in(xmm_reg) a, out(reg) r,
                        options(nomem, nostack));
                    if $bits == 32 { super::alu::sext32(r as u64) } else { r as u64 }
                }
            }
        }
    )*};
}

/// The bits of the double equal to a value; NaNs stay NaNs.
#[inline(always)]
fn widen(value: f32) -> u64 {
    // Exponent arithmetic, not a conversion, which would raise flags.
    let bits = value.to_bits();
    let (sign, exponent, fraction) = (
        u64::from(bits >> 31),
        u64::from(bits >> 23 & 0xff),
        u64::from(bits & 0x7f_ffff),
    );
    match exponent {
        // Far below one: any tiny double of this sign will do.
        0 if fraction == 0 => sign << 63,
        0 => sign << 63 | (1023 - 127) << 52 | fraction << 29,
        0xff => sign << 63 | 0x7ff << 52 | fraction << 29,
        _ => sign << 63 | (exponent + 1023 - 127) << 52 | fraction << 29,
    }
}

to_unsigned! {
    CvtWuD, "cvtsd2si", f64::from_bits, 32, f64::to_bits;
    CvtWuDRtz, "cvttsd2si", f64::from_bits, 32, f64::to_bits;
    CvtLuD, "cvtsd2si", f64::from_bits, 64, f64::to_bits;
    CvtLuDRtz, "cvttsd2si", f64::from_bits, 64, f64::to_bits;
    CvtWuS, "cvtss2si", single, 32, widen;
    CvtWuSRtz, "cvttss2si", single, 32, widen;
    CvtLuS, "cvtss2si", single, 64, widen;
    CvtLuSRtz, "cvttss2si", single, 64, widen;
}

/// A float operation as a step.
pub(crate) struct Fp<O>(O);

impl<O: Float> Step for Fp<O> {
    const READS: bool = O::FROM_INT;
    const WRITES: bool = O::TO_INT;
    #[inline(always)]
    unsafe fn run(op: *const Slot, cx: Cx, a: u64) -> Result<u64, Exit> {
        // SAFETY: I2, I3, I4.
        unsafe {
            let Args {
                rd, rs1, rs2, aux, ..
            } = (*op).args;
            let a = if O::FROM_INT { a } else { cx.f(rs1) };
            let b = if O::SOURCES >= 2 { cx.f(rs2) } else { 0 };
            let c = if O::SOURCES >= 3 { cx.f(aux) } else { 0 };
            let r = O::eval(a, b, c, cx.hart);
            if O::TO_INT {
                cx.set_x(rd, r);
            } else {
                cx.set_f(rd, r);
            }
            Ok(r)
        }
    }
}

handler! {
    /// An operation whose rounding mode MXCSR does not hold now.
    fn slow(op, cx) {
        cold::float_slow(op, cx.regs, cx.base, cx.hart, cx.limit)
    }
}
