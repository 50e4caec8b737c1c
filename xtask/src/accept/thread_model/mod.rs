//! `cargo xtask accept threads`: what is promised of threads, processes and
//! signals. (`../threads.rs` shows an item of another milestone.)

mod cases;
mod kicks;
mod mixed;
mod speed;
mod storms;

use super::AcceptArgs;
use super::report::Report;

pub(crate) const ITEMS: [super::Item; 6] = [
    (
        "each call, flag, errno and rule, beside the host's kernel and qemu",
        cases::show,
    ),
    ("stress programs, again and again", storms::show),
    ("kicks on the way into blocking calls", kicks::show),
    ("everything at once, and what the host holds", mixed::show),
    ("figures beside native code and qemu", speed::show),
    (
        "models of the protocols, and faults seeded into them",
        super::models,
    ),
];
