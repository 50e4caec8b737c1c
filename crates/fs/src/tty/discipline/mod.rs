//! The line discipline: what becomes of bytes between a terminal's two sides.
//!
//! [`LineDiscipline`] is Linux's n_tty for one terminal, as a value: typed bytes
//! go in by `receive`, readers take them by `read`, what programs write goes out
//! by `write`. It waits for nothing and tells nobody: what has no room is not
//! taken, and what others must hear of is in [`Heard`].
//!
//! - `input.rs`: what a key does; `erase.rs`: editing of the line.
//! - `echo.rs`: echo on its way out; `output.rs`: output processing.
//!
//! # What holds
//! - `tail <= canon_head <= head` in canonical mode, and `head - tail` is at most
//!   the buffer's size, so that indices wrap and never leave it.
//! - Everything a hostile guest types costs a bounded amount of memory and time.

mod echo;
mod erase;
mod input;
mod output;
#[cfg(test)]
mod tests;

use super::settings::Settings;
use echo::Echo;
use output::Columns;
use rivix_abi::Signal;
use rivix_abi::termios::{DISABLED, ECHO, EXTPROC, ICANON, IXON, OPOST, VMIN, VTIME};
use smallvec::SmallVec;

/// Bytes of input that are held; a longer line loses its end (N_TTY_BUF_SIZE).
pub(crate) const CAPACITY: usize = 4096;
const MASK: usize = CAPACITY - 1;

/// Where output goes: the side that the user, or a program in his place, is on.
pub(crate) trait Wire {
    /// Bytes that `put` would take now.
    fn room(&self) -> usize;

    /// At most as many bytes as there is room for.
    fn put(&mut self, bytes: &[u8]);

    /// Drops what was put and has not been delivered.
    fn flush(&mut self);

    /// Packet mode: this has happened (TIOCPKT_*), and that is not so any more.
    fn tell(&mut self, happened: u8, over: u8);
}

/// What others must hear of.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// For the foreground group, in order.
    pub(crate) signals: SmallVec<[Signal; 2]>,
}

/// Is output stopped?
#[derive(Clone, Copy, Debug, Default)]
struct Flow {
    is_stopped: bool,
    /// By a program (TCOOFF): no key starts it.
    by_request: bool,
}

/// How read(2) without lines waits (termios(3), VMIN and VTIME).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadPlan {
    /// Bytes that end the read; 0: any, a line.
    pub min: usize,
    /// Tenths of a second for the first byte; None: for ever.
    pub first: Option<u8>,
    /// Tenths of a second for each one after; None: for ever.
    pub between: Option<u8>,
}

pub(crate) struct LineDiscipline {
    settings: Settings,
    buffer: Box<[u8; CAPACITY]>,
    /// Which bytes end a line; a NUL among them is an end of file.
    ends: Box<[bool; CAPACITY]>,
    head: usize,
    tail: usize,
    /// End of the last complete line.
    canon_head: usize,
    echo: Echo,
    columns: Columns,
    flow: Flow,
    /// The next byte is taken as it is (VLNEXT).
    is_literal: bool,
    /// Between `\` and `/` of ECHOPRT.
    is_erasing: bool,
}

impl Default for LineDiscipline {
    fn default() -> LineDiscipline {
        LineDiscipline {
            settings: Settings::default(),
            buffer: Box::new([0; CAPACITY]),
            ends: Box::new([false; CAPACITY]),
            head: 0,
            tail: 0,
            canon_head: 0,
            echo: Echo::default(),
            columns: Columns::default(),
            flow: Flow::default(),
            is_literal: false,
            is_erasing: false,
        }
    }
}

/// A wire with no room while output is stopped.
struct Gated<'a> {
    wire: &'a mut dyn Wire,
    is_stopped: bool,
}

impl Wire for Gated<'_> {
    fn room(&self) -> usize {
        if self.is_stopped { 0 } else { self.wire.room() }
    }

    fn put(&mut self, bytes: &[u8]) {
        self.wire.put(bytes);
    }

    fn flush(&mut self) {
        self.wire.flush();
    }

    fn tell(&mut self, happened: u8, over: u8) {
        self.wire.tell(happened, over);
    }
}

