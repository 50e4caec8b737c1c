//! The exception table: which instructions may fault, and where each goes on.

use std::sync::OnceLock;

/// One entry of the exception table, for use among the lines of an `asm!`:
/// a fault at the first label resumes at the second, with the faulting host
/// address in r10 and 1 (SIGSEGV) or 2 (SIGBUS) in r11. Both registers must be
/// declared clobbered. Numeric labels work: `ex_entry!("2b", "3f")`.
#[macro_export]
macro_rules! ex_entry {
    ($insn:literal, $pad:literal) => {
        concat!(
            ".pushsection rivix_extable, \"aR\", @progbits\n",
            ".balign 4\n",
            ".long ",
            $insn,
            " - .\n",
            ".long ",
            $pad,
            " - .\n",
            ".popsection"
        )
    };
}

/// As it lies in the section: distances from the fields' own addresses.
#[repr(C)]
struct Entry {
    insn: i32,
    pad: i32,
}

static SORTED: OnceLock<Vec<(usize, usize)>> = OnceLock::new();

/// Sorts the table; before this nothing is found.
pub(super) fn prepare() {
    SORTED.get_or_init(|| {
        let (first, last): (usize, usize);
        // SAFETY: only takes addresses. The empty piece makes sure that the
        // section, and so its edge symbols, exist.
        unsafe {
            std::arch::asm!(
                ".pushsection rivix_extable, \"aR\", @progbits",
                ".popsection",
                "lea {first}, [rip + __start_rivix_extable]",
                "lea {last}, [rip + __stop_rivix_extable]",
                first = out(reg) first,
                last = out(reg) last,
                options(nomem, nostack, preserves_flags),
            );
        }
        let count = (last - first) / size_of::<Entry>();
        let mut sorted: Vec<(usize, usize)> = (0..count)
            .map(|i| {
                let at = first + i * size_of::<Entry>();
                // SAFETY: within the section, which is read-only data of this
                // program, 4-aligned.
                let entry = unsafe { &*(at as *const Entry) };
                (
                    at.wrapping_add_signed(entry.insn as isize),
                    (at + 4).wrapping_add_signed(entry.pad as isize),
                )
            })
            .collect();
        sorted.sort_unstable();
        sorted.dedup();
        sorted
    });
}

/// The landing pad of the instruction at `pc`. Async-signal-safe (M5).
pub(super) fn find(pc: usize) -> Option<usize> {
    let table = SORTED.get()?;
    let at = table.binary_search_by_key(&pc, |&(insn, _)| insn).ok()?;
    table.get(at).map(|&(_, pad)| pad)
}
