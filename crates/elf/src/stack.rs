//! The initial stack: what a program finds above its stack pointer.
//!
//! From high to low, as Linux lays it out: eight zero bytes, the path given to
//! execve, environment strings, argument strings, AT_RANDOM's bytes, padding,
//! then the auxiliary vector, the environment vector, the argument vector and
//! argc, to which the 16-aligned stack pointer points (psABI, "Process
//! initialisation"; getauxval(3)).

use crate::auxv::{Auxv, key};
use std::ops::Range;

/// A stack's content, computed without touching memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitialStack {
    pub sp: u64,
    /// The bytes from `sp` to the top.
    pub bytes: Vec<u8>,
    pub arguments: Range<u64>,
    pub environment: Range<u64>,
    /// The vector as /proc/self/auxv shows it.
    pub auxv: Vec<u8>,
}

/// The strings and numbers that go on the stack.
pub(crate) struct Content<'a> {
    pub(crate) argv: &'a [Vec<u8>],
    pub(crate) envp: &'a [Vec<u8>],
    pub(crate) execfn: &'a [u8],
    pub(crate) random: [u8; 16],
    /// Without RANDOM, EXECFN and the final NULL, which are set here.
    pub(crate) auxv: Auxv,
}

/// More bytes than [`build`] will need.
pub(crate) fn size(argv: &[Vec<u8>], envp: &[Vec<u8>], execfn: &[u8]) -> u64 {
    // Terminators, argc, random bytes, padding and the auxiliary vector.
    const REST: u64 = 1024;
    argv.iter()
        .chain(envp)
        .map(|text| (text.len() as u64).saturating_add(9))
        .fold(
            REST.saturating_add(execfn.len() as u64),
            u64::saturating_add,
        )
}

/// Lays out a stack that ends at `top`. None: it does not fit below `top`.
pub(crate) fn build(top: u64, content: Content<'_>) -> Option<InitialStack> {
    let Content {
        argv,
        envp,
        execfn,
        random,
        mut auxv,
    } = content;

    // Strings, ascending: arguments, environment, execfn, eight zero bytes.
    let mut strings = Vec::new();
    let mut argument_offsets = Vec::with_capacity(argv.len());
    let mut environment_offsets = Vec::with_capacity(envp.len());
    for (texts, offsets) in [
        (argv, &mut argument_offsets),
        (envp, &mut environment_offsets),
    ] {
        for text in texts {
            offsets.push(strings.len() as u64);
            strings.extend_from_slice(text);
            strings.push(0);
        }
    }
    let arguments_len = environment_offsets.first().copied();
    let strings_len = strings.len() as u64;
    let execfn_offset = strings_len;
    strings.extend_from_slice(execfn);
    strings.extend_from_slice(&[0; 9]);

    let strings_at = top.checked_sub(strings.len() as u64)?;
    let random_at = (strings_at & !15).checked_sub(16)?;
    auxv.set(key::RANDOM, random_at);
    auxv.set(key::EXECFN, strings_at + execfn_offset);
    let auxv = auxv.to_bytes();

    // argc and two terminators; Linux rounds after the auxiliary vector too.
    let vectors = 8 * (argv.len() as u64 + envp.len() as u64 + 3);
    let sp = random_at
        .checked_sub(auxv.len() as u64)?
        .checked_sub(vectors)?
        & !15;

    let mut bytes = Vec::with_capacity(usize::try_from(top - sp).ok()?);
    let mut put = |word: u64| bytes.extend_from_slice(&word.to_le_bytes());
    put(argv.len() as u64);
    argument_offsets
        .iter()
        .for_each(|offset| put(strings_at + offset));
    put(0);
    environment_offsets
        .iter()
        .for_each(|offset| put(strings_at + offset));
    put(0);
    bytes.extend_from_slice(&auxv);
    bytes.resize(usize::try_from(random_at - sp).ok()?, 0);
    bytes.extend_from_slice(&random);
    bytes.resize(usize::try_from(strings_at - sp).ok()?, 0);
    bytes.extend_from_slice(&strings);

    let middle = strings_at + arguments_len.unwrap_or(strings_len);
    Some(InitialStack {
        sp,
        bytes,
        arguments: strings_at..middle,
        environment: middle..strings_at + strings_len,
        auxv,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(stack: &InitialStack, index: usize) -> u64 {
        let bytes = &stack.bytes[8 * index..8 * index + 8];
        u64::from_le_bytes(bytes.try_into().unwrap())
    }

    fn text(stack: &InitialStack, at: u64) -> &str {
        let bytes = &stack.bytes[(at - stack.sp) as usize..];
        let len = bytes.iter().position(|&byte| byte == 0).unwrap();
        std::str::from_utf8(&bytes[..len]).unwrap()
    }

    fn check(argv: &[&str], envp: &[&str]) {
        let own = |texts: &[&str]| {
            texts
                .iter()
                .map(|t| t.as_bytes().to_vec())
                .collect::<Vec<_>>()
        };
        let mut auxv = Auxv::default();
        auxv.push(key::PAGESZ, 4096);
        auxv.push(key::RANDOM, 0);
        auxv.push(key::EXECFN, 0);
        let top = 1 << 38;
        let content = Content {
            argv: &own(argv),
            envp: &own(envp),
            execfn: b"/bin/prog",
            random: *b"0123456789abcdef",
            auxv,
        };
        let at_most = size(content.argv, content.envp, content.execfn);
        let stack = build(top, content).unwrap();
        assert_eq!(stack.sp % 16, 0);
        assert_eq!(stack.sp + stack.bytes.len() as u64, top);
        assert!(stack.bytes.len() as u64 <= at_most);
        assert_eq!(word(&stack, 0), argv.len() as u64);
        let mut at = 1;
        for texts in [argv, envp] {
            for expect in texts {
                assert_eq!(text(&stack, word(&stack, at)), *expect);
                at += 1;
            }
            assert_eq!(word(&stack, at), 0);
            at += 1;
        }
        assert_eq!(
            (word(&stack, at), word(&stack, at + 1)),
            (key::PAGESZ, 4096)
        );
        assert_eq!(word(&stack, at + 2), key::RANDOM);
        let random = word(&stack, at + 3);
        assert_eq!(
            &stack.bytes[(random - stack.sp) as usize..][..16],
            b"0123456789abcdef"
        );
        assert_eq!(word(&stack, at + 4), key::EXECFN);
        assert_eq!(text(&stack, word(&stack, at + 5)), "/bin/prog");
        assert_eq!((word(&stack, at + 6), word(&stack, at + 7)), (0, 0));
        let len = |texts: &[&str]| texts.iter().map(|t| t.len() as u64 + 1).sum::<u64>();
        assert_eq!(stack.arguments.end - stack.arguments.start, len(argv));
        assert_eq!(stack.environment.end - stack.environment.start, len(envp));
        assert_eq!(stack.environment.end, top - 8 - 10);
    }

    #[test]
    fn layouts() {
        check(&[""], &[]);
        check(&["prog"], &["A=1", "B=2"]);
        check(&["prog", "", "x y", "-z"], &[]);
        check(&["a"; 100], &["LONG=xxxxxxxxxxxxxxxxxxxxxxxxxxxxx"; 33]);
    }

    #[test]
    fn no_room() {
        let content = Content {
            argv: &[vec![b'x'; 4096]],
            envp: &[],
            execfn: b"x",
            random: [0; 16],
            auxv: Auxv::default(),
        };
        assert_eq!(build(4096, content), None);
    }
}
