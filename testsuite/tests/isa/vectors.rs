//! Operands: the edges, and many random ones.

/// SplitMix64.
#[derive(Clone)]
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// What an operand is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Int,
    Single,
    Double,
}

const INTS: &[u64] = &[
    0,
    1,
    2,
    3,
    0x3f,
    0x7f,
    0x80,
    0xffff,
    0x7fff_fffe,
    0x7fff_ffff,
    0x8000_0000,
    0x8000_0001,
    0xffff_ffff,
    0x1_0000_0000,
    0x1234_5678_9abc_def0,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0x8000_0000_0000_0001,
    0xffff_ffff_8000_0000,
    0xffff_ffff_7fff_ffff,
    0xffff_ffff_0000_0000,
    0xffff_ffff_ffff_fffe,
    0xffff_ffff_ffff_ffff,
];

/// Where conversion to a float rounds, ties or carries.
const INTS_TO_FLOAT: &[u64] = &[
    0x0100_0001,
    0x0100_0003,
    0x01ff_ffff,
    0x03ff_fffe,
    0x7fff_ff80,
    0x7fff_ffc0,
    0xffff_ff7f,
    0xffff_ff80,
    0x0020_0000_0000_0001,
    0x0020_0000_0000_0003,
    0x003f_ffff_ffff_ffff,
    0x7fff_ffff_ffff_fc00,
    0x7fff_ffff_ffff_fe00,
    0x7fff_ff80_0000_0000,
    0x7fff_ffc0_0000_0000,
    0xffff_ffff_ffff_fbff,
    0xffff_ffff_ffff_fc00,
    0xffff_ff80_0000_0000,
    0x8000_0000_0000_0200,
    0x8000_0080_0000_0000,
    0xff7f_ffff_0000_0001,
];

const SINGLES: &[u32] = &[
    0x0000_0000, // 0
    0x0000_0001, // least subnormal
    0x007f_ffff, // greatest subnormal
    0x0080_0000, // least normal
    0x0080_0001,
    0x3380_0000, // 2^-24
    0x3eff_ffff, // just under 0.5
    0x3f00_0000, // 0.5
    0x3f7f_ffff, // just under 1
    0x3f80_0000, // 1
    0x3f80_0001,
    0x3fc0_0000, // 1.5
    0x4020_0000, // 2.5
    0x4b7f_ffff, // 2^24 - 1
    0x4b00_0001,
    0x4eff_ffff, // greatest below 2^31
    0x4f00_0000, // 2^31
    0x4f7f_ffff, // greatest below 2^32
    0x4f80_0000, // 2^32
    0x5eff_ffff, // greatest below 2^63
    0x5f00_0000, // 2^63
    0x5f7f_ffff,
    0x5f80_0000, // 2^64
    0x7f7f_ffff, // greatest
    0x7f80_0000, // infinity
    0x7f80_0001, // signalling NaN
    0x7fbf_ffff, // signalling NaN
    0x7fc0_0000, // canonical NaN
    0x7fc1_2345, // quiet NaN with a payload
];

