//! `#!` lines (execve(2), "Interpreter scripts").

/// How much of a program Linux looks at to tell what it is.
pub const HEAD_LEN: usize = 256;

/// What a `#!` line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    pub interpreter: Vec<u8>,
    /// All that follows the interpreter's name, as one argument.
    pub argument: Option<Vec<u8>>,
}

/// True when the file asks for a script interpreter.
pub fn is_script(head: &[u8]) -> bool {
    head.starts_with(b"#!")
}

/// The `#!` line in the first [`HEAD_LEN`] bytes of a file. None: not a script,
/// no interpreter named, or its name cut off.
pub fn parse(head: &[u8]) -> Option<Script> {
    let rest = head.get(..head.len().min(HEAD_LEN))?.strip_prefix(b"#!")?;
    let is_blank = |&byte: &u8| byte == b' ' || byte == b'\t';

    let line = match rest.iter().position(|&byte| byte == b'\n') {
        Some(end) => rest.get(..end)?,
        // A shorter file is followed by zeroes, which end the line; in a longer
        // one a name that nothing ends may be cut off.
        None if head.len() < HEAD_LEN => rest,
        None => {
            // The last byte of the buffer is never looked at.
            let seen = rest.get(..rest.len().checked_sub(1)?)?;
            let start = seen.iter().position(|byte| !is_blank(byte))?;
            seen.get(start..)?
                .iter()
                .position(|byte| is_blank(byte) || *byte == 0)?;
            seen
        }
    };

    let end = line.iter().rposition(|byte| !is_blank(byte))? + 1;
    let line = line.get(..end)?;
    let start = line.iter().position(|byte| !is_blank(byte))?;
    let line = line.get(start..)?;
    let name_len = line
        .iter()
        .position(|byte| is_blank(byte) || *byte == 0)
        .unwrap_or(line.len());
    let (name, after) = line.split_at_checked(name_len)?;
    if name.is_empty() {
        return None;
    }

    let argument = match after.first() {
        // A zero byte ends the line as it ends a C string.
        None | Some(0) => None,
        Some(_) => {
            let start = after.iter().position(|byte| !is_blank(byte))?;
            let text = after.get(start..)?;
            let len = text
                .iter()
                .position(|&byte| byte == 0)
                .unwrap_or(text.len());
            Some(text.get(..len)?.to_vec())
        }
    };
    Some(Script {
        interpreter: name.to_vec(),
        argument,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(head: &[u8], expect: Option<(&str, Option<&str>)>) {
        let expect = expect.map(|(name, argument)| Script {
            interpreter: name.as_bytes().to_vec(),
            argument: argument.map(|text| text.as_bytes().to_vec()),
        });
        assert_eq!(parse(head), expect, "{:?}", String::from_utf8_lossy(head));
    }

    #[test]
    fn lines() {
        check(b"#!/bin/sh\necho", Some(("/bin/sh", None)));
        check(b"#! \t/bin/sh \t\n", Some(("/bin/sh", None)));
        check(b"#!/bin/sh -e -x \n", Some(("/bin/sh", Some("-e -x"))));
        check(b"#!/bin/sh", Some(("/bin/sh", None)));
        check(b"#!/bin/awk -f", Some(("/bin/awk", Some("-f"))));
        check(b"#!/bin/sh\0 -x\n", Some(("/bin/sh", None)));
        check(b"#!/bin/sh -x\0y\n", Some(("/bin/sh", Some("-x"))));
        check(b"#!", None);
        check(b"#!\n/bin/sh", None);
        check(b"#!   \n", None);
        check(b"#", None);
        check(b"", None);
        check(b"\x7fELF", None);
        check(b" #!/bin/sh\n", None);
    }

    #[test]
    fn long_lines() {
        let mut head = b"#!/".to_vec();
        head.resize(300, b'a');
        check(&head, None);
        // Something after the name: the name is whole, the argument is cut.
        let mut head = b"#!/bin/sh ".to_vec();
        head.resize(300, b'b');
        check(&head, Some(("/bin/sh", Some(&"b".repeat(245)))));
        let mut head = b"#!/bin/sh".to_vec();
        head.resize(300, b' ');
        check(&head, Some(("/bin/sh", None)));
        check(&[b"#!".as_slice(), &[b' '; 300]].concat(), None);
    }
}
