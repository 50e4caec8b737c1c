//! Checks of one item: each prints what was measured.

use std::fmt::Display;

#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
}

impl Report {
    /// One promise, whether it holds, and the value seen.
    pub(crate) fn check(&mut self, what: impl Display, holds: bool, measured: impl Display) {
        if holds {
            self.passed += 1;
        } else {
            self.failed += 1;
        }
        let word = if holds { "pass" } else { "FAIL" };
        println!("  {word}  {what}: {measured}");
    }

    /// Something worth knowing that is no promise.
    pub(crate) fn note(&self, text: impl Display) {
        for line in text.to_string().lines() {
            println!("        {line}");
        }
    }

    pub(crate) fn is_good(&self) -> bool {
        self.failed == 0 && self.passed > 0
    }

    pub(crate) fn summary(&self) -> String {
        let word = if self.is_good() { "PASS" } else { "FAIL" };
        format!(
            "{word}, {} of {} checks",
            self.passed,
            self.passed + self.failed
        )
    }
}
