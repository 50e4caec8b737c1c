//! Hooks for the tests of kicks, in builds with the feature `kick-hooks` only:
//! elsewhere they are nothing.
//!
//! Between a check of the kick word and what follows it (the host call, the
//! sleep) there is a window of some nanoseconds. Tests that only send many kicks
//! hardly meet it. With the hooks every such window lasts as long as asked, what
//! landed in one is counted, and what makes up for it can be left out, to see
//! that kicks are lost then.
//!
//! `RIVIX_KICK_HOOKS=TURNS` widens each window by so many turns of a loop;
//! `RIVIX_KICK_HOOKS=TURNS,no-fixup` leaves kicks in a window to their fate.

#[cfg(feature = "kick-hooks")]
pub use on::{Counts, counts};
#[cfg(feature = "kick-hooks")]
pub(crate) use on::{count_moved, delay, has_fixup};

/// The window between a look and a sleep.
#[inline(always)]
pub fn widen() {
    #[cfg(feature = "kick-hooks")]
    on::widen();
}

/// Told at the end of the window before a sleep: did a kick land in it?
#[inline(always)]
pub(crate) fn count_caught(_is_kicked: bool) {
    #[cfg(feature = "kick-hooks")]
    on::count_caught(_is_kicked);
}

/// Is what makes up for a kick in a window left out?
#[cfg(not(feature = "kick-hooks"))]
#[inline(always)]
pub(crate) const fn has_fixup() -> bool {
    true
}

#[cfg(not(any(feature = "kick-hooks", rivix_model)))]
#[inline(always)]
pub(crate) fn count_moved() {}

#[cfg(feature = "kick-hooks")]
mod on {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

    /// Kicks that landed in a window, by what made up for them.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Counts {
        /// The handler moved a program counter out of the window of a host call.
        pub moved: u64,
        /// The permit was there before the sleep that would have missed the kick.
        pub caught: u64,
    }

    static MOVED: AtomicU64 = AtomicU64::new(0);
    static CAUGHT: AtomicU64 = AtomicU64::new(0);

    pub fn counts() -> Counts {
        Counts {
            moved: MOVED.load(Ordering::Relaxed),
            caught: CAUGHT.load(Ordering::Relaxed),
        }
    }

    struct Hooks {
        turns: AtomicU32,
        has_fixup: bool,
    }

    fn hooks() -> &'static Hooks {
        static HOOKS: OnceLock<Hooks> = OnceLock::new();
        HOOKS.get_or_init(|| {
            let text = std::env::var("RIVIX_KICK_HOOKS").unwrap_or_default();
            let (turns, rest) = text.split_once(',').unwrap_or((&text, ""));
            Hooks {
                turns: AtomicU32::new(turns.parse().unwrap_or(0)),
                has_fixup: rest != "no-fixup",
            }
        })
    }

    /// For the window's own loop, in assembly.
    pub(crate) fn delay() -> &'static AtomicU32 {
        &hooks().turns
    }

    pub(super) fn widen() {
        for _ in 0..hooks().turns.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
    }

    /// A signal handler calls it, on a thread that went through [`delay`].
    pub(crate) fn has_fixup() -> bool {
        hooks().has_fixup
    }

    pub(crate) fn count_moved() {
        MOVED.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_caught(is_kicked: bool) {
        if is_kicked {
            CAUGHT.fetch_add(1, Ordering::Relaxed);
        }
    }
}
