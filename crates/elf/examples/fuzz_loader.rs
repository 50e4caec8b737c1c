//! Throws damaged programs at the loader: `cargo xtask fuzz loader`.
//!
//! Runs on stable, in one process. Each round takes a file of the corpus,
//! changes bytes, headers or whole program header tables, and loads it into a
//! fresh address space. A file with a result not seen before joins the corpus.
//! A panic, a load that takes a second, a result that breaks a promise, or
//! leftover mappings or descriptors end the run, and the file is kept.

#[path = "../tests/build/mod.rs"]
mod build;
#[path = "../tests/target/mod.rs"]
mod target;

use build::{DYN, EXEC, Elf, Phdr};
use std::collections::HashSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use target::Source;

const CORPUS_MAX: usize = 1024;
const FILE_MAX: usize = 128 << 10;
const ROUND_LIMIT: Duration = Duration::from_secs(1);

/// SplitMix64: small, and the same everywhere, so that a seed repeats a run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        if limit == 0 {
            0
        } else {
            (self.next() % limit as u64) as usize
        }
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    /// Numbers at which arithmetic goes wrong, and some that mean something.
    fn extreme(&mut self) -> u64 {
        let base = match self.below(6) {
            0 => 0,
            1 => 1 << self.below(64),
            2 => u64::MAX,
            3 => self.pick(&[
                0x10000,
                0x1000,
                1 << 38,
                1 << 31,
                1 << 63,
                0x12000,
                0x2000,
                64,
                56,
            ]),
            4 => self.next() & 0xffff,
            _ => self.next(),
        };
        base.wrapping_add(self.pick(&[0, 0, 0, 1, u64::MAX, 8, 0xfff, 0x1000, !0xfff]))
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = [
        Elf::new(EXEC, 0x10000),
        Elf::new(DYN, 0),
        Elf::new(DYN, 0).interpreter("/ld.so"),
        Elf::new(EXEC, 0x10000).interpreter("/self"),
        Elf::new(EXEC, (1 << 38) - (1 << 20)),
    ]
    .iter()
    .map(Elf::to_bytes)
    .collect();
    seeds.push(rivix_elf::vdso::IMAGE.to_vec());
    seeds.push(b"#!/ld.so argument\n".to_vec());
    seeds.push(b"#!/self\n".to_vec());
    seeds
}

/// Offsets of fields that decide most: of the header, then of a program header.
const HEADER_FIELDS: [(usize, usize); 9] = [
    (4, 1),
    (5, 1),
    (16, 2),
    (18, 2),
    (24, 8),
    (32, 8),
    (54, 2),
    (56, 2),
    (52, 2),
];
const PHDR_FIELDS: [(usize, usize); 8] = [
    (0, 4),
    (4, 4),
    (8, 8),
    (16, 8),
    (24, 8),
    (32, 8),
    (40, 8),
    (48, 8),
];

fn mutate(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let put = |bytes: &mut Vec<u8>, at: usize, size: usize, value: u64| {
        if let Some(field) = bytes.get_mut(at..at.saturating_add(size)) {
            field.copy_from_slice(&value.to_le_bytes()[..size]);
        }
    };
    match random.below(10) {
        0 => {
            let at = random.below(bytes.len());
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        1 => {
            let at = random.below(bytes.len().min(512));
            put(bytes, at, 1, random.next());
        }
        2 => {
            let (at, size) = random.pick(&HEADER_FIELDS);
            put(bytes, at, size, random.extreme());
        }
        3 | 4 => {
            let (at, size) = random.pick(&PHDR_FIELDS);
            put(
                bytes,
                64 + 56 * random.below(6) + at,
                size,
                random.extreme(),
            );
        }
        5 => {
            let len = random.below(bytes.len() + 1);
            bytes.truncate(len);
        }
        6 => {
            // A splice: the head of this file, the tail of another.
            let at = random.below(bytes.len().min(4096) + 1);
            bytes.truncate(at);
            bytes.extend(other.get(random.below(other.len())..).unwrap_or_default());
        }
        7 => {
            // A table of random headers.
            let mut elf = Elf::new(random.pick(&[EXEC, DYN]), 0x10000);
            elf.phdrs = (0..random.below(20))
                .map(|_| Phdr {
                    kind: random.pick(&[1, 1, 1, 1, 2, 3, 6, 7, build::GNU_STACK]),
                    flags: random.below(8) as u32,
                    offset: (random.below(4) * 0x1000) as u64,
                    vaddr: 0x10000 + (random.below(64) * 0x1000) as u64,
                    filesz: random.below(0x2000) as u64,
                    memsz: random.below(0x8000) as u64,
                    align: 1 << random.below(64),
                })
                .collect();
            elf.entry = 0x10000 + random.below(0x10000) as u64;
            *bytes = elf.to_bytes();
        }
        8 => {
            // Congruent addresses get further than others.
            let index = 64 + 56 * random.below(4);
            let vaddr = random.extreme() & !0xfff;
            put(bytes, index + 16, 8, vaddr);
            put(bytes, index + 8, 8, random.extreme() & 0xf000);
        }
        _ => {
            let len = random.pick(&[0usize, 1, 63, 64, 4096, 8192, 70_000]);
            bytes.resize(len, random.next() as u8);
        }
    }
    bytes.truncate(FILE_MAX);
}

struct Options {
    seconds: u64,
    seed: u64,
    keep: PathBuf,
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        seconds: 10,
        seed: 1,
        keep: PathBuf::from("fuzz-loader.bin"),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{name} needs a value"));
        let number = |text: String| {
            text.parse::<u64>()
                .map_err(|_| format!("{text} is not a whole number"))
        };
        match name.as_str() {
            "--seconds" => options.seconds = number(value()?)?,
            "--seed" => options.seed = number(value()?)?,
            "--keep" => options.keep = PathBuf::from(value()?),
            _ => {
                return Err(format!(
                    "{name}: known are --seconds N, --seed N, --keep FILE"
                ));
            }
        }
    }
    Ok(options)
}

