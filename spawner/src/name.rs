//! Thread names.

use std::fmt;

/// A thread's name: 15 bytes at most, as the host keeps them (prctl(2),
/// PR_SET_NAME). Longer ones are cut at a character; zero bytes end the name.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Name {
    bytes: [u8; 15],
    len: u8,
}

impl Name {
    pub fn new(text: &str) -> Name {
        let mut name = Name::default();
        for c in text.chars() {
            let at = usize::from(name.len);
            let Some(room) = name.bytes.get_mut(at..at + c.len_utf8()) else {
                break;
            };
            if c == '\0' {
                break;
            }
            c.encode_utf8(room);
            name.len += c.len_utf8() as u8;
        }
        name
    }

    pub fn as_str(&self) -> &str {
        self.bytes
            .get(..usize::from(self.len))
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .unwrap_or("")
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Name {
        Name::new(text)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
