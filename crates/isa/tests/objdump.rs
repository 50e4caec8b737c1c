//! The decoder and disassembler against binutils' objdump, all 16-bit
//! encodings and many 32-bit ones. Skipped, and said so, where the riscv64
//! binutils are missing.

use rivix_isa::table::ROWS;
use rivix_isa::{Csr, Format, Op, decode};
use std::io::{ErrorKind, Write};
use std::process::Command;

const OBJDUMP: &str = "riscv64-linux-gnu-objdump";

/// Address to text (without the raw bytes), as objdump sees `code`; `None`
/// when it is not installed.
fn objdump(code: &[u8]) -> Option<Vec<(u64, String)>> {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(code).expect("writing a temporary file");
    let output = Command::new(OBJDUMP)
        .args([
            "-D",
            "-z",
            "-b",
            "binary",
            "-m",
            "riscv:rv64",
            "-M",
            "no-aliases",
        ])
        .arg(file.path())
        .output();
    let output = match output {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("skipped: {OBJDUMP} is not installed (Debian: binutils-riscv64-linux-gnu)");
            return None;
        }
        other => other.expect("running objdump"),
    };
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("objdump prints ASCII");
    let lines = text.lines().filter_map(|line| {
        let mut columns = line.split('\t');
        let address = columns.next()?.trim().strip_suffix(':')?;
        let address = u64::from_str_radix(address, 16).ok()?;
        let _raw = columns.next()?;
        let text = columns.collect::<Vec<_>>().join(" ");
        // Comments: " # 0x1234" and " <.data+0x12>".
        let text = text.split(" #").next().unwrap_or_default();
        let text = text.split(" <").next().unwrap_or_default();
        Some((address, plain(text.trim())))
    });
    Some(lines.collect())
}

/// Without the `0x` that objdump writes before some numbers.
fn plain(text: &str) -> String {
    text.replace(",0x", ",").replace(" 0x", " ")
}

/// Ours in the same form; "illegal" when refused.
fn ours(bits: u32, pc: u64) -> String {
    match decode(bits) {
        Some(insn) => plain(&insn.at(pc).to_string()),
        None => "illegal".to_owned(),
    }
}

fn is_data(text: &str) -> bool {
    text.starts_with('.') || text == "c.unimp" || text == "unimp"
}

#[test]
fn every_compressed_encoding() {
    let halves: Vec<u16> = (0..=u16::MAX).filter(|half| half & 3 != 3).collect();
    let code: Vec<u8> = halves.iter().flat_map(|half| half.to_le_bytes()).collect();
    let Some(lines) = objdump(&code) else { return };
    assert_eq!(lines.len(), halves.len());
    let mut wrong = Vec::new();
    for (half, (pc, theirs)) in halves.iter().zip(&lines) {
        let theirs = if is_data(theirs) {
            "illegal".to_owned()
        } else if let Some((name, register)) = theirs.split_once("64 ") {
            // A shift by 0 is c.slli64 and so on: RV128's shifts by 64.
            format!("{name} {register},0")
        } else {
            theirs.clone()
        };
        let ours = ours(u32::from(*half), *pc);
        // objdump accepts the reserved form.
        let reserved = ours == "illegal" && theirs == "c.addi16sp sp,0";
        if ours != theirs && !reserved {
            wrong.push(format!("{half:#06x}: ours {ours}, objdump {theirs}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(40)].join("\n")
    );
}

/// Where objdump is not the manual for user mode, and why.
fn excepted(word: u32, theirs: &str) -> Option<&'static str> {
    let major = word & 0x7f;
    let funct3 = word >> 12 & 7;
    let decoded = decode(word);
    let op = decoded.map(|insn| insn.op);
    if major == 0x73 && decoded.is_none() {
        if funct3 == 0 {
            return Some("privileged instructions are not for user mode");
        }
        if Csr::from_number(word >> 20).is_none_or(Csr::is_read_only) {
            return Some("objdump takes any CSR and any access to it");
        }
    }
    if matches!(op, Some(Op::Fence | Op::FenceI)) && (is_data(theirs) || theirs == "fence.i") {
        return Some("unused fields of a fence are ignored, objdump wants them zero");
    }
    if decoded.is_none() && theirs.ends_with(",unknown") {
        return Some("objdump prints reserved rounding modes");
    }
    if decoded.is_none() && theirs.starts_with("lr.") {
        return Some("lr's rs2 must be zero");
    }
    if matches!(op, Some(Op::FcvtDS | Op::FcvtDW | Op::FcvtDWu)) {
        return Some("exact conversions have a rounding mode field, objdump wants it zero");
    }
    None
}

/// SplitMix64: the same words on every run.
struct Rng(u64);

impl Rng {
    fn next_u32(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) as u32
    }
}

/// A row's bits with random operands, sometimes one fixed bit wrong, sometimes
/// any word at all.
fn random_word(rng: &mut Rng) -> u32 {
    let row = &ROWS[rng.next_u32() as usize % ROWS.len()];
    let word = row.bits | rng.next_u32() & !row.mask;
    let word = match rng.next_u32() % 8 {
        0..4 => word,
        4..7 => word ^ 1 << (rng.next_u32() % 30 + 2),
        _ => rng.next_u32() | 3,
    };
    // An access to a CSR that exists, half of the time.
    match row.format {
        Format::Csr | Format::CsrImm if word & 0x8000 == 0 => {
            word & 0xf_ffff | [1, 2, 3, 0xc01][rng.next_u32() as usize & 3] << 20
        }
        _ => word,
    }
}

#[test]
fn random_words() {
    let mut rng = Rng(1);
    let words: Vec<u32> = std::iter::repeat_with(|| random_word(&mut rng))
        .filter(|word| word & 0x1f != 0x1f)
        .take(200_000)
        .collect();
    let code: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let Some(lines) = objdump(&code) else { return };
    assert_eq!(lines.len(), words.len(), "one line for each word");
    let mut wrong = Vec::new();
    let mut legal = 0;
    for (word, (pc, theirs)) in words.iter().zip(&lines) {
        let ours = ours(*word, *pc);
        legal += usize::from(ours != "illegal");
        let agree = if is_data(theirs) {
            ours == "illegal"
        } else {
            ours == *theirs
        };
        if !agree && excepted(*word, theirs).is_none() {
            wrong.push(format!("{word:#010x}: ours {ours}, objdump {theirs}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(40)].join("\n")
    );
    assert!(legal > words.len() / 3, "only {legal} legal words tried");
}
