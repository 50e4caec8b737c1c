//! The way out: what OPOST makes of bytes, and where the cursor is then.

use super::Wire;
use crate::tty::settings::Settings;
use rivix_abi::termios::{OCRNL, OLCUC, ONLCR, ONLRET, ONOCR};

/// Columns of the cursor: now, and where the line being typed began.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Columns {
    pub(super) now: usize,
    pub(super) line_start: usize,
}

impl Columns {
    pub(super) fn back(&mut self) {
        self.now = self.now.saturating_sub(1);
    }

    fn home(&mut self) {
        self.now = 0;
        self.line_start = 0;
    }

    /// Sends one byte with output processing. False: the wire has no room for all
    /// that it becomes, and nothing was sent.
    pub(super) fn put(&mut self, settings: &Settings, c: u8, wire: &mut dyn Wire) -> bool {
        let room = wire.room();
        if room == 0 {
            return false;
        }
        let mut c = c;
        match c {
            b'\n' => {
                if settings.o(ONLRET) {
                    self.now = 0;
                }
                if settings.o(ONLCR) {
                    if room < 2 {
                        return false;
                    }
                    self.home();
                    wire.put(b"\r\n");
                    return true;
                }
                self.line_start = self.now;
            }
            b'\r' => {
                if settings.o(ONOCR) && self.now == 0 {
                    return true;
                }
                if settings.o(OCRNL) {
                    c = b'\n';
                    if settings.o(ONLRET) {
                        self.home();
                    }
                } else {
                    self.home();
                }
            }
            b'\t' => {
                let spaces = 8 - (self.now & 7);
                if settings.expands_tabs() {
                    if room < spaces {
                        return false;
                    }
                    self.now += spaces;
                    wire.put(&b"        "[..spaces]);
                    return true;
                }
                self.now += spaces;
            }
            8 => self.back(),
            _ if !super::is_control(c) => {
                if settings.o(OLCUC) {
                    c = super::to_upper(c);
                }
                if !settings.continues(c) {
                    self.now += 1;
                }
            }
            _ => {}
        }
        wire.put(&[c]);
        true
    }
}