const DOUBLES: &[u64] = &[
    0x0000_0000_0000_0000, // 0
    0x0000_0000_0000_0001, // least subnormal
    0x000f_ffff_ffff_ffff, // greatest subnormal
    0x0010_0000_0000_0000, // least normal
    0x3690_0000_0000_0000, // 2^-150: half the least subnormal single
    0x36a0_0000_0000_0000, // 2^-149
    0x380f_ffff_e000_0000, // near the least normal single
    0x380f_ffff_f000_0000,
    0x380f_ffff_ffff_ffff,
    0x3ca0_0000_0000_0000, // 2^-53
    0x3fdf_ffff_ffff_ffff, // just under 0.5
    0x3fe0_0000_0000_0000, // 0.5
    0x3fef_ffff_ffff_ffff, // just under 1
    0x3ff0_0000_0000_0000, // 1
    0x3ff0_0000_0000_0001,
    0x3ff0_0000_1000_0000, // 1 + half an ulp of a single
    0x3ff0_0000_3000_0000,
    0x3ff8_0000_0000_0000, // 1.5
    0x4004_0000_0000_0000, // 2.5
    0x41df_ffff_ffc0_0000, // 2^31 - 1
    0x41df_ffff_ffe0_0000, // 2^31 - 0.5
    0x41e0_0000_0000_0000, // 2^31
    0x41e0_0000_0010_0000, // 2^31 + 0.5
    0x41ef_ffff_ffe0_0000, // 2^32 - 1
    0x41ef_ffff_fff0_0000, // 2^32 - 0.5
    0x41f0_0000_0000_0000, // 2^32
    0x433f_ffff_ffff_ffff,
    0x43df_ffff_ffff_ffff, // greatest below 2^63
    0x43e0_0000_0000_0000, // 2^63
    0x43ef_ffff_ffff_ffff,
    0x43f0_0000_0000_0000, // 2^64
    0x47ef_ffff_e000_0000, // the greatest single
    0x47ef_ffff_efff_ffff,
    0x47ef_ffff_f000_0000, // rounds to infinity as a single
    0x7fef_ffff_ffff_ffff, // greatest
    0x7ff0_0000_0000_0000, // infinity
    0x7ff0_0000_0000_0001, // signalling NaN
    0x7ff7_ffff_ffff_ffff, // signalling NaN
    0x7ff8_0000_0000_0000, // canonical NaN
    0x7ff8_1234_5678_9abc, // quiet NaN with a payload
];

fn boxed(single: u32) -> u64 {
    0xffff_ffff_0000_0000 | u64::from(single)
}

/// All edges of a kind.
pub(crate) fn edges(kind: Kind) -> Vec<u64> {
    match kind {
        Kind::Int => INTS.iter().chain(INTS_TO_FLOAT).copied().collect(),
        Kind::Single => {
            let mut all: Vec<u64> = SINGLES
                .iter()
                .flat_map(|&x| [boxed(x), boxed(x | 1 << 31)])
                .collect();
            // Not NaN-boxed, so read as the canonical NaN.
            all.extend([0x3f80_0000, 0x7fff_ffff_3f80_0000, 0xffff_fffe_7f80_0001]);
            all
        }
        Kind::Double => DOUBLES.iter().flat_map(|&x| [x, x | 1 << 63]).collect(),
    }
}

/// A few edges, where all pairs or triples of them are tried.
fn few_edges(kind: Kind, count: usize) -> Vec<u64> {
    let all = match kind {
        Kind::Int => INTS.to_vec(),
        other => edges(other),
    };
    if all.len() <= count {
        return all;
    }
    // Spread over the list, which is ordered by magnitude, with a step that
    // takes both signs.
    (0..count)
        .map(|n| all[n * (all.len() - 1) / (count - 1)])
        .collect()
}

/// One random operand: of any bits, or of a magnitude near 1, or an edge.
pub(crate) fn random(kind: Kind, rng: &mut Rng) -> u64 {
    let bits = rng.next();
    if rng.one_in(5) {
        return rng.pick(&edges(kind));
    }
    match kind {
        // Every length equally likely.
        Kind::Int => (bits as i64 >> rng.below(64)) as u64,
        Kind::Single => {
            let bits = bits as u32;
            boxed(match rng.below(4) {
                0 => bits,
                1 => bits & 0x80ff_ffff | 0x3f00_0000,
                // Few significant bits, so that sums and products tie.
                2 => bits & 0x807f_f000 | (0x3f80_0000 + (bits >> 3 & 0x0f80_0000)),
                _ => bits & 0xbfff_ffff | 0x3000_0000,
            })
        }
        Kind::Double => match rng.below(4) {
            0 => bits,
            1 => bits & 0x801f_ffff_ffff_ffff | 0x3fe0_0000_0000_0000,
            2 => {
                bits & 0x800f_ffff_f000_0000
                    | (0x3ff0_0000_0000_0000 + (bits >> 3 & 0x01f0_0000_0000_0000))
            }
            _ => bits & 0xbfff_ffff_ffff_ffff | 0x3e00_0000_0000_0000,
        },
    }
}

