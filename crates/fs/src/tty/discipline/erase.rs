//! Editing of the line: VERASE, VWERASE and VKILL, and how they show.

use super::{LineDiscipline, MASK, is_control, is_word};
use rivix_abi::termios::{ECHOCTL, ECHOE, ECHOK, ECHOKE, ECHOPRT, VERASE, VKILL, VWERASE};

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Char,
    Word,
    Line,
}

impl LineDiscipline {
    /// Takes back what `c` stands for, of the line that is not complete yet.
    pub(super) fn erase(&mut self, c: u8) {
        if self.head == self.canon_head {
            return;
        }
        let what = if self.settings.is(c, VERASE) {
            What::Char
        } else if self.settings.is(c, VWERASE) {
            What::Word
        } else {
            What::Line
        };
        if what == What::Line && !self.shows_each_erased() {
            self.kill();
            return;
        }
        let mut has_word = false;
        while self.head != self.canon_head {
            let Some(start) = self.last_char() else { break };
            let c = self.buffer[start & MASK];
            if what == What::Word {
                if is_word(c) {
                    has_word = true;
                } else if has_word {
                    break;
                }
            }
            let bytes = start..self.head;
            self.head = start;
            if self.echoes() {
                self.show_erased(what, c, bytes);
            }
            if what == What::Char {
                break;
            }
        }
        if self.head == self.canon_head && self.echoes() {
            self.finish_erasing();
        }
    }

    fn shows_each_erased(&self) -> bool {
        let all = |flags| self.settings.termios().lflag & flags == flags;
        self.echoes() && all(ECHOK | ECHOKE | ECHOE)
    }

    /// VKILL on terminals that cannot take characters back.
    fn kill(&mut self) {
        self.head = self.canon_head;
        if self.echoes() {
            self.finish_erasing();
            self.echo_char(self.settings.cc(VKILL));
            if self.settings.l(ECHOK) {
                self.echo.raw(b'\n');
            }
        }
    }

    /// Where the last character begins; None: its first byte is not in the line.
    fn last_char(&self) -> Option<usize> {
        let mut at = self.head;
        loop {
            at -= 1;
            if !self.settings.continues(self.buffer[at & MASK]) {
                return Some(at);
            }
            if at == self.canon_head {
                return None;
            }
        }
    }

    fn show_erased(&mut self, what: What, c: u8, bytes: std::ops::Range<usize>) {
        if self.settings.l(ECHOPRT) {
            if !std::mem::replace(&mut self.is_erasing, true) {
                self.echo.raw(b'\\');
            }
            self.echo_char(c);
            for at in bytes.skip(1) {
                self.echo.raw(self.buffer[at & MASK]);
                self.echo.back();
            }
        } else if what == What::Char && !self.settings.l(ECHOE) {
            self.echo_char(self.settings.cc(VERASE));
        } else if c == b'\t' {
            self.erase_tab();
        } else {
            let shows_controls = self.settings.l(ECHOCTL);
            let columns = match is_control(c) {
                true if shows_controls => 2,
                true => 0,
                false => 1,
            };
            for _ in 0..columns {
                for c in *b"\x08 \x08" {
                    self.echo.raw(c);
                }
            }
        }
    }

    /// Counts the columns used since the tab before it, or since the line's start.
    fn erase_tab(&mut self) {
        let mut columns = 0;
        let mut is_after_tab = false;
        for at in (self.canon_head..self.head).rev() {
            let c = self.buffer[at & MASK];
            if c == b'\t' {
                is_after_tab = true;
                break;
            }
            if is_control(c) {
                columns += if self.settings.l(ECHOCTL) { 2 } else { 0 };
            } else if !self.settings.continues(c) {
                columns += 1;
            }
        }
        self.echo.erase_tab(columns, is_after_tab);
    }

    pub(super) fn finish_erasing(&mut self) {
        if std::mem::take(&mut self.is_erasing) {
            self.echo.raw(b'/');
        }
    }
}
