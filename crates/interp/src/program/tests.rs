//! Programs over files that change, and spaces that change theirs.

use super::{MAX_PROGRAMS, MAX_STRETCHES, Program};
use crate::Interpreter;
use crate::space::Sources;
use rivix_abi::UserAddress;
use rivix_engine::{Clock, CodeObject, Engine, Hart, HartContext, Trap};
use rivix_isa::{Op, Operands, Registers, encode};
use rivix_mem::{AddressSpace, Backing, MapFlags, MapRequest, MapSource, MemConfig, Prot};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Weak};

const CODE: u64 = 0x1_0000;
const PAGE: u64 = 4096;
const RX: Prot = Prot::READ.union(Prot::EXEC);
const ECALL: u32 = 0x73;

/// A file without a name.
struct Text(File);

impl Text {
    /// Two pages; each begins with code that answers.
    fn new(first: i32, second: i32) -> Arc<Text> {
        // SAFETY: a NUL-terminated name; the new descriptor is owned at once.
        let fd = unsafe {
            let fd = libc::memfd_create(c"text".as_ptr(), libc::MFD_CLOEXEC);
            assert!(fd >= 0);
            File::from_raw_fd(fd)
        };
        fd.set_len(2 * PAGE).unwrap();
        let text = Text(fd);
        text.put(0, first);
        text.put(PAGE, second);
        Arc::new(text)
    }

    fn put(&self, at: u64, value: i32) {
        self.0.write_all_at(&answer(value), at).unwrap();
    }
}

impl MapSource for Text {
    fn host_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
    fn path(&self) -> Vec<u8> {
        b"/text".to_vec()
    }
    fn dev_ino(&self) -> (u64, u64) {
        (1, 1)
    }
    fn may_read(&self) -> bool {
        true
    }
    fn may_write(&self) -> bool {
        true
    }
    fn may_exec(&self) -> bool {
        true
    }
}

fn answer(value: i32) -> Vec<u8> {
    let li = encode(
        Op::Addi,
        Operands {
            rd: 11,
            imm: value,
            ..Operands::default()
        },
    );
    [li, ECALL].map(u32::to_le_bytes).concat()
}

struct Now;
impl Clock for Now {
    fn monotonic_ns(&self) -> u64 {
        0
    }
}

/// A space that a text is loaded into, and a hart in it.
struct Run {
    space: Arc<AddressSpace>,
    code: Arc<dyn CodeObject>,
    kick: Arc<rivix_sync::Kick>,
    hart: Box<dyn Hart>,
}

fn map(space: &AddressSpace, at: u64, text: &Arc<Text>, prot: Prot) {
    let source: Arc<dyn MapSource> = text.clone();
    space
        .map(MapRequest {
            addr: UserAddress(at),
            len: 2 * PAGE,
            prot,
            flags: MapFlags::PRIVATE | MapFlags::FIXED,
            backing: Backing::File { source, offset: 0 },
            name: None,
        })
        .unwrap();
}

impl Run {
    fn new(engine: &Interpreter, text: &Arc<Text>) -> Run {
        let space = AddressSpace::new(&MemConfig::default()).unwrap();
        map(&space, CODE, text, RX);
        let code = engine.program_code(&space);
        Run::around(space, code)
    }

    fn around(space: Arc<AddressSpace>, code: Arc<dyn CodeObject>) -> Run {
        let kick = Arc::new(rivix_sync::Kick::new());
        let hart = Arc::clone(&code).hart(HartContext {
            space: space.clone(),
            kick: kick.clone(),
            clock: Arc::new(Now),
        });
        Run {
            space,
            code,
            kick,
            hart,
        }
    }

    fn fork(&self) -> Run {
        let space = self.space.fork().unwrap();
        let code = self.code.fork(&space);
        Run::around(space, code)
    }

    /// What the code at `at` in the text answers.
    fn ask(&mut self, at: u64) -> u64 {
        let mut registers = Registers {
            pc: CODE + at,
            ..Registers::default()
        };
        self.kick.clear();
        assert_eq!(self.hart.run(&mut registers, None), Trap::Ecall);
        registers.x[11]
    }