/// What one pass of a test loop starts from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vector {
    /// Values of rs1, rs2 and rs3.
    pub(crate) operands: [u64; 3],
    /// frm is a legal mode, fflags are random.
    pub(crate) fcsr: u64,
    /// What rd held.
    pub(crate) poison: u64,
}

impl Vector {
    pub(crate) const BYTES: u64 = 40;

    pub(crate) fn bytes(&self) -> impl Iterator<Item = u8> {
        let [a, b, c] = self.operands;
        [a, b, c, self.fcsr, self.poison]
            .into_iter()
            .flat_map(u64::to_le_bytes)
    }
}

/// Vectors for an instruction with these sources. Sums and products that
/// nearly cancel are among those with three.
pub(crate) fn vectors(kinds: &[Kind], random_count: usize, rng: &mut Rng) -> Vec<Vector> {
    let mut operands: Vec<[u64; 3]> = Vec::new();
    match kinds {
        [] => operands.push([0; 3]),
        [a] => operands.extend(edges(*a).into_iter().map(|a| [a, 0, 0])),
        [a, b] => {
            for x in few_edges(*a, 40) {
                operands.extend(few_edges(*b, 40).into_iter().map(|y| [x, y, 0]));
            }
        }
        [a, b, c, ..] => {
            for x in few_edges(*a, 12) {
                for y in few_edges(*b, 12) {
                    operands.extend(few_edges(*c, 12).into_iter().map(|z| [x, y, z]));
                }
            }
        }
    }
    if !kinds.is_empty() {
        for _ in 0..random_count {
            let mut next = [0; 3];
            for (slot, kind) in next.iter_mut().zip(kinds) {
                *slot = random(*kind, rng);
            }
            if kinds.len() >= 2 && rng.one_in(4) {
                next[1] = at_the_limit(kinds[0], next[0], next[1], rng);
            }
            match kinds {
                [_, _] if rng.one_in(6) => {
                    // Equal but for the last bits.
                    next[1] = next[0] ^ rng.below(4);
                }
                [Kind::Single, _, _] if rng.one_in(2) => {
                    let product = f32::from_bits(next[0] as u32) * f32::from_bits(next[1] as u32);
                    next[2] = boxed(product.to_bits() ^ rng.below(4) as u32 ^ sign(rng) as u32);
                }
                [Kind::Double, _, _] if rng.one_in(2) => {
                    let product = f64::from_bits(next[0]) * f64::from_bits(next[1]);
                    next[2] = product.to_bits() ^ rng.below(4) ^ sign(rng) << 32;
                }
                _ => {}
            }
            operands.push(next);
        }
    }
    let vector = |operands| Vector {
        operands,
        fcsr: rng.below(5) << 5 | rng.pick(&[0, 0, 0, 0x1f, rng.clone().below(32)]),
        poison: rng.next() | (0xffff_ffff_0000_0000 * rng.below(2)),
    };
    operands.into_iter().map(vector).collect()
}

/// `b` with an exponent that puts its product with `a`, or `a`'s quotient by
/// it, where results become subnormal, vanish or overflow.
fn at_the_limit(kind: Kind, a: u64, b: u64, rng: &mut Rng) -> u64 {
    let (fraction_bits, exponent_bits) = match kind {
        Kind::Int => return b,
        Kind::Single => (23, 8),
        Kind::Double => (52, 11),
    };
    let ones = (1i64 << exponent_bits) - 1;
    let bias = ones / 2;
    let exponent = (a >> fraction_bits) as i64 & ones;
    let result = rng.pick(&[0, 0, 0, 1 - fraction_bits, ones - 1]) + rng.below(5) as i64 - 2;
    let wanted = if rng.one_in(2) {
        result - exponent + bias
    } else {
        exponent + bias - result
    };
    let cleared = b & !((ones as u64) << fraction_bits);
    cleared | (wanted.clamp(0, ones - 1) as u64) << fraction_bits
}

/// The sign bit of a single, or nothing.
fn sign(rng: &mut Rng) -> u64 {
    rng.below(2) << 31
}