impl LineDiscipline {
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// TCSETS. What is there becomes a line, or stops being one.
    pub(crate) fn set(&mut self, new: Settings, wire: &mut dyn Wire) {
        let old = std::mem::replace(&mut self.settings, new);
        let changed = old.termios().lflag ^ new.termios().lflag;
        if changed & (ICANON | EXTPROC) != 0 {
            self.ends.fill(false);
            if !new.l(ICANON) || self.head == self.tail {
                self.canon_head = self.tail;
            } else {
                self.ends[self.head.wrapping_sub(1) & MASK] = true;
                self.canon_head = self.head;
            }
            self.is_erasing = false;
            self.is_literal = false;
        }
        if old.i(IXON) && !new.i(IXON) && !self.flow.by_request {
            self.start(wire);
            self.process_echo(wire);
        }
    }

    /// Bytes a reader could take now: of complete lines only, where there are
    /// lines; an end of file is none (FIONREAD).
    pub(crate) fn available(&self) -> usize {
        if !self.settings.has_lines() {
            return self.head - self.tail;
        }
        let is_eof = |at: usize| self.ends[at & MASK] && self.buffer[at & MASK] == DISABLED;
        (self.tail..self.canon_head.max(self.tail))
            .filter(|&at| !is_eof(at))
            .count()
    }

    /// Bytes of input, of unfinished lines too.
    pub(crate) fn held(&self) -> usize {
        self.head - self.tail
    }

    /// Would a read give something, if only an end of file?
    pub(crate) fn has_input(&self) -> bool {
        match self.settings.has_lines() {
            true => self.canon_head != self.tail,
            false => self.head != self.tail,
        }
    }

    /// As poll(2) sees it: VMIN counts when VTIME does not.
    pub(crate) fn is_readable(&self) -> bool {
        let min = usize::from(self.settings.cc(VMIN));
        if self.settings.has_lines() || self.settings.cc(VTIME) != 0 || min == 0 {
            return self.has_input();
        }
        self.head - self.tail >= min
    }

    pub(crate) fn read_plan(&self) -> ReadPlan {
        let (min, time) = (self.settings.cc(VMIN), self.settings.cc(VTIME));
        if self.settings.l(ICANON) {
            return ReadPlan {
                min: 0,
                first: None,
                between: None,
            };
        }
        ReadPlan {
            min: usize::from(min.max(1)),
            first: (min == 0).then_some(time),
            between: (min > 0 && time > 0).then_some(time),
        }
    }

    /// Takes what is there, of one line at most. Call it only with `has_input`: 0
    /// is the end of file then.
    pub(crate) fn read(&mut self, buf: &mut [u8]) -> usize {
        if buf.is_empty() {
            return 0;
        }
        if !self.settings.has_lines() {
            let count = buf.len().min(self.head - self.tail);
            self.copy(&mut buf[..count]);
            self.canon_head = self.canon_head.max(self.tail);
            return count;
        }
        let waiting = self.canon_head.saturating_sub(self.tail);
        // One more is looked at: an end of file goes with the bytes before it.
        let within = waiting.min(buf.len() + 1);
        let end = (0..within).find(|at| self.ends[(self.tail + at) & MASK]);
        if let Some(end) = end
            && self.buffer[(self.tail + end) & MASK] == DISABLED
        {
            self.copy(&mut buf[..end]);
            self.ends[self.tail & MASK] = false;
            self.tail += 1;
            return end;
        }
        let count = end.map_or(within, |end| end + 1).min(buf.len());
        self.copy(&mut buf[..count]);
        count
    }

    fn copy(&mut self, to: &mut [u8]) {
        for byte in to {
            *byte = self.buffer[self.tail & MASK];
            self.ends[self.tail & MASK] = false;
            self.tail += 1;
        }
    }

    /// Drops all input (TCIFLUSH).
    pub(crate) fn flush_input(&mut self) {
        self.head = 0;
        self.tail = 0;
        self.canon_head = 0;
        self.is_erasing = false;
        self.ends.fill(false);
    }

