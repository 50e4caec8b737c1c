//! Integer arithmetic.

use super::handler;

/// A two-operand integer operation.
pub(crate) trait Alu: 'static {
    fn eval(a: u64, b: u64) -> u64;
}

macro_rules! alu {
    ($($(#[$meta:meta])* $name:ident($a:ident, $b:ident) $body:expr;)*) => {$(
        $(#[$meta])*
        pub(crate) struct $name;
        impl Alu for $name {
            #[inline(always)]
            fn eval($a: u64, $b: u64) -> u64 { $body }
        }
    )*};
}

/// Sign-extends the low word.
#[inline(always)]
pub(crate) fn sext32(value: u64) -> u64 {
    value as i32 as i64 as u64
}

alu! {
    Add(a, b) a.wrapping_add(b);
    Sub(a, b) a.wrapping_sub(b);
    Sll(a, b) a << (b & 63);
    Slt(a, b) u64::from((a as i64) < b as i64);
    Sltu(a, b) u64::from(a < b);
    Xor(a, b) a ^ b;
    Srl(a, b) a >> (b & 63);
    Sra(a, b) (a as i64 >> (b & 63)) as u64;
    Or(a, b) a | b;
    And(a, b) a & b;
    Addw(a, b) sext32(a.wrapping_add(b));
    Subw(a, b) sext32(a.wrapping_sub(b));
    Sllw(a, b) sext32(u64::from((a as u32) << (b & 31)));
    Srlw(a, b) sext32(u64::from(a as u32 >> (b & 31)));
    Sraw(a, b) (a as i32 >> (b & 31)) as i64 as u64;
    Mul(a, b) a.wrapping_mul(b);
    Mulh(a, b) ((i128::from(a as i64) * i128::from(b as i64)) >> 64) as u64;
    Mulhsu(a, b) ((i128::from(a as i64) * i128::from(b)) >> 64) as u64;
    Mulhu(a, b) ((u128::from(a) * u128::from(b)) >> 64) as u64;
    Mulw(a, b) sext32(a.wrapping_mul(b));
    Div(a, b) if b == 0 { u64::MAX } else { (a as i64).wrapping_div(b as i64) as u64 };
    Divu(a, b) a.checked_div(b).unwrap_or(u64::MAX);
    Rem(a, b) if b == 0 { a } else { (a as i64).wrapping_rem(b as i64) as u64 };
    Remu(a, b) a.checked_rem(b).unwrap_or(a);
    Divw(a, b) if b as i32 == 0 { u64::MAX } else {
        (a as i32).wrapping_div(b as i32) as i64 as u64
    };
    Divuw(a, b) (a as u32).checked_div(b as u32).map_or(u64::MAX, |q| sext32(q.into()));
    Remw(a, b) if b as i32 == 0 { sext32(a) } else {
        (a as i32).wrapping_rem(b as i32) as i64 as u64
    };
    Remuw(a, b) sext32((a as u32).checked_rem(b as u32).unwrap_or(a as u32).into());
}

handler! {
    fn nop(op, cx) {
        cx.go(op.add(1))
    }
}
