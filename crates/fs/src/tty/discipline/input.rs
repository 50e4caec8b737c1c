//! What a typed byte does.

use super::{CAPACITY, Heard, LineDiscipline, MASK, Wire, to_lower};
use rivix_abi::Signal;
use rivix_abi::ioctl::{TIOCPKT_FLUSHREAD, TIOCPKT_FLUSHWRITE};
use rivix_abi::termios::{
    DISABLED, ECHO, ECHOCTL, ECHONL, EXTPROC, ICANON, ICRNL, IEXTEN, IGNCR, INLCR, ISIG, ISTRIP,
    IUCLC, IXANY, IXON, NOFLSH, PARMRK, VEOF, VEOL, VEOL2, VERASE, VINTR, VKILL, VLNEXT, VQUIT,
    VREPRINT, VSTART, VSTOP, VSUSP, VWERASE,
};

impl LineDiscipline {
    /// Takes typed bytes, as far as there is room; how many. Beyond the longest
    /// line everything is taken and its end lost, so that erasing still works.
    pub(crate) fn receive(
        &mut self,
        bytes: &[u8],
        wire: &mut dyn Wire,
        heard: &mut Heard,
    ) -> usize {
        let mut taken = 0;
        while taken < bytes.len() {
            let mut room = CAPACITY as isize - (self.head - self.tail) as isize;
            if self.settings.i(PARMRK) {
                room = (room + 2) / 3;
            }
            room -= 1;
            if room <= 0 {
                let overflows = self.settings.l(ICANON) && self.canon_head == self.tail;
                if overflows && room < 0 {
                    self.head -= 1;
                }
                room = isize::from(overflows);
            }
            let count = (bytes.len() - taken).min(room as usize);
            if count == 0 {
                break;
            }
            self.receive_block(&bytes[taken..taken + count], wire, heard);
            taken += count;
        }
        taken
    }

    fn receive_block(&mut self, bytes: &[u8], wire: &mut dyn Wire, heard: &mut Heard) {
        if self.settings.is_raw() {
            for &c in bytes {
                self.queue(c);
            }
            return;
        }
        for &c in bytes {
            self.receive_char(c, wire, heard);
        }
        if self.settings.l(ECHO | ECHONL) {
            self.with_echo(wire, |echo, settings, columns, wire| {
                echo.flush(settings, columns, wire);
            });
        }
    }

    fn receive_char(&mut self, c: u8, wire: &mut dyn Wire, heard: &mut Heard) {
        let mut c = c;
        if self.settings.i(ISTRIP) {
            c &= 0x7f;
        }
        if self.settings.i(IUCLC) && self.settings.l(IEXTEN) {
            c = to_lower(c);
        }
        if std::mem::take(&mut self.is_literal) {
            self.ordinary(c, wire);
        } else if self.settings.l(EXTPROC) {
            self.queue(c);
        } else {
            self.key(c, wire, heard);
        }
    }

    fn key(&mut self, c: u8, wire: &mut dyn Wire, heard: &mut Heard) {
        if self.settings.i(IXON) {
            if self.settings.is(c, VSTART) {
                self.start(wire);
                self.process_echo(wire);
                return;
            }
            if self.settings.is(c, VSTOP) {
                self.stop(wire);
                return;
            }
        }
        if self.settings.l(ISIG) {
            let keys = [
                (VINTR, Signal::SIGINT),
                (VQUIT, Signal::SIGQUIT),
                (VSUSP, Signal::SIGTSTP),
            ];
            if let Some(&(_, signal)) = keys.iter().find(|(place, _)| self.settings.is(c, *place)) {
                self.signal_key(signal, c, wire, heard);
                return;
            }
        }
        self.start_by_any(wire);
        let (was_return, mut c) = (c == b'\r', c);
        if was_return {
            if self.settings.i(IGNCR) {
                return;
            }
            if self.settings.i(ICRNL) {
                c = b'\n';
            }
        } else if c == b'\n' && self.settings.i(INLCR) {
            c = b'\r';
        }
        if self.settings.l(ICANON) && self.line_key(c, wire) {
            return;
        }
        // A newline that a return became shows as one; one that was typed, without
        // lines, as the control character that it is.
        if was_return && c == b'\n' && self.echoes() {
            self.finish_erasing();
            self.echo.raw(c);
            self.commit_echo(wire);
            self.queue_marked(c);
        } else {
            self.ordinary(c, wire);
        }
    }