    /// Bytes that a write could send.
    pub(crate) fn room(&self, wire: &dyn Wire) -> usize {
        if self.flow.is_stopped { 0 } else { wire.room() }
    }

    /// Sends echo that waits, and then what a program writes; how much was taken.
    pub(crate) fn write(&mut self, bytes: &[u8], wire: &mut dyn Wire) -> usize {
        self.process_echo(wire);
        let mut gated = Gated {
            is_stopped: self.flow.is_stopped,
            wire,
        };
        if !self.settings.o(OPOST) {
            let count = bytes.len().min(gated.room());
            gated.put(&bytes[..count]);
            return count;
        }
        let sent = |c: &&u8| self.columns.put(&self.settings, **c, &mut gated);
        bytes.iter().take_while(sent).count()
    }

    /// Puts one byte past everything, stopped or not (TCIOFF, TCION).
    pub(crate) fn send_at_once(&mut self, c: u8, wire: &mut dyn Wire) {
        if wire.room() > 0 {
            wire.put(&[c]);
        }
    }

    /// A program stops output (TCOOFF), or starts it again.
    pub(crate) fn request_stop(&mut self, stops: bool, wire: &mut dyn Wire) {
        if self.flow.by_request == stops {
            return;
        }
        self.flow.by_request = stops;
        if stops {
            self.stop(wire);
        } else {
            self.start(wire);
        }
    }

    fn stop(&mut self, wire: &mut dyn Wire) {
        use rivix_abi::ioctl::{TIOCPKT_START, TIOCPKT_STOP};
        if !std::mem::replace(&mut self.flow.is_stopped, true) {
            wire.tell(TIOCPKT_STOP, TIOCPKT_START);
        }
    }

    fn start(&mut self, wire: &mut dyn Wire) {
        use rivix_abi::ioctl::{TIOCPKT_START, TIOCPKT_STOP};
        if self.flow.is_stopped && !self.flow.by_request {
            self.flow.is_stopped = false;
            wire.tell(TIOCPKT_START, TIOCPKT_STOP);
        }
    }

    /// Runs an operation of the echo with what it needs.
    fn with_echo(
        &mut self,
        wire: &mut dyn Wire,
        run: impl FnOnce(&mut Echo, &Settings, &mut Columns, &mut dyn Wire),
    ) {
        let mut gated = Gated {
            is_stopped: self.flow.is_stopped,
            wire,
        };
        run(
            &mut self.echo,
            &self.settings,
            &mut self.columns,
            &mut gated,
        );
    }

    fn process_echo(&mut self, wire: &mut dyn Wire) {
        self.with_echo(wire, |echo, settings, columns, wire| {
            echo.process(settings, columns, wire);
        });
    }

    fn commit_echo(&mut self, wire: &mut dyn Wire) {
        self.with_echo(wire, |echo, settings, columns, wire| {
            echo.commit(settings, columns, wire);
        });
    }

    fn echo_char(&mut self, c: u8) {
        self.echo.char(&self.settings, c);
    }

    /// Before input at the start of a line is echoed.
    fn mark_line_start(&mut self) {
        if self.canon_head == self.head {
            self.echo.line_start();
        }
    }

    fn echoes(&self) -> bool {
        self.settings.l(ECHO)
    }
}

/// iscntrl(3) as the kernel has it: Latin-1's upper controls are none.
fn is_control(c: u8) -> bool {
    c < 32 || c == 127
}

fn is_upper_latin(c: u8) -> bool {
    matches!(c, 0xc0..=0xde if c != 0xd7)
}

fn is_lower_latin(c: u8) -> bool {
    matches!(c, 0xdf..=0xff if c != 0xf7)
}

fn is_word(c: u8) -> bool {
    c.is_ascii_alphanumeric() || c == b'_' || is_upper_latin(c) || is_lower_latin(c)
}

fn to_lower(c: u8) -> u8 {
    if c.is_ascii_uppercase() || is_upper_latin(c) {
        c + 32
    } else {
        c
    }
}

fn to_upper(c: u8) -> u8 {
    if c.is_ascii_lowercase() || is_lower_latin(c) {
        c - 32
    } else {
        c
    }
}