    /// Changes the text in memory, as a process that tells its kernel. Between the
    /// changes of protection the code object is not told, as when another thread
    /// is faster.
    fn change(&mut self, at: u64, value: i32, tells: bool) {
        let page = UserAddress(CODE + at);
        let protect = |prot| self.space.protect(page, PAGE, prot).unwrap();
        protect(Prot::READ | Prot::WRITE | Prot::EXEC);
        self.space.write_bytes(page, &answer(value)).unwrap();
        protect(RX);
        if tells {
            self.code.invalidate(CODE + at..CODE + at + PAGE);
        }
    }
}

impl Interpreter {
    fn kept(&self) -> Vec<Arc<Program>> {
        self.programs.kept.lock().clone()
    }

    /// Blocks of all programs kept.
    fn blocks(&self) -> usize {
        self.kept().iter().map(|p| p.code.count()).sum()
    }
}

#[test]
fn a_second_run_finds_the_blocks_of_the_first() {
    let engine = Interpreter::default();
    let text = Text::new(1, 2);
    for expect in [1, 1] {
        let mut run = Run::new(&engine, &text);
        assert_eq!(run.ask(0), 1);
        assert_eq!(engine.blocks(), expect);
    }
    let mut run = Run::new(&engine, &text);
    assert_eq!(run.ask(PAGE), 2);
    assert_eq!(engine.blocks(), 2);
    assert_eq!(engine.kept().len(), 1);
}

#[test]
fn a_file_that_was_rewritten_runs_as_it_is() {
    let engine = Interpreter::default();
    let text = Text::new(1, 2);
    for value in 1..5 {
        text.put(0, value);
        let mut run = Run::new(&engine, &text);
        assert_eq!(run.ask(0), value as u64);
        assert_eq!(run.ask(PAGE), 2);
    }
}

/// However alike the files look from outside.
#[test]
fn code_is_compared_before_it_is_shared() {
    let engine = Interpreter::default();
    let text = Text::new(1, 2);
    let mut first = Run::new(&engine, &text);
    assert_eq!(first.ask(0), 1);
    let program = engine.kept().pop().unwrap();
    assert!(program.is_in(&first.space));
    text.put(0, 3);
    assert!(!program.is_in(&first.space), "the page is the file's own");
    text.put(0, 1);
    assert!(program.is_in(&first.space));
    text.put(PAGE, 9);
    assert!(program.is_in(&first.space), "nothing was made from that");
    assert_eq!(first.ask(PAGE), 9);
    text.put(PAGE, 2);
    assert!(!program.is_in(&first.space), "now there was");
}

#[test]
fn files_alike_in_part_are_two_programs() {
    let engine = Interpreter::default();
    let (one, two) = (Text::new(1, 2), Text::new(1, 3));
    let (mut one, mut two) = (Run::new(&engine, &one), Run::new(&engine, &two));
    assert_eq!((one.ask(0), two.ask(0)), (1, 1));
    assert_eq!((one.ask(PAGE), two.ask(PAGE)), (2, 3));
    assert_eq!(engine.kept().len(), 2);
}

#[test]
fn who_changes_its_code_leaves_the_others_alone() {
    let engine = Interpreter::default();
    let text = Text::new(1, 2);
    let mut other = Run::new(&engine, &text);
    let mut own = Run::new(&engine, &text);
    assert_eq!((own.ask(0), other.ask(0)), (1, 1));
    let mut child = own.fork();
    own.change(0, 7, true);
    assert_eq!((own.ask(0), own.ask(PAGE)), (7, 2));
    assert_eq!((child.ask(0), other.ask(0)), (1, 1));
    assert_eq!(Run::new(&engine, &text).ask(0), 1);
    child.change(PAGE, 8, true);
    assert_eq!((child.ask(0), child.ask(PAGE)), (1, 8));
    assert_eq!((own.ask(PAGE), other.ask(PAGE)), (2, 2));
}

