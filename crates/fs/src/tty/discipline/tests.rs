//! The line discipline by itself, mostly as data: keys in, echo and lines out.

use super::*;
use rivix_abi::ioctl::Termios;
use rivix_abi::termios::*;

/// A wire of so much room.
struct Out {
    bytes: Vec<u8>,
    room: usize,
    told: u8,
}

impl Wire for Out {
    fn room(&self) -> usize {
        self.room - self.bytes.len()
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        assert!(self.bytes.len() <= self.room, "more than there is room for");
    }

    fn flush(&mut self) {
        self.bytes.clear();
    }

    fn tell(&mut self, happened: u8, over: u8) {
        self.told = self.told & !over | happened;
    }
}

struct Terminal {
    line: LineDiscipline,
    out: Out,
    signals: Vec<Signal>,
}

impl Terminal {
    fn new(change: impl FnOnce(&mut Termios)) -> Terminal {
        let mut new = Terminal {
            line: LineDiscipline::default(),
            out: Out {
                bytes: Vec::new(),
                room: 1 << 16,
                told: 0,
            },
            signals: Vec::new(),
        };
        new.change(change);
        new
    }

    fn change(&mut self, change: impl FnOnce(&mut Termios)) {
        let mut termios = self.line.settings().termios();
        change(&mut termios);
        let settings = self.line.settings().with_termios(termios);
        self.line.set(settings, &mut self.out);
    }

    fn keys(&mut self, bytes: &[u8]) -> usize {
        let mut heard = Heard::default();
        let taken = self.line.receive(bytes, &mut self.out, &mut heard);
        self.signals.extend(heard.signals);
        taken
    }

    fn read(&mut self, size: usize) -> Vec<u8> {
        let mut buf = vec![0; size];
        let count = self.line.read(&mut buf);
        buf.truncate(count);
        buf
    }

    fn sent(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out.bytes)
    }
}

#[track_caller]
fn check(change: impl FnOnce(&mut Termios), keys: &[u8], echo: &[u8], line: &[u8]) {
    let mut tty = Terminal::new(change);
    assert_eq!(tty.keys(keys), keys.len());
    let (sent, read) = (tty.sent(), tty.read(500));
    assert_eq!(
        sent.escape_ascii().to_string(),
        echo.escape_ascii().to_string()
    );
    assert_eq!(
        read.escape_ascii().to_string(),
        line.escape_ascii().to_string()
    );
}

fn usual(_: &mut Termios) {}

#[test]
fn lines_are_edited() {
    check(usual, b"abc\x7fd\n", b"abc\x08 \x08d\r\n", b"abd\n");
    check(
        usual,
        b"ab\t\x7fc\n",
        b"ab\t\x08\x08\x08\x08\x08\x08c\r\n",
        b"abc\n",
    );
    check(usual, b"a b\x17c\n", b"a b\x08 \x08c\r\n", b"a c\n");
    check(usual, b"ab\x15c\n", b"ab\x08 \x08\x08 \x08c\r\n", b"c\n");
    check(usual, b"\x16\x03\n", b"^\x08^C\r\n", b"\x03\n");
    check(|t| t.lflag &= !ECHO, b"ab\x7f\n", b"", b"a\n");
    check(|t| t.lflag |= ECHOPRT, b"ab\x7f\n", b"ab\\b\r\n", b"a\n");
    check(|t| t.lflag |= ECHOPRT, b"a\x7fb\n", b"a\\a/b\r\n", b"b\n");
    check(|t| t.lflag &= !ICANON, b"\n\r", b"^J\r\n", b"\n\n");
}

#[test]
fn keys_signal_and_flush() {
    let mut tty = Terminal::new(usual);
    tty.keys(b"lost\x03\x1c\x1akept\n");
    assert_eq!(
        tty.signals,
        [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTSTP]
    );
    assert_eq!(tty.sent(), b"^Zkept\r\n");
    assert_eq!(tty.read(99), b"kept\n");
}

#[test]
fn a_line_loses_what_is_too_much() {
    let mut tty = Terminal::new(|t| t.lflag &= !ECHO);
    assert_eq!(tty.keys(&[b'x'; 10_000]), 10_000);
    assert_eq!(tty.line.available(), 0);
    assert_eq!(tty.keys(b"\n"), 1);
    assert_eq!(tty.line.available(), CAPACITY);
    assert_eq!(tty.keys(b"more"), 0, "a complete line is not lost");
    assert_eq!(tty.read(9999).len(), CAPACITY);
    assert_eq!(tty.keys(b"more"), 4);
}

