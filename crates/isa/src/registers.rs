//! A hart's architectural state.

/// Registers of one hart, in the layout the engines' fast paths use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Registers {
    /// x0..x31; x0 is always zero at a trap.
    pub x: [u64; 32],
    /// f0..f31, NaN-boxed bit patterns.
    pub f: [u64; 32],
    pub pc: u64,
    /// frm in bits 7:5, fflags in bits 4:0.
    pub fcsr: u32,
    pub pad: u32,
}

/// Register numbers by their ABI names.
pub mod reg {
    pub const RA: usize = 1;
    pub const SP: usize = 2;
    pub const TP: usize = 4;
    pub const A0: usize = 10;
    pub const A1: usize = 11;
    pub const A2: usize = 12;
    pub const A3: usize = 13;
    pub const A4: usize = 14;
    pub const A5: usize = 15;
    pub const A7: usize = 17;
}
