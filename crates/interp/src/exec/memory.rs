//! Loads and stores.
//!
//! One comparison keeps an access inside the window; whether the page is there
//! and allows it is the host MMU's to say. An access that starts at the
//! window's last bytes may run into the guard behind it, which faults too.

use super::Cx;
use super::step::{Exit, Step};
use crate::slot::{Args, Slot};
use crate::state::{OFF_FAULT_CAUSE, OFF_FAULT_HOST};
use std::arch::asm;

/// The assembly of an access at local label 2 whose fault continues at `{out}`,
/// a label operand, after noting the fault in `{hart}`. On a fault the handler
/// leaves the host address in r10 and the cause in r11.
macro_rules! fault_to_label {
    () => {
        concat!(
            ".pushsection rivix_extable,\"aR\",@progbits\n",
            ".balign 4\n",
            ".long 2b - .\n",
            ".long 3f - .\n",
            ".popsection\n",
            ".pushsection .text.rivix_pad,\"ax\",@progbits\n",
            "3: mov [{hart} + {host}], r10\n",
            "mov [{hart} + {cause}], r11\n",
            "jmp {out}\n",
            ".popsection"
        )
    };
}

/// The table entry of an access at local label 2 that continues at label 3.
macro_rules! fault_to_next {
    () => {
        concat!(
            ".pushsection rivix_extable,\"aR\",@progbits\n",
            ".balign 4\n",
            ".long 2b - .\n",
            ".long 3b - .\n",
            ".popsection"
        )
    };
}
pub(crate) use fault_to_next;

macro_rules! loads {
    ($($(#[$meta:meta])* $name:ident, $file:literal, $($line:literal),+;)*) => {$(
        $(#[$meta])*
        pub(crate) struct $name;
        impl Step for $name {
            const READS: bool = true;
            const WRITES: bool = false;
            #[inline(always)]
            unsafe fn run(op: *const Slot, cx: Cx, a: u64) -> Result<u64, Exit> {
                // SAFETY: I2; I6, the address is inside the window or its guard,
                // a fault leaves by the label, and I3 bounds the register.
                unsafe {
                    let Args { rd, imm, .. } = (*op).args;
                    let addr = a.wrapping_add(i64::from(imm) as u64);
                    if addr > cx.limit {
                        return Err(Exit::LoadOutside(addr));
                    }
                    asm!(
                        $($line,)+
                        concat!("mov [{regs} + 8*{rd} + ", $file, "], r10"),
                        fault_to_label!(),
                        base = in(reg) cx.base,
                        addr = in(reg) addr,
                        regs = in(reg) cx.regs,
                        rd = in(reg) u64::from(rd),
                        hart = in(reg) cx.hart,
                        host = const OFF_FAULT_HOST,
                        cause = const OFF_FAULT_CAUSE,
                        out = label { return Err(Exit::LoadFault) },
                        out("r10") _,
                        out("r11") _,
                        options(nostack),
                    );
                    Ok(0)
                }
            }
        }
    )*};
}

loads! {
    Lb, "0", "2: movsx r10, byte ptr [{base} + {addr}]";
    Lh, "0", "2: movsx r10, word ptr [{base} + {addr}]";
    Lw, "0", "2: movsxd r10, dword ptr [{base} + {addr}]";
    Ld, "0", "2: mov r10, qword ptr [{base} + {addr}]";
    Lbu, "0", "2: movzx r10d, byte ptr [{base} + {addr}]";
    Lhu, "0", "2: movzx r10d, word ptr [{base} + {addr}]";
    Lwu, "0", "2: mov r10d, dword ptr [{base} + {addr}]";
    Fld, "256", "2: mov r10, qword ptr [{base} + {addr}]";
    /// The upper half of a boxed single is ones.
    Flw, "256",
        "2: mov r10d, dword ptr [{base} + {addr}]",
        "mov r11, 0xffffffff00000000",
        "or r10, r11";
}

macro_rules! stores {
    ($($name:ident, $get:ident, $line:literal;)*) => {$(
        pub(crate) struct $name;
        impl Step for $name {
            const READS: bool = true;
            const WRITES: bool = false;
            #[inline(always)]
            unsafe fn run(op: *const Slot, cx: Cx, a: u64) -> Result<u64, Exit> {
                // SAFETY: I2, I3, I6, as for loads.
                unsafe {
                    let Args { rs2, imm, .. } = (*op).args;
                    let addr = a.wrapping_add(i64::from(imm) as u64);
                    if addr > cx.limit {
                        return Err(Exit::StoreOutside(addr));
                    }
                    asm!(
                        $line,
                        fault_to_label!(),
                        base = in(reg) cx.base,
                        addr = in(reg) addr,
                        value = in(reg) cx.$get(rs2),
                        hart = in(reg) cx.hart,
                        host = const OFF_FAULT_HOST,
                        cause = const OFF_FAULT_CAUSE,
                        out = label { return Err(Exit::StoreFault) },
                        out("r10") _,
                        out("r11") _,
                        options(nostack),
                    );
                    Ok(0)
                }
            }
        }
    )*};
}

stores! {
    Sb, x, "2: mov byte ptr [{base} + {addr}], {value:l}";
    Sh, x, "2: mov word ptr [{base} + {addr}], {value:x}";
    Sw, x, "2: mov dword ptr [{base} + {addr}], {value:e}";
    Sd, x, "2: mov qword ptr [{base} + {addr}], {value:r}";
    Fsw, f, "2: mov dword ptr [{base} + {addr}], {value:e}";
    Fsd, f, "2: mov qword ptr [{base} + {addr}], {value:r}";
}