/// A hart that was not told yet makes no block of the program from what it sees.
#[test]
fn changed_memory_gets_into_no_program() {
    let engine = Interpreter::default();
    let text = Text::new(1, 2);
    let mut other = Run::new(&engine, &text);
    let mut own = Run::new(&engine, &text);
    own.change(0, 7, false);
    assert_eq!(own.ask(0), 7);
    assert_eq!(engine.blocks(), 0);
    assert_eq!(other.ask(0), 1);

    // Nor from another file that took the place of the first.
    let mut own = Run::new(&engine, &text);
    map(&own.space, CODE, &Text::new(5, 6), RX);
    assert_eq!(own.ask(PAGE), 6);
    assert_eq!(other.ask(PAGE), 2);
    own.code.invalidate(CODE..CODE + 2 * PAGE);
    assert_eq!((own.ask(0), own.ask(PAGE)), (5, 6));
    assert_eq!(Run::new(&engine, &text).ask(0), 1);
}

/// fence.i and its like: only a space that has other code leaves.
#[test]
fn a_refresh_compares() {
    let engine = Interpreter::default();
    let text = Text::new(1, 2);
    let mut own = Run::new(&engine, &text);
    assert_eq!(own.ask(0), 1);
    own.code.refresh();
    assert_eq!(own.ask(PAGE), 2);
    assert_eq!(engine.blocks(), 2, "it is still there");
    own.change(0, 7, false);
    own.code.refresh();
    assert_eq!(own.ask(0), 7);
    assert_eq!(Run::new(&engine, &text).ask(0), 1);
}

#[test]
fn writable_code_is_no_programs() {
    let engine = Interpreter::default();
    let text = Text::new(1, 2);
    let space = AddressSpace::new(&MemConfig::default()).unwrap();
    map(&space, CODE, &text, RX | Prot::WRITE);
    let code = engine.program_code(&space);
    assert_eq!(Run::around(space, code).ask(0), 1);
    assert_eq!(engine.kept().len(), 0);
}

#[test]
fn what_is_kept_is_bounded_and_holds_no_file() {
    let engine = Interpreter::default();
    let mut texts: Vec<Weak<Text>> = Vec::new();
    for value in 0..2 * MAX_PROGRAMS {
        let text = Text::new(value as i32, 0);
        texts.push(Arc::downgrade(&text));
        assert_eq!(Run::new(&engine, &text).ask(0), value as u64);
    }
    assert_eq!(engine.kept().len(), MAX_PROGRAMS);
    assert_eq!(engine.blocks(), MAX_PROGRAMS);
    assert_eq!(texts.iter().filter_map(Weak::upgrade).count(), 0);

    // Too many mappings of code: none of them is shared.
    let text = Text::new(1, 2);
    let space = AddressSpace::new(&MemConfig::default()).unwrap();
    for at in 0..=MAX_STRETCHES as u64 {
        map(&space, CODE + at * 4 * PAGE, &text, RX);
    }
    assert!(engine.programs.attach(&space).is_none());
}

/// A program that takes no more blocks is left, and everything runs on.
#[test]
fn a_full_program_is_left() {
    let engine = Interpreter::default();
    let text = Text::new(1, 2);
    let run = Run::new(&engine, &text);
    let program = engine.programs.attach(&run.space).unwrap();
    let sources = Sources {
        own: crate::code::Owned::new(),
        program: Some(program.clone()),
    };
    let home = crate::space::CodeSpace::new(&run.space, sources);
    let draft = |at| program.translate(&run.space, CODE + at, 0).unwrap();
    assert!(program.code().publish_within(draft(0), 0, 8).is_some());
    assert!(program.code().publish_within(draft(PAGE), 0, 2).is_none());
    home.leave_program();
    assert!(home.current().0.program.is_none());
    assert_eq!(home.current().1, 1);
    let mut run = Run::around(run.space.clone(), home);
    assert_eq!((run.ask(0), run.ask(PAGE)), (1, 2));
    assert_eq!(engine.blocks(), 1);
}