/// Lines of a /proc/self file, or entries of a folder.
fn count(path: &str) -> usize {
    match std::fs::read_dir(path) {
        Ok(entries) => entries.count(),
        Err(_) => std::fs::read_to_string(path).map_or(0, |text| text.lines().count()),
    }
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("fuzz_loader: {problem}");
            return ExitCode::from(2);
        }
    };
    let mut random = Random(options.seed);
    let mut corpus = seeds();
    let valid = corpus.len();
    let mut seen: HashSet<String> = HashSet::new();
    let source = match Source::new() {
        Ok(source) => source,
        Err(error) => {
            eprintln!("fuzz_loader: no temporary file: {error}");
            return ExitCode::from(2);
        }
    };
    std::panic::set_hook(Box::new(|_| ()));

    let fail = |problem: String, bytes: &[u8], round: u64| {
        let kept = match std::fs::write(&options.keep, bytes) {
            Ok(()) => format!("kept in {}", options.keep.display()),
            Err(error) => format!("could not be kept: {error}"),
        };
        eprintln!(
            "fuzz_loader: round {round}, seed {}: {problem}; file {kept}",
            options.seed
        );
        ExitCode::FAILURE
    };

    let start = Instant::now();
    let end = Duration::from_secs(options.seconds);
    let mut before = None;
    let (mut round, mut loaded, mut slowest) = (0u64, 0u64, Duration::ZERO);
    while start.elapsed() < end {
        // What the process keeps for good is there after the first rounds.
        if round == 1000 {
            before = Some((count("/proc/self/maps"), count("/proc/self/fd")));
        }
        // Half the time from a valid file: most changes end in a refusal soon.
        let from = if random.below(2) == 0 {
            valid
        } else {
            corpus.len()
        };
        let mut bytes = corpus[random.below(from)].clone();
        let other = corpus[random.below(corpus.len())].clone();
        for _ in 0..=random.below(4) {
            mutate(&mut bytes, &other, &mut random);
        }
        let mapped = random.below(2) == 0;

        let load = || {
            let began = Instant::now();
            let result =
                std::panic::catch_unwind(|| target::run(&bytes, mapped.then_some(&source)));
            (result, began.elapsed())
        };
        let (mut result, mut took) = load();
        // On a busy machine one long wait says nothing, three do.
        for _ in 0..2 {
            if took > ROUND_LIMIT {
                (result, took) = load();
            }
        }
        slowest = slowest.max(took);
        round += 1;
        let kind = match result {
            Err(panic) => {
                let text = panic
                    .downcast_ref::<String>()
                    .cloned()
                    .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                let text = text.unwrap_or_default();
                return fail(format!("panic: {text}"), &bytes, round);
            }
            Ok(Err(promise)) => return fail(promise, &bytes, round),
            Ok(Ok(kind)) => kind,
        };
        if took > ROUND_LIMIT {
            return fail(format!("took {took:?}"), &bytes, round);
        }
        loaded += u64::from(kind.starts_with("loaded"));
        if seen.insert(kind) && corpus.len() < CORPUS_MAX {
            corpus.push(bytes);
        }
    }

    let after = (count("/proc/self/maps"), count("/proc/self/fd"));
    // The heap may have grown by a mapping or two, and memory opens two files of
    // /proc/self once for the whole process.
    if let Some(before) = before
        && (after.0 > before.0 + 16 || after.1 > before.1 + 2)
    {
        let problem = format!("mappings and descriptors grew from {before:?} to {after:?}");
        return fail(problem, &[], round);
    }
    println!(
        "fuzz_loader: {round} files in {:.0} s, {loaded} loaded, {} kinds of result, \
         slowest {slowest:?}, no failure (seed {})",
        start.elapsed().as_secs_f64(),
        seen.len(),
        options.seed,
    );
    ExitCode::SUCCESS
}