#[test]
fn raw_input_is_held_to_the_capacity() {
    let raw = |t: &mut Termios| (t.iflag, t.lflag) = (0, 0);
    let mut tty = Terminal::new(raw);
    assert_eq!(tty.keys(&[1; 10_000]), CAPACITY - 1);
    assert_eq!(tty.read(10), [1; 10]);
    assert_eq!(tty.keys(&[2; 100]), 10);
    tty.change(|t| t.iflag = PARMRK);
    assert_eq!(tty.keys(&[0xff; 100]), 0);
    tty.read(300);
    let taken = tty.keys(&[0xff; 1000]);
    assert_eq!(taken, 149, "two for each, room for three");
}

#[test]
fn echo_waits_for_room_and_loses_the_oldest() {
    let mut tty = Terminal::new(usual);
    tty.out.room = 10;
    tty.keys(b"0123456789abc");
    assert_eq!(tty.sent(), b"0123456789");
    assert_eq!(tty.line.write(b"!", &mut tty.out), 1);
    assert_eq!(tty.sent(), b"abc!");
    tty.out.room = 0;
    for _ in 0..1000 {
        tty.keys(b"some input \x7f");
    }
    tty.out.room = 1 << 16;
    tty.keys(b"\n");
    let sent = tty.sent();
    assert!(sent.len() < CAPACITY * 2, "{}", sent.len());
    assert!(sent.ends_with(b"\r\n"));
}

#[test]
fn plans_of_reads() {
    #[track_caller]
    fn check(min: u8, time: u8, expect: (usize, Option<u8>, Option<u8>)) {
        let tty = Terminal::new(|t| {
            t.lflag &= !ICANON;
            t.cc[VMIN] = min;
            t.cc[VTIME] = time;
        });
        let (min, first, between) = expect;
        let expect = ReadPlan {
            min,
            first,
            between,
        };
        assert_eq!(tty.line.read_plan(), expect);
    }
    check(0, 0, (1, Some(0), None));
    check(0, 5, (1, Some(5), None));
    check(5, 0, (5, None, None));
    check(5, 7, (5, None, Some(7)));
    assert_eq!(Terminal::new(usual).line.read_plan().min, 0);
}

#[test]
fn output_stops_and_starts() {
    let mut tty = Terminal::new(usual);
    tty.keys(b"\x13ab");
    assert_eq!(tty.line.room(&tty.out), 0);
    assert_eq!(tty.line.write(b"x", &mut tty.out), 0);
    assert_eq!(tty.sent(), b"");
    tty.keys(b"\x11");
    assert_eq!(tty.sent(), b"ab");
    tty.line.request_stop(true, &mut tty.out);
    tty.keys(b"\x11c");
    assert_eq!(tty.line.write(b"x", &mut tty.out), 0);
    tty.line.request_stop(false, &mut tty.out);
    assert_eq!(tty.line.write(b"x", &mut tty.out), 1);
    assert_eq!(tty.sent(), b"cx");
}

/// A small generator: the same bytes each time.
fn bytes(seed: u64) -> impl Iterator<Item = u8> {
    let mut state = seed | 1;
    std::iter::from_fn(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        Some((state >> 24) as u8)
    })
}

#[test]
fn whatever_is_typed_and_set_keeps_the_bounds() {
    for seed in 1..=60 {
        let mut random = bytes(seed * 0x9e37_79b9);
        let mut next = || random.next().unwrap_or(0);
        let mut tty = Terminal::new(usual);
        for _ in 0..400 {
            let length = usize::from(next()) * usize::from(next() % 24 + 1);
            let block: Vec<u8> = (0..length).map(|_| next() & 0x9f).collect();
            tty.keys(&block);
            assert!(tty.line.head - tty.line.tail <= CAPACITY);
            let waiting = tty.line.available();
            let got = tty.read(usize::from(next()));
            assert!(got.len() <= waiting);
            tty.line.write(&block, &mut tty.out);
            if next() % 4 == 0 {
                tty.sent();
                tty.out.room = usize::from(next());
            }
            if next() % 4 == 0 {
                let flags = [(); 3].map(|()| u32::from(next()) | u32::from(next()) << 8);
                let cc = [(); 4].map(|()| (usize::from(next() % 19), next() & 0x9f));
                tty.change(|t| {
                    (t.iflag, t.oflag) = (flags[0], flags[1]);
                    t.lflag = flags[2] | u32::from(cc[0].1 & 1) << 16;
                    for (at, c) in cc {
                        t.cc[at] = c;
                    }
                });
            }
        }
    }
}
