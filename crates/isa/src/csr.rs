//! The control and status registers a user program can name.
//!
//! `cycle`, `instret` and the `hpmcounter`s are absent on purpose: since 6.6
//! Linux's `kernel.perf_user_access` is 1 by default, with which a program that
//! has not mapped a perf event gets SIGILL from them. So Zicntr is not announced
//! either. (qemu-riscv64 does allow them.)

/// A CSR that user mode reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Csr {
    Fflags = 0x001,
    Frm = 0x002,
    Fcsr = 0x003,
    /// Read only. Its frequency is what `riscv_hwprobe` and the vdso say.
    Time = 0xc01,
}

impl Csr {
    pub const ALL: &'static [Csr] = &[Csr::Fflags, Csr::Frm, Csr::Fcsr, Csr::Time];

    pub const fn from_number(number: u32) -> Option<Csr> {
        Some(match number {
            0x001 => Csr::Fflags,
            0x002 => Csr::Frm,
            0x003 => Csr::Fcsr,
            0xc01 => Csr::Time,
            _ => return None,
        })
    }

    pub const fn number(self) -> u16 {
        self as u16
    }

    /// Bits 11:10 both set mean read only (privileged manual, "CSR Address
    /// Mapping Conventions"); a write is an illegal instruction.
    pub const fn is_read_only(self) -> bool {
        self as u16 >> 10 == 3
    }

    pub const fn name(self) -> &'static str {
        match self {
            Csr::Fflags => "fflags",
            Csr::Frm => "frm",
            Csr::Fcsr => "fcsr",
            Csr::Time => "time",
        }
    }
}
