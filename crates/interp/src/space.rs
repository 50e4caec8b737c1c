//! Which translations an address space uses.
//!
//! Those of the code that its program came with are a [program](crate::program)'s,
//! shared with others that run the same files. All others are in a [`Code`] of
//! its own, which it shares with forks of the space until either side's executable
//! memory changes. A change of the program's own code makes the space leave the
//! program.

use crate::code::{OUTSIDE, Owned};
use crate::program::Attached;
use crate::state::HartState;
use rivix_engine::{CodeObject, Hart, HartContext};
use rivix_mem::AddressSpace;
use rivix_sync::{Kick, Mutex, level};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// The translations in use.
#[derive(Clone)]
pub(crate) struct Sources {
    pub(crate) own: Arc<Owned>,
    /// Consulted first, for the addresses it covers.
    pub(crate) program: Option<Attached>,
}

/// A hart of the space.
pub(crate) struct Seat {
    kick: Arc<Kick>,
    /// The version of the space's sources that it uses.
    version: AtomicU64,
}

/// The interpreter's code object.
pub(crate) struct CodeSpace {
    space: Weak<AddressSpace>,
    sources: Mutex<level::Code, Sources>,
    /// Counts changes of `sources`.
    pub(crate) version: AtomicU64,
    seats: Mutex<level::Code, Vec<Weak<Seat>>>,
}

impl CodeSpace {
    pub(crate) fn new(space: &Arc<AddressSpace>, sources: Sources) -> Arc<CodeSpace> {
        Arc::new(CodeSpace {
            space: Arc::downgrade(space),
            sources: Mutex::new(sources),
            version: AtomicU64::new(0),
            seats: Mutex::new(Vec::new()),
        })
    }

    /// The translations to use, and the version they belong to.
    pub(crate) fn current(&self) -> (Sources, u64) {
        let sources = self.sources.lock();
        (sources.clone(), self.version.load(Ordering::SeqCst))
    }

    /// Leaves shared translations to the others: the program's, and the own ones if
    /// forks use them too, as asked. True when the own ones are new. Harts of this
    /// space are kicked, and change over when they next enter.
    fn leave(&self, program: bool, forks: bool) -> bool {
        let (program, own) = {
            let mut sources = self.sources.lock();
            let program = program.then(|| sources.program.take()).flatten();
            let is_left = forks && sources.own.is_shared();
            let own = is_left.then(|| std::mem::replace(&mut sources.own, Owned::new()));
            if own.is_some() || program.is_some() {
                self.version.fetch_add(1, Ordering::SeqCst);
            }
            (program, own)
        };
        // What nobody else has is freed without the lock.
        let is_new = own.is_some();
        if is_new || program.is_some() {
            self.kick_harts();
        }
        is_new
    }

    /// Leaves the own translations to forks that use them too.
    pub(crate) fn leave_forks(&self) {
        self.leave(false, true);
    }

    /// Leaves a program that takes no more translations.
    pub(crate) fn leave_program(&self) {
        self.leave(true, false);
    }

    fn harts(&self) -> Vec<Arc<Seat>> {
        self.seats.lock().iter().filter_map(Weak::upgrade).collect()
    }

    fn kick_harts(&self) {
        for hart in self.harts() {
            hart.kick.kick();
        }
    }

    /// True while a hart may run translations that the space has left.
    fn has_stragglers(&self) -> bool {
        let version = self.version.load(Ordering::SeqCst);
        let is_behind = |hart: &Arc<Seat>| hart.version.load(Ordering::SeqCst) != version;
        self.harts().iter().any(is_behind)
    }
}

impl CodeObject for CodeSpace {
    fn hart(self: Arc<Self>, context: HartContext) -> Box<dyn Hart> {
        let seat = Arc::new(Seat {
            kick: Arc::clone(&context.kick),
            // Behind, until it takes its seat.
            version: AtomicU64::new(u64::MAX),
        });
        {
            let mut seats = self.seats.lock();
            seats.retain(|seat| seat.strong_count() > 0);
            seats.push(Arc::downgrade(&seat));
        }
        Box::new(crate::run::InterpHart::new(self, seat, context))
    }

    fn invalidate(&self, range: Range<u64>) -> bool {
        let (sources, _) = self.current();
        let is_programs = sources.program.is_some_and(|p| p.overlaps(&range));
        if !self.leave(is_programs, true) {
            self.current().0.own.invalidate(&range);
        }
        // Whoever made the space leave, and why: they do not see what changes now.
        self.has_stragglers()
    }

    /// Also fence.i of one of its harts.
    fn refresh(&self) {
        let Some(space) = self.space.upgrade() else {
            return;
        };
        // Memory is read without locks of ours: the address space's come first.
        let (sources, _) = self.current();
        let differs = sources.program.is_some_and(|p| !p.is_in(&space));
        if !self.leave(differs, true) {
            self.current().0.own.refresh(&space);
        }
    }

    fn fork(&self, space: &Arc<AddressSpace>) -> Arc<dyn CodeObject> {
        let sources = {
            let sources = self.sources.lock();
            Sources {
                own: sources.own.share(),
                program: sources.program.clone(),
            }
        };
        CodeSpace::new(space, sources)
    }
}

/// Where a hart is with respect to its code.
impl HartState {
    /// Announces this hart and brings its cache up to date.
    pub(crate) fn enter(&mut self) {
        if self.home.version.load(Ordering::SeqCst) != self.version {
            let (sources, version) = self.home.current();
            self.own.unregister(&self.presence);
            self.presence = sources.own.register(&self.context.kick);
            self.own = sources.own;
            self.program = sources.program;
            self.version = version;
            self.forget();
            self.sit();
        }
        loop {
            let generation = self.own.generation.load(Ordering::SeqCst);
            self.presence.since.store(generation, Ordering::SeqCst);
            if self.own.generation.load(Ordering::SeqCst) != generation {
                continue;
            }
            if generation != self.seen {
                self.seen = generation;
                self.forget();
            }
            return;
        }
    }

    /// Tells the space which version this hart uses from now on.
    pub(crate) fn sit(&self) {
        self.seat.version.store(self.version, Ordering::SeqCst);
    }

    pub(crate) fn leave(&mut self) {
        self.presence.since.store(OUTSIDE, Ordering::Release);
    }

    /// Empties the indirect-branch cache.
    pub(crate) fn forget(&mut self) {
        self.cache.fill(crate::state::CacheEntry::EMPTY);
    }
}
