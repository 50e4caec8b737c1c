//! Floating point in integers, for any rounding mode.
//!
//! Used for what the host cannot do (round to nearest with ties away, fused
//! multiply-add without FMA3, unsigned conversions of odd operands) and as the
//! reference of the tests. A value is sign, integer significand and exponent,
//! exact except that the lowest bit may stand for a nonzero rest ("sticky").

use crate::fpenv::flag;

/// Rounding modes by their `frm` numbers.
pub(crate) mod rm {
    pub(crate) const RNE: u32 = 0;
    pub(crate) const RTZ: u32 = 1;
    pub(crate) const RDN: u32 = 2;
    pub(crate) const RUP: u32 = 3;
    pub(crate) const RMM: u32 = 4;
}

/// A binary interchange format.
#[derive(Clone, Copy)]
pub(crate) struct Format {
    /// Bits of significand, the hidden one included.
    precision: u32,
    exponent_bits: u32,
}

pub(crate) const SINGLE: Format = Format {
    precision: 24,
    exponent_bits: 8,
};
pub(crate) const DOUBLE: Format = Format {
    precision: 53,
    exponent_bits: 11,
};

impl Format {
    fn bias(self) -> i32 {
        (1 << (self.exponent_bits - 1)) - 1
    }
    fn min_exponent(self) -> i32 {
        1 - self.bias()
    }
    fn exponent_mask(self) -> u64 {
        (1 << self.exponent_bits) - 1
    }
    fn fraction_mask(self) -> u64 {
        (1 << (self.precision - 1)) - 1
    }
    fn sign_bit(self) -> u64 {
        1 << (self.precision - 1 + self.exponent_bits)
    }
    fn nan(self) -> u64 {
        self.infinity(false) | 1 << (self.precision - 2)
    }
    fn infinity(self, negative: bool) -> u64 {
        self.exponent_mask() << (self.precision - 1) | self.zero(negative)
    }
    fn zero(self, negative: bool) -> u64 {
        if negative { self.sign_bit() } else { 0 }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Zero,
    /// Significand (not zero) and exponent of its lowest bit.
    Finite(u128, i32),
    Infinite,
    Nan {
        signalling: bool,
    },
}

#[derive(Clone, Copy)]
struct Number {
    negative: bool,
    kind: Kind,
}

fn unpack(bits: u64, f: Format) -> Number {
    let exponent = bits >> (f.precision - 1) & f.exponent_mask();
    let fraction = bits & f.fraction_mask();
    let lowest = f.min_exponent() - (f.precision as i32 - 1);
    let kind = if exponent == f.exponent_mask() {
        if fraction == 0 {
            Kind::Infinite
        } else {
            Kind::Nan {
                signalling: fraction >> (f.precision - 2) == 0,
            }
        }
    } else if exponent == 0 {
        if fraction == 0 {
            Kind::Zero
        } else {
            Kind::Finite(fraction.into(), lowest)
        }
    } else {
        let significand = fraction | 1 << (f.precision - 1);
        Kind::Finite(significand.into(), lowest + exponent as i32 - 1)
    };
    Number {
        negative: bits & f.sign_bit() != 0,
        kind,
    }
}

/// A result and the exceptions it raised.
pub(crate) type Outcome = (u64, u32);

/// Whether magnitude rounds up, given the bits that are cut: whether they are
/// at least one half, and whether they are other than exactly zero or a half.
fn rounds_up(mode: u32, negative: bool, odd: bool, half: bool, rest: bool) -> bool {
    match mode {
        rm::RNE => half && (rest || odd),
        rm::RTZ => false,
        rm::RDN => negative && (half || rest),
        rm::RUP => !negative && (half || rest),
        _ => half,
    }
}

/// `significand >> shift`, rounded; and whether something was cut.
fn shift_rounded(significand: u128, shift: i32, negative: bool, mode: u32) -> (u128, bool) {
    if shift <= 0 {
        return (significand << -shift, false);
    }
    let shift = shift as u32;
    if shift > 128 {
        let up = rounds_up(mode, negative, false, false, true);
        return (u128::from(up), true);
    }
    let kept = if shift == 128 {
        0
    } else {
        significand >> shift
    };
    let half = significand >> (shift - 1) & 1 != 0;
    let rest = significand & ((1 << (shift - 1)) - 1) != 0;
    let up = rounds_up(mode, negative, kept & 1 != 0, half, rest);
    (kept + u128::from(up), half || rest)
}

/// Rounds a value that is not zero into a format.
fn round(negative: bool, significand: u128, exponent: i32, f: Format, mode: u32) -> Outcome {
    let precision = f.precision as i32;
    let top = 127 - significand.leading_zeros() as i32 + exponent;
    let mut lowest = top.max(f.min_exponent()) - (precision - 1);
    let (mut kept, inexact) = shift_rounded(significand, lowest - exponent, negative, mode);
    let mut flags = if inexact { flag::NX } else { 0 };
    if inexact && top < f.min_exponent() {
        // Tininess is judged after rounding with an unbounded exponent.
        let (unbounded, _) = shift_rounded(
            significand,
            top - (precision - 1) - exponent,
            negative,
            mode,
        );
        let carried = unbounded >> f.precision != 0;
        if top + i32::from(carried) < f.min_exponent() {
            flags |= flag::UF;
        }
    }
    if kept >> f.precision != 0 {
        kept >>= 1;
        lowest += 1;
    }
    let sign = f.zero(negative);
    if kept >> (f.precision - 1) == 0 {
        return (sign | kept as u64, flags);
    }
    let biased = lowest + (precision - 1) + f.bias();
    if biased >= f.exponent_mask() as i32 {
        let to_infinity = match mode {
            rm::RTZ => false,
            rm::RDN => negative,
            rm::RUP => !negative,
            _ => true,
        };
        let infinity = f.infinity(negative);
        let result = if to_infinity { infinity } else { infinity - 1 };
        return (result, flag::OF | flag::NX);
    }
    let fraction = kept as u64 & f.fraction_mask();
    (
        sign | (biased as u64) << (f.precision - 1) | fraction,
        flags,
    )
}

fn invalid(f: Format) -> Outcome {
    (f.nan(), flag::NV)
}

/// The result when an operand is a NaN.
fn nan_result(operands: &[Number], f: Format) -> Option<Outcome> {
    let signalling = |n: &Number| matches!(n.kind, Kind::Nan { signalling: true });
    let nan = |n: &Number| matches!(n.kind, Kind::Nan { .. });
    if operands.iter().any(signalling) {
        Some(invalid(f))
    } else {
        operands.iter().any(nan).then(|| (f.nan(), 0))
    }
}

/// Puts the top bit at bit 124, or `None` for nothing.
fn normalize(significand: u128, exponent: i32) -> (u128, i32) {
    let shift = significand.leading_zeros() as i32 - 3;
    if shift >= 0 {
        (significand << shift, exponent - shift)
    } else {
        (jam(significand, -shift as u32), exponent - shift)
    }
}

/// Shifts right, keeping what is lost as the lowest bit.
fn jam(significand: u128, shift: u32) -> u128 {
    if shift == 0 {
        significand
    } else if shift >= 128 {
        u128::from(significand != 0)
    } else {
        significand >> shift | u128::from(significand << (128 - shift) != 0)
    }
}

/// The rounded sum of two numbers, neither of them a NaN.
fn sum(a: Number, b: Number, f: Format, mode: u32) -> Outcome {
    match (a.kind, b.kind) {
        (Kind::Infinite, Kind::Infinite) if a.negative != b.negative => invalid(f),
        (Kind::Infinite, _) => (f.infinity(a.negative), 0),
        (_, Kind::Infinite) => (f.infinity(b.negative), 0),
        (Kind::Finite(sa, ea), Kind::Finite(sb, eb)) => {
            let ((sa, ea), (sb, eb)) = (normalize(sa, ea), normalize(sb, eb));
            let ((big, bs, be), (small, ss, se)) = if (ea, sa) >= (eb, sb) {
                ((a, sa, ea), (b, sb, eb))
            } else {
                ((b, sb, eb), (a, sa, ea))
            };
            let aligned = jam(ss, (be - se) as u32);
            if a.negative == b.negative {
                round(big.negative, bs + aligned, be, f, mode)
            } else if bs == aligned {
                (f.zero(mode == rm::RDN), 0)
            } else {
                let _ = small;
                round(big.negative, bs - aligned, be, f, mode)
            }
        }
        (Kind::Finite(s, e), _) => round(a.negative, s, e, f, mode),
        (_, Kind::Finite(s, e)) => round(b.negative, s, e, f, mode),
        _ if a.negative == b.negative => (f.zero(a.negative), 0),
        _ => (f.zero(mode == rm::RDN), 0),
    }
}

pub(crate) fn add(a: u64, b: u64, f: Format, mode: u32) -> Outcome {
    let (a, b) = (unpack(a, f), unpack(b, f));
    nan_result(&[a, b], f).unwrap_or_else(|| sum(a, b, f, mode))
}

pub(crate) fn sub(a: u64, b: u64, f: Format, mode: u32) -> Outcome {
    add(a, b ^ f.sign_bit(), f, mode)
}

/// The exact product of two numbers, neither of them a NaN; `None` for inf * 0.
fn product(a: Number, b: Number) -> Option<Number> {
    let kind = match (a.kind, b.kind) {
        (Kind::Infinite, Kind::Zero) | (Kind::Zero, Kind::Infinite) => return None,
        (Kind::Infinite, _) | (_, Kind::Infinite) => Kind::Infinite,
        (Kind::Finite(sa, ea), Kind::Finite(sb, eb)) => Kind::Finite(sa * sb, ea + eb),
        _ => Kind::Zero,
    };
    Some(Number {
        negative: a.negative != b.negative,
        kind,
    })
}

fn round_number(n: Number, f: Format, mode: u32) -> Outcome {
    match n.kind {
        Kind::Zero => (f.zero(n.negative), 0),
        Kind::Infinite => (f.infinity(n.negative), 0),
        Kind::Nan { signalling } => (f.nan(), if signalling { flag::NV } else { 0 }),
        Kind::Finite(s, e) => round(n.negative, s, e, f, mode),
    }
}

pub(crate) fn mul(a: u64, b: u64, f: Format, mode: u32) -> Outcome {
    let (a, b) = (unpack(a, f), unpack(b, f));
    nan_result(&[a, b], f)
        .unwrap_or_else(|| product(a, b).map_or(invalid(f), |p| round_number(p, f, mode)))
}

/// a * b + c, rounded once.
pub(crate) fn fma(a: u64, b: u64, c: u64, f: Format, mode: u32) -> Outcome {
    let (a, b, c) = (unpack(a, f), unpack(b, f), unpack(c, f));
    let is_invalid = matches!(
        (a.kind, b.kind),
        (Kind::Infinite, Kind::Zero) | (Kind::Zero, Kind::Infinite)
    );
    if is_invalid {
        return invalid(f);
    }
    if let Some(nan) = nan_result(&[a, b, c], f) {
        return nan;
    }
    product(a, b).map_or(invalid(f), |p| sum(p, c, f, mode))
}

pub(crate) fn div(a: u64, b: u64, f: Format, mode: u32) -> Outcome {
    let (a, b) = (unpack(a, f), unpack(b, f));
    if let Some(nan) = nan_result(&[a, b], f) {
        return nan;
    }
    let negative = a.negative != b.negative;
    match (a.kind, b.kind) {
        (Kind::Infinite, Kind::Infinite) | (Kind::Zero, Kind::Zero) => invalid(f),
        (Kind::Infinite, _) => (f.infinity(negative), 0),
        (_, Kind::Infinite) | (Kind::Zero, _) => (f.zero(negative), 0),
        (_, Kind::Zero) => (f.infinity(negative), flag::DZ),
        (Kind::Finite(sa, ea), Kind::Finite(sb, eb)) => {
            let ((sa, ea), (sb, eb)) = (normalize(sa, ea), normalize(sb, eb));
            // At most 53 significant bits: 60 quotient bits and a sticky one do.
            let sb = sb >> 60;
            let quotient = sa / sb;
            let sticky = u128::from(!sa.is_multiple_of(sb));
            round(negative, quotient << 1 | sticky, ea - eb - 61, f, mode)
        }
        _ => invalid(f),
    }
}

pub(crate) fn sqrt(a: u64, f: Format, mode: u32) -> Outcome {
    let a = unpack(a, f);
    if let Some(nan) = nan_result(&[a], f) {
        return nan;
    }
    match a.kind {
        Kind::Zero => (f.zero(a.negative), 0),
        _ if a.negative => invalid(f),
        Kind::Finite(s, e) => {
            let (mut s, mut e) = normalize(s, e);
            if e & 1 != 0 {
                s <<= 1;
                e -= 1;
            }
            let root = s.isqrt();
            let sticky = u128::from(root * root != s);
            round(false, root << 1 | sticky, e / 2 - 1, f, mode)
        }
        _ => (f.infinity(false), 0),
    }
}

/// From one format to another.
pub(crate) fn convert(a: u64, from: Format, to: Format, mode: u32) -> Outcome {
    round_number(unpack(a, from), to, mode)
}

pub(crate) fn from_int(value: i128, f: Format, mode: u32) -> Outcome {
    if value == 0 {
        return (0, 0);
    }
    round(value < 0, value.unsigned_abs(), 0, f, mode)
}

/// To an integer of `bits`, saturating; the result is sign-extended from 32.
pub(crate) fn to_int(a: u64, f: Format, mode: u32, bits: u32, signed: bool) -> Outcome {
    let number = unpack(a, f);
    let (low, high) = match (bits, signed) {
        (32, true) => (i128::from(i32::MIN), i128::from(i32::MAX)),
        (32, false) => (0, i128::from(u32::MAX)),
        (_, true) => (i128::from(i64::MIN), i128::from(i64::MAX)),
        (_, false) => (0, i128::from(u64::MAX)),
    };
    let limit = if number.negative { low } else { high };
    let (value, flags) = match number.kind {
        Kind::Zero => (0, 0),
        Kind::Nan { .. } => (high, flag::NV),
        Kind::Infinite => (limit, flag::NV),
        Kind::Finite(_, e) if e > 64 => (limit, flag::NV),
        Kind::Finite(s, e) => {
            let (kept, inexact) = shift_rounded(s, -e, number.negative, mode);
            let value = if number.negative {
                -(kept as i128)
            } else {
                kept as i128
            };
            if (low..=high).contains(&value) {
                (value, if inexact { flag::NX } else { 0 })
            } else {
                (limit, flag::NV)
            }
        }
    };
    (
        if bits == 32 {
            value as i32 as i64 as u64
        } else {
            value as u64
        },
        flags,
    )
}

pub(crate) fn double_to_int(a: u64, mode: u32, bits: u32, signed: bool) -> Outcome {
    to_int(a, DOUBLE, mode, bits, signed)
}
