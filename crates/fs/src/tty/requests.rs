//! ioctl(2) on terminals (ioctl_tty(2)), but for sessions and groups, which the
//! kernel answers before these.

use super::discipline::Wire;
use super::pair::{Pair, State};
use super::settings::Settings;
use rivix_abi::ioctl::*;
use rivix_abi::termios::{DISABLED, EXTPROC, VSTART, VSTOP};
use rivix_abi::{Errno, Signal, UserAddress, UserData, UserRef};
use rivix_mem::AddressSpace;

type Answer = Result<u64, Errno>;

/// Where a request's argument is, in whose memory.
#[derive(Clone, Copy)]
struct Argument<'a> {
    at: UserAddress,
    mm: &'a AddressSpace,
}

impl Argument<'_> {
    fn get<T: UserData>(self) -> Result<T, Errno> {
        self.mm.read(UserRef::new(self.at))
    }

    fn answer<T: UserData>(self, value: &T) -> Answer {
        self.mm.write(UserRef::new(self.at), value).map(|()| 0)
    }

    fn answer_int(self, value: impl Into<u64>) -> Answer {
        self.answer(&(value.into() as i32))
    }
}

pub(super) fn of_slave(pair: &Pair, request: u32, at: UserAddress, mm: &AddressSpace) -> Answer {
    let arg = Argument { at, mm };
    match request {
        FIONREAD => {
            let waiting = pair.look(|state| state.line.available());
            arg.answer_int(waiting as u64)
        }
        TCXONC => flow(pair, arg.at.0),
        TCFLSH => {
            if !matches!(arg.at.0, TCIFLUSH | TCOFLUSH | TCIOFLUSH) {
                return Err(Errno::EINVAL);
            }
            if arg.at.0 != TCOFLUSH {
                pair.flush_input();
            }
            if arg.at.0 != TCIFLUSH {
                pair.change(|state, _| {
                    state.output.flush();
                    state.output.tell(TIOCPKT_FLUSHWRITE, 0);
                });
            }
            Ok(0)
        }
        TIOCSTI => {
            pair.simulate(arg.get()?);
            Ok(0)
        }
        // The multiplexer answers this for its own files only.
        TIOCGPTPEER => Err(Errno::EIO),
        TIOCEXCL | TIOCNXCL => {
            pair.change(|state, _| state.is_exclusive = request == TIOCEXCL);
            Ok(0)
        }
        TIOCGEXCL => arg.answer_int(pair.look(|state| state.is_exclusive)),
        _ => of_either(pair, request, arg),
    }
}

pub(super) fn of_master(pair: &Pair, request: u32, at: UserAddress, mm: &AddressSpace) -> Answer {
    let arg = Argument { at, mm };
    match request {
        TIOCGPTN => arg.answer_int(pair.index()),
        TIOCSPTLCK => {
            let lock: i32 = arg.get()?;
            pair.change(|state, _| state.is_locked = lock != 0);
            Ok(0)
        }
        TIOCGPTLCK => arg.answer_int(pair.look(|state| state.is_locked)),
        TIOCPKT => {
            let on: i32 = arg.get()?;
            pair.change(|state, _| {
                if on != 0 && !state.output.is_packet {
                    state.output.status = 0;
                }
                state.output.is_packet = on != 0;
            });
            Ok(0)
        }
        TIOCGPKT => arg.answer_int(pair.look(|state| state.output.is_packet)),
        TIOCSIG => {
            let signal = Signal::new(arg.at.0 as i64).filter(|&signal| {
                [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTSTP].contains(&signal)
            });
            pair.signal(signal.ok_or(Errno::EINVAL)?);
            Ok(0)
        }
        FIONREAD => {
            let waiting = pair.look(|state| state.output.available());
            arg.answer_int(waiting as u64)
        }
        TCFLSH => {
            if !matches!(arg.at.0, TCIFLUSH | TCOFLUSH | TCIOFLUSH) {
                return Err(Errno::EINVAL);
            }
            if arg.at.0 != TCOFLUSH {
                pair.change(|state, _| state.output.drop_ready());
            }
            if arg.at.0 != TCIFLUSH {
                pair.drop_typed();
            }
            Ok(0)
        }
        TIOCEXCL | TIOCNXCL => Ok(0),
        _ => of_either(pair, request, arg),
    }
}

/// What both ends answer alike: settings and size are the pair's.
fn of_either(pair: &Pair, request: u32, arg: Argument<'_>) -> Answer {
    let settings = || pair.look(|state| *state.line.settings());
    match request {
        TCGETS => arg.answer(&settings().termios()),
        TCGETS2 => arg.answer(&settings().termios2()),
        TCGETA => arg.answer(&settings().termio()),
        TCSETS | TCSETSW | TCSETSF => {
            let new: Termios = arg.get()?;
            set(pair, request == TCSETSF, |old| old.with_termios(new))
        }
        TCSETS2 | TCSETSW2 | TCSETSF2 => {
            let new: Termios2 = arg.get()?;
            set(pair, request == TCSETSF2, |old| old.with_termios2(new))
        }
        TCSETA | TCSETAW | TCSETAF => {
            let new: Termio = arg.get()?;
            set(pair, request == TCSETAF, |old| old.with_termio(new))
        }
        TIOCGWINSZ => arg.answer(&pair.look(|state| state.size)),
        TIOCSWINSZ => {
            let new: Winsize = arg.get()?;
            let is_change = pair.change(|state, _| std::mem::replace(&mut state.size, new) != new);
            if is_change {
                pair.signal(Signal::SIGWINCH);
            }
            Ok(0)
        }
        // Nothing is ever between a pseudo-terminal and its line.
        TIOCOUTQ => arg.answer_int(0u32),
        TCSBRK | TCSBRKP | TIOCSBRK | TIOCCBRK => Ok(0),
        TIOCGETD => arg.answer_int(0u32),
        TIOCSETD => match arg.get::<i32>()? {
            0 => Ok(0),
            _ => Err(Errno::EINVAL),
        },
        TIOCGDEV => arg.answer(&(pair.device() as u32)),
        _ => Err(Errno::ENOTTY),
    }
}

/// TCSETS and its relatives. Output needs no wait: it is with the master at once.
fn set(pair: &Pair, flushes: bool, new: impl FnOnce(&Settings) -> Settings) -> Answer {
    pair.change(|state, _| {
        let State { line, output, .. } = state;
        if flushes {
            line.flush_input();
            output.tell(TIOCPKT_FLUSHREAD, 0);
        }
        let old = *line.settings();
        let new = new(&old);
        line.set(new, output);
        let is_external = old.l(EXTPROC) || new.l(EXTPROC);
        if old.has_usual_flow() != new.has_usual_flow() || is_external {
            let (now, over) = match new.has_usual_flow() {
                true => (TIOCPKT_DOSTOP, TIOCPKT_NOSTOP),
                false => (TIOCPKT_NOSTOP, TIOCPKT_DOSTOP),
            };
            output.tell(now | if is_external { TIOCPKT_IOCTL } else { 0 }, over);
        }
    });
    Ok(0)
}

/// tcflow(3) of the slave.
fn flow(pair: &Pair, action: u64) -> Answer {
    pair.change(|state, _| {
        let State { line, output, .. } = state;
        let key = match action {
            TCOOFF | TCOON => {
                line.request_stop(action == TCOOFF, output);
                return Ok(0);
            }
            TCIOFF => line.settings().cc(VSTOP),
            TCION => line.settings().cc(VSTART),
            _ => return Err(Errno::EINVAL),
        };
        if key != DISABLED {
            line.send_at_once(key, output);
        }
        Ok(0)
    })
}
