//! A terminal's settings (termios(3)), with the questions that are asked of them.

use rivix_abi::ioctl::{Termio, Termios, Termios2};
use rivix_abi::termios::*;

/// The settings, and the speeds that TCGETS2 shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    termios: Termios,
    ispeed: u32,
    ospeed: u32,
}

/// Bits a second by the number in CBAUD (asm-generic/termbits.h); numbers with
/// CBAUDEX go on behind those without.
const SPEEDS: [u32; 31] = [
    0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400, 57600,
    115_200, 230_400, 460_800, 500_000, 576_000, 921_600, 1_000_000, 1_152_000, 1_500_000,
    2_000_000, 2_500_000, 3_000_000, 3_500_000, 4_000_000,
];

impl Default for Settings {
    /// Of a new pseudo-terminal.
    fn default() -> Settings {
        let mut cc = [DISABLED; 19];
        for (at, c) in [
            (VINTR, 0o3),
            (VQUIT, 0o34),
            (VERASE, 0o177),
            (VKILL, 0o25),
            (VEOF, 0o4),
            (VMIN, 1),
            (VSTART, 0o21),
            (VSTOP, 0o23),
            (VSUSP, 0o32),
            (VREPRINT, 0o22),
            (VWERASE, 0o27),
            (VLNEXT, 0o26),
        ] {
            cc[at] = c;
        }
        // Linux counts VDISCARD (13) among them, and does nothing for it.
        cc[13] = 0o17;
        Settings {
            termios: Termios {
                iflag: ICRNL | IXON,
                oflag: OPOST | ONLCR,
                cflag: B38400 | CS8 | CREAD,
                lflag: ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
                line: 0,
                cc,
            },
            ispeed: 38400,
            ospeed: 38400,
        }
    }
}

impl Settings {
    pub(crate) fn i(&self, flag: u32) -> bool {
        self.termios.iflag & flag != 0
    }

    pub(crate) fn o(&self, flag: u32) -> bool {
        self.termios.oflag & flag != 0
    }

    pub(crate) fn l(&self, flag: u32) -> bool {
        self.termios.lflag & flag != 0
    }

    /// Do tabs become spaces on their way out?
    pub(crate) fn expands_tabs(&self) -> bool {
        self.termios.oflag & TABDLY == XTABS
    }

    /// The control character at a place.
    pub(crate) fn cc(&self, place: usize) -> u8 {
        self.termios.cc.get(place).copied().unwrap_or(DISABLED)
    }

    /// Is `c` the control character of `place`? A disabled one never is.
    pub(crate) fn is(&self, c: u8, place: usize) -> bool {
        c != DISABLED && c == self.cc(place)
    }

    /// Are lines made of the input here? EXTPROC leaves that to the other side.
    pub(crate) fn has_lines(&self) -> bool {
        self.l(ICANON) && !self.l(EXTPROC)
    }

    /// May input go to readers as it comes?
    pub(crate) fn is_raw(&self) -> bool {
        let looks = self.i(ISTRIP | IUCLC | IGNCR | ICRNL | INLCR | IXON | PARMRK)
            || self.l(ICANON | ISIG | ECHO);
        !looks || self.l(EXTPROC) && !self.i(ISTRIP) && !(self.i(IUCLC) && self.l(IEXTEN))
    }

    /// Does `c` continue a character that several bytes make?
    pub(crate) fn continues(&self, c: u8) -> bool {
        self.i(IUTF8) && c & 0xc0 == 0x80
    }

    /// Are ^S and ^Q what stops and starts output? Packet mode tells changes of it.
    pub(crate) fn has_usual_flow(&self) -> bool {
        self.i(IXON) && self.cc(VSTOP) == 0o23 && self.cc(VSTART) == 0o21
    }

    pub(crate) fn termios(&self) -> Termios {
        self.termios
    }

    pub(crate) fn termios2(&self) -> Termios2 {
        Termios2 {
            termios: self.termios,
            ispeed: self.ispeed,
            ospeed: self.ospeed,
        }
    }

    pub(crate) fn termio(&self) -> Termio {
        let all = self.termios;
        let mut cc = [0; 8];
        cc.copy_from_slice(&all.cc[..8]);
        Termio {
            iflag: all.iflag as u16,
            oflag: all.oflag as u16,
            cflag: all.cflag as u16,
            lflag: all.lflag as u16,
            line: all.line,
            cc,
            pad: 0,
        }
    }

    /// These settings with those of TCSETS. Speeds follow the flags.
    pub(crate) fn with_termios(&self, new: Termios) -> Settings {
        self.with_termios2(Termios2 {
            termios: new,
            ispeed: self.ispeed,
            ospeed: self.ospeed,
        })
    }

    /// Those of TCSETS2. A pseudo-terminal has eight bits and no parity.
    pub(crate) fn with_termios2(&self, new: Termios2) -> Settings {
        let mut termios = new.termios;
        let ospeed = speed_of(termios.cflag).unwrap_or(new.ospeed);
        let ibits = termios.cflag >> IBSHIFT & CBAUD;
        let ispeed = match ibits {
            // B0 there: as the output's (termios(3), cfsetispeed).
            0 => ospeed,
            BOTHER => new.ispeed,
            bits => speed_of(bits).unwrap_or(ospeed),
        };
        termios.cflag = termios.cflag & !(CSIZE | PARENB) | CS8 | CREAD;
        Settings {
            termios,
            ispeed,
            ospeed,
        }
    }

    /// Those of TCSETA, which knows the lower halves only.
    pub(crate) fn with_termio(&self, new: Termio) -> Settings {
        let low = |old: u32, new: u16| old & 0xffff_0000 | u32::from(new);
        let mut termios = self.termios;
        termios.iflag = low(termios.iflag, new.iflag);
        termios.oflag = low(termios.oflag, new.oflag);
        termios.cflag = low(termios.cflag, new.cflag);
        termios.lflag = low(termios.lflag, new.lflag);
        termios.line = new.line;
        termios.cc[..8].copy_from_slice(&new.cc);
        self.with_termios(termios)
    }
}

/// None: BOTHER.
fn speed_of(cflag: u32) -> Option<u32> {
    let bits = cflag & CBAUD;
    if bits == BOTHER {
        return None;
    }
    let number = if bits & CBAUDEX != 0 {
        (bits & !CBAUDEX) + 15
    } else {
        bits
    };
    SPEEDS.get(number as usize).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_follow_the_flags() {
        #[track_caller]
        fn check(cflag: u32, speeds: (u32, u32), expect: (u32, u32)) {
            let mut termios = Settings::default().termios();
            termios.cflag = cflag;
            let (ispeed, ospeed) = speeds;
            let set = Settings::default().with_termios2(Termios2 {
                termios,
                ispeed,
                ospeed,
            });
            assert_eq!((set.ispeed, set.ospeed), expect, "{cflag:o}");
        }
        check(0o15, (1, 2), (9600, 9600));
        check(0o10002, (1, 2), (115_200, 115_200));
        check(BOTHER, (1, 2), (2, 2));
        check(BOTHER | BOTHER << IBSHIFT, (1, 2), (1, 2));
        check(0o15 | 0o16 << IBSHIFT, (1, 2), (19200, 9600));
    }

    #[test]
    fn a_disabled_character_is_none() {
        assert!(!Settings::default().is(0, VEOL));
        assert!(Settings::default().is(3, VINTR));
    }
}
