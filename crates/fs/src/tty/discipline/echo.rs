//! Echo on its way out. What is typed is echoed in order and never waits for the
//! wire: what has no room stays here, and of too much the oldest is lost.

use super::Wire;
use super::output::Columns;
use crate::tty::settings::Settings;
use rivix_abi::termios::{ECHOCTL, OPOST};
use std::collections::VecDeque;

/// One thing to echo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Byte(u8),
    /// A control character as `^X`.
    Control(u8),
    /// A byte of a character whose column was counted with its first.
    Back,
    /// Input begins at this column.
    LineStart,
    /// Back over a tab; columns used since the tab stop, or (not `is_after_tab`)
    /// since the line's start.
    EraseTab {
        columns: u8,
        is_after_tab: bool,
    },
}

impl Op {
    /// Bytes that Linux keeps for it, in whose measure the limits are.
    fn size(self) -> usize {
        match self {
            Op::Byte(0xff) => 2,
            Op::Byte(_) => 1,
            Op::Control(_) | Op::Back | Op::LineStart => 2,
            Op::EraseTab { .. } => 3,
        }
    }
}

/// What a line discipline holds (N_TTY_BUF_SIZE).
const CAPACITY: usize = 4096;
/// Echo of one long write goes out in blocks of this size.
const BLOCK: usize = 256;
/// The oldest is dropped beyond this much, so that a block always fits.
const DISCARD: usize = CAPACITY - (BLOCK + 32);

#[derive(Default)]
pub(super) struct Echo {
    ops: VecDeque<Op>,
    /// Sizes of all, and of the first ones that may go out now.
    size: usize,
    committed: usize,
    /// What may go out when someone writes.
    marked: usize,
}

impl Echo {
    fn push(&mut self, op: Op) {
        if self.size + op.size() <= CAPACITY {
            self.size += op.size();
            self.ops.push_back(op);
        }
    }

    /// As it is, output processing apart.
    pub(super) fn raw(&mut self, c: u8) {
        self.push(Op::Byte(c));
    }

    pub(super) fn char(&mut self, settings: &Settings, c: u8) {
        let shows_control = settings.l(ECHOCTL) && super::is_control(c) && c != b'\t';
        self.push(if shows_control {
            Op::Control(c)
        } else {
            Op::Byte(c)
        });
    }

    pub(super) fn back(&mut self) {
        self.push(Op::Back);
    }

    pub(super) fn line_start(&mut self) {
        self.push(Op::LineStart);
    }

    pub(super) fn erase_tab(&mut self, columns: usize, is_after_tab: bool) {
        self.push(Op::EraseTab {
            columns: (columns & 7) as u8,
            is_after_tab,
        });
    }

    pub(super) fn clear(&mut self) {
        *self = Echo::default();
    }

    /// One key has been echoed. Of a long write, whole blocks go out meanwhile.
    pub(super) fn commit(
        &mut self,
        settings: &Settings,
        columns: &mut Columns,
        wire: &mut dyn Wire,
    ) {
        self.marked = self.size;
        let (now, before) = (self.size, self.committed);
        if now < BLOCK || now % BLOCK > before % BLOCK {
            return;
        }
        self.committed = self.size;
        self.send(settings, columns, wire);
    }

    /// What was committed goes out, as far as there is room.
    pub(super) fn process(
        &mut self,
        settings: &Settings,
        columns: &mut Columns,
        wire: &mut dyn Wire,
    ) {
        if self.marked > 0 {
            self.committed = self.marked;
            self.send(settings, columns, wire);
        }
    }

    /// All goes out, as far as there is room.
    pub(super) fn flush(
        &mut self,
        settings: &Settings,
        columns: &mut Columns,
        wire: &mut dyn Wire,
    ) {
        if self.committed != self.size {
            self.committed = self.size;
            self.send(settings, columns, wire);
        }
    }

    fn pop(&mut self) {
        if let Some(op) = self.ops.pop_front() {
            let size = op.size();
            self.size -= size;
            self.committed = self.committed.saturating_sub(size);
            self.marked = self.marked.saturating_sub(size);
        }
    }

    fn send(&mut self, settings: &Settings, columns: &mut Columns, wire: &mut dyn Wire) {
        while self.committed > 0
            && let Some(&op) = self.ops.front()
            && send_one(op, settings, columns, wire)
        {
            self.pop();
        }
        while self.committed >= DISCARD {
            self.pop();
        }
    }
}

/// False: no room.
fn send_one(op: Op, settings: &Settings, columns: &mut Columns, wire: &mut dyn Wire) -> bool {
    let room = wire.room();
    match op {
        Op::Back => columns.back(),
        Op::LineStart => columns.line_start = columns.now,
        Op::EraseTab {
            columns: used,
            is_after_tab,
        } => {
            let used = usize::from(used) + if is_after_tab { 0 } else { columns.line_start };
            let count = 8 - (used & 7);
            if room < count {
                return false;
            }
            for _ in 0..count {
                wire.put(b"\x08");
                columns.back();
            }
        }
        Op::Control(c) => {
            if room < 2 {
                return false;
            }
            wire.put(&[b'^', c ^ 0o100]);
            columns.now += 2;
        }
        // Linux keeps this byte as an operation, past output processing.
        Op::Byte(0xff) => {
            if room == 0 {
                return false;
            }
            wire.put(&[0xff]);
            columns.now += 1;
        }
        Op::Byte(c) if settings.o(OPOST) => return columns.put(settings, c, wire),
        Op::Byte(c) => {
            if room == 0 {
                return false;
            }
            wire.put(&[c]);
        }
    }
    true
}
