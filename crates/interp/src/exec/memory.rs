//! Loads and stores.
//!
//! One comparison keeps an access inside the window; whether the page is there
//! and allows it is the host MMU's to say. An access that starts at the
//! window's last bytes may run into the guard behind it, which faults too.

use super::{cold, handler};
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
pub(crate) use fault_to_label;

/// The table entry of an access at local label 2 that continues at label 3.
macro_rules! fault_to_next {
    () => {
        concat!(
            ".pushsection rivix_extable,\"aR\",@progbits\n",
            ".balign 4\n",
            ".long 2b - .\n",
            ".long 3f - .\n",
            ".popsection"
        )
    };
}
pub(crate) use fault_to_next;

macro_rules! loads {
    ($($(#[$meta:meta])* $name:ident, $file:literal, $($line:literal),+;)*) => {
        handler! {$(
            $(#[$meta])*
            fn $name(op, cx) {
                let Args { rd, rs1, imm, .. } = (*op).args;
                let addr = cx.x(rs1).wrapping_add(i64::from(imm) as u64);
                if addr > cx.limit {
                    return cold::load_outside(op, cx.regs, cx.base, cx.hart, addr);
                }
                // SAFETY: I6, the address is inside the window or its guard,
                // a fault leaves by the label, and I3 bounds the register.
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
                    out = label {
                        // SAFETY: I4.
                        unsafe { return cold::load_fault(op, cx.regs, cx.base, cx.hart, cx.limit) }
                    },
                    out("r10") _,
                    out("r11") _,
                    options(nostack),
                );
                cx.go(op.add(1))
            }
        )*}
    };
}

loads! {
    lb, "0", "2: movsx r10, byte ptr [{base} + {addr}]";
    lh, "0", "2: movsx r10, word ptr [{base} + {addr}]";
    lw, "0", "2: movsxd r10, dword ptr [{base} + {addr}]";
    ld, "0", "2: mov r10, qword ptr [{base} + {addr}]";
    lbu, "0", "2: movzx r10d, byte ptr [{base} + {addr}]";
    lhu, "0", "2: movzx r10d, word ptr [{base} + {addr}]";
    lwu, "0", "2: mov r10d, dword ptr [{base} + {addr}]";
    fld, "256", "2: mov r10, qword ptr [{base} + {addr}]";
    /// The upper half of a boxed single is ones.
    flw, "256",
        "2: mov r10d, dword ptr [{base} + {addr}]",
        "mov r11, 0xffffffff00000000",
        "or r10, r11";
}

macro_rules! stores {
    ($($name:ident, $get:ident, $line:literal;)*) => {
        handler! {$(
            fn $name(op, cx) {
                let Args { rs1, rs2, imm, .. } = (*op).args;
                let addr = cx.x(rs1).wrapping_add(i64::from(imm) as u64);
                if addr > cx.limit {
                    return cold::store_outside(op, cx.regs, cx.base, cx.hart, addr);
                }
                // SAFETY: I6, as for loads.
                asm!(
                    $line,
                    fault_to_label!(),
                    base = in(reg) cx.base,
                    addr = in(reg) addr,
                    value = in(reg) cx.$get(rs2),
                    hart = in(reg) cx.hart,
                    host = const OFF_FAULT_HOST,
                    cause = const OFF_FAULT_CAUSE,
                    out = label {
                        // SAFETY: I4.
                        unsafe { return cold::store_fault(op, cx.regs, cx.base, cx.hart, cx.limit) }
                    },
                    out("r10") _,
                    out("r11") _,
                    options(nostack),
                );
                cx.go(op.add(1))
            }
        )*}
    };
}

stores! {
    sb, x, "2: mov byte ptr [{base} + {addr}], {value:l}";
    sh, x, "2: mov word ptr [{base} + {addr}], {value:x}";
    sw, x, "2: mov dword ptr [{base} + {addr}], {value:e}";
    sd, x, "2: mov qword ptr [{base} + {addr}], {value:r}";
    fsw, f, "2: mov dword ptr [{base} + {addr}], {value:e}";
    fsd, f, "2: mov qword ptr [{base} + {addr}], {value:r}";
}

/// How a handler leaves for a bad access made by `op`.
pub(crate) type Leave = unsafe fn(
    *const Slot,
    *mut rivix_isa::Registers,
    *mut u8,
    *mut crate::state::HartState,
    u64,
) -> *const Slot;
