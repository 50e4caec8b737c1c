//! Decodes words until the time is over: `fuzz_decode [--seconds N] [--seed N]`.
//! Every word is visited once in 2^32 steps, from a place the seed names, so a
//! run that ends by itself has tried them all. Each word that decodes must
//! print, and its 32-bit form must decode to the same instruction.

use rivix_isa::{Insn, Operands, decode, encode};
use std::process::ExitCode;
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    let (mut seconds, mut seed) = (30, 0);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().and_then(|text| text.parse().ok());
        match (name.as_str(), value) {
            ("--seconds", Some(value)) => seconds = value,
            ("--seed", Some(value)) => seed = value,
            _ => {
                eprintln!("usage: fuzz_decode [--seconds N] [--seed N]");
                return ExitCode::from(2);
            }
        }
    }
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let mut legal = 0u64;
    for step in 0..=u32::MAX {
        if step.trailing_zeros() >= 20 && Instant::now() > deadline {
            println!("{step} words, {legal} of them legal");
            return ExitCode::SUCCESS;
        }
        // An odd multiplier: a permutation of all words.
        let word = step.wrapping_mul(0x9e37_79b1).wrapping_add(seed as u32);
        match check(word) {
            Ok(is_legal) => legal += u64::from(is_legal),
            Err(why) => {
                eprintln!("{word:#010x}: {why}");
                return ExitCode::FAILURE;
            }
        }
    }
    println!("all 2^32 words, {legal} of them legal");
    ExitCode::SUCCESS
}

fn check(word: u32) -> Result<bool, String> {
    let Some(insn) = decode(word) else {
        return Ok(false);
    };
    // Text is slow: some words only.
    if word.trailing_ones() >= 8 && insn.to_string().is_empty() {
        return Err("prints nothing".to_owned());
    }
    match decode(encode(insn.op, Operands::from(&insn))) {
        Some(again)
            if (Insn {
                len: insn.len,
                raw: insn.raw,
                ..again
            }) == insn =>
        {
            Ok(true)
        }
        again => Err(format!("{insn:?} encodes to {again:?}")),
    }
}
