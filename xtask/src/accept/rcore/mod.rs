//! `cargo xtask accept rcore`: what is promised to programs of teaching kernels.

mod answers;
mod apart;
mod programs;

use super::AcceptArgs;
use super::report::Report;

pub(crate) const ITEMS: [super::Item; 3] = [
    (
        "threads and what they share, under both numberings",
        programs::show,
    ),
    ("a defined answer at every edge", answers::show),
    ("nothing of it in Linux processes", apart::show),
];