    /// IXANY: any key starts stopped output.
    fn start_by_any(&mut self, wire: &mut dyn Wire) {
        if self.flow.is_stopped
            && !self.flow.by_request
            && self.settings.i(IXON)
            && self.settings.i(IXANY)
        {
            self.start(wire);
            self.process_echo(wire);
        }
    }

    fn ordinary(&mut self, c: u8, wire: &mut dyn Wire) {
        self.start_by_any(wire);
        if self.echoes() {
            self.finish_erasing();
            self.mark_line_start();
            self.echo_char(c);
            self.commit_echo(wire);
        }
        self.queue_marked(c);
    }

    fn signal_key(&mut self, signal: Signal, c: u8, wire: &mut dyn Wire, heard: &mut Heard) {
        heard.signals.push(signal);
        if !self.settings.l(NOFLSH) {
            self.echo.clear();
            wire.flush();
            self.flush_input();
            wire.tell(TIOCPKT_FLUSHWRITE | TIOCPKT_FLUSHREAD, 0);
        }
        if self.settings.i(IXON) {
            self.start(wire);
        }
        if self.echoes() {
            self.echo_char(c);
            self.commit_echo(wire);
        } else {
            self.process_echo(wire);
        }
    }

    /// A key that edits or ends a line. False: it is a byte of the line.
    fn line_key(&mut self, c: u8, wire: &mut dyn Wire) -> bool {
        let is = |place| self.settings.is(c, place);
        let extends = self.settings.l(IEXTEN);
        if is(VERASE) || is(VKILL) || is(VWERASE) && extends {
            self.erase(c);
            self.commit_echo(wire);
        } else if is(VLNEXT) && extends {
            self.is_literal = true;
            if self.echoes() {
                self.finish_erasing();
                if self.settings.l(ECHOCTL) {
                    self.echo.raw(b'^');
                    self.echo.raw(8);
                    self.commit_echo(wire);
                }
            }
        } else if is(VREPRINT) && self.echoes() && extends {
            self.finish_erasing();
            self.echo_char(c);
            self.echo.raw(b'\n');
            for at in self.canon_head..self.head {
                self.echo_char(self.buffer[at & MASK]);
            }
            self.commit_echo(wire);
        } else if c == b'\n' {
            if self.settings.l(ECHO | ECHONL) {
                self.echo.raw(b'\n');
                self.commit_echo(wire);
            }
            self.end_line(c);
        } else if is(VEOF) {
            self.end_line(DISABLED);
        } else if is(VEOL) || is(VEOL2) && extends {
            if self.echoes() {
                self.mark_line_start();
                self.echo_char(c);
                self.commit_echo(wire);
            }
            if c == 0xff && self.settings.i(PARMRK) {
                self.queue(c);
            }
            self.end_line(c);
        } else {
            return false;
        }
        true
    }

    fn end_line(&mut self, c: u8) {
        self.queue(c);
        self.ends[(self.head - 1) & MASK] = true;
        self.canon_head = self.head;
    }

    fn queue_marked(&mut self, c: u8) {
        if c == 0xff && self.settings.i(PARMRK) {
            self.queue(c);
        }
        self.queue(c);
    }

    /// A full buffer keeps its size: the last byte gives way.
    fn queue(&mut self, c: u8) {
        if self.head - self.tail >= CAPACITY {
            self.head -= 1;
        }
        self.buffer[self.head & MASK] = c;
        self.head += 1;
    }
}
