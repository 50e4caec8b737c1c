//! FUTEX_WAKE_OP's third argument (futex(2)).

use rivix_abi::Errno;

/// The operation, decoded. What does not exist is found out in Linux's order:
/// the operation before the word is changed, the comparison after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WakeOp {
    op: u32,
    cmp: u32,
    oparg: u32,
    cmparg: i32,
}

impl WakeOp {
    /// ENOSYS for an operation that does not exist.
    pub fn decode(raw: u32) -> Result<WakeOp, Errno> {
        let sign12 = |v: u32| (v << 20).cast_signed() >> 20;
        let op = raw >> 28 & 7;
        if op > 4 {
            return Err(Errno::ENOSYS);
        }
        let mut oparg = sign12(raw >> 12 & 0xfff).cast_unsigned();
        if raw >> 31 != 0 {
            // FUTEX_OP_ARG_SHIFT; Linux takes the low five bits of others.
            oparg = 1 << (oparg & 31);
        }
        Ok(WakeOp {
            op,
            cmp: raw >> 24 & 15,
            oparg,
            cmparg: sign12(raw & 0xfff),
        })
    }

    pub(super) fn apply(self, old: u32) -> u32 {
        match self.op {
            0 => self.oparg,
            1 => old.wrapping_add(self.oparg),
            2 => old | self.oparg,
            3 => old & !self.oparg,
            _ => old ^ self.oparg,
        }
    }

    /// ENOSYS for a comparison that does not exist.
    pub(super) fn compare(self, old: u32) -> Result<bool, Errno> {
        let old = old.cast_signed();
        Ok(match self.cmp {
            0 => old == self.cmparg,
            1 => old != self.cmparg,
            2 => old < self.cmparg,
            3 => old <= self.cmparg,
            4 => old > self.cmparg,
            5 => old >= self.cmparg,
            _ => return Err(Errno::ENOSYS),
        })
    }
}

#[cfg(all(test, not(rivix_model)))]
mod tests {
    use super::*;

    /// Raw operation word, old value: new value and whether the second wakes.
    #[test]
    fn decodes_as_futex_2_says() {
        let check = |raw: u32, old: u32, expect: Result<(u32, Result<bool, Errno>), Errno>| {
            let got = WakeOp::decode(raw).map(|op| (op.apply(old), op.compare(old)));
            assert_eq!(got, expect, "{raw:#x}");
        };
        let word = |op: u32, arg: u32, cmp: u32, cmparg: u32| {
            op << 28 | cmp << 24 | (arg & 0xfff) << 12 | cmparg & 0xfff
        };
        check(word(0, 5, 0, 7), 7, Ok((5, Ok(true))));
        check(word(1, 0xfff, 1, 7), 7, Ok((6, Ok(false))));
        check(word(2, 8, 2, 0), u32::MAX, Ok((u32::MAX, Ok(true))));
        check(word(3, 1, 4, 2), 3, Ok((2, Ok(true))));
        check(word(4, 1, 5, 4), 3, Ok((2, Ok(false))));
        check(word(8, 4, 0, 0), 0, Ok((16, Ok(true))));
        check(word(8, 0xfff, 0, 0), 0, Ok((1 << 31, Ok(true))));
        check(word(5, 0, 0, 0), 0, Err(Errno::ENOSYS));
        check(word(0, 9, 6, 0), 0, Ok((9, Err(Errno::ENOSYS))));
    }
}
