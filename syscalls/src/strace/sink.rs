//! Where a trace is written: on a lane of its own.
//!
//! A traced thread formats its line under a lock and goes on; the lane's runner
//! takes all the text there is and writes it. So a slow sink costs a traced
//! program nothing until a lot of text waits; then its threads wait too, in a
//! way that a kill ends, and no line is lost.

use rivix_abi::Errno;
use rivix_spawner::{Lane, LaneKey, Lanes, Service};
use rivix_sync::{Mutex, WaitQueue, level};
use rivix_task::CurrentTask;
use std::io::Write;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// Bytes that wait before traced threads do.
const ENOUGH: usize = 1 << 20;

const KEY: LaneKey = LaneKey::new("strace", 0);

/// Text on its way.
#[derive(Default)]
pub(super) struct Outbox {
    text: Mutex<level::Stats, Vec<u8>>,
    /// Told when the runner has taken the text.
    taken: WaitQueue,
}

/// The lane's state.
pub(super) struct Sink {
    outbox: Arc<Outbox>,
    to: Box<dyn Write + Send>,
}

impl Service for Sink {
    type Utilities = ();

    fn init(_: LaneKey) -> Self {
        Sink {
            outbox: Arc::default(),
            to: Box::new(std::io::sink()),
        }
    }

    fn utilities(&self) {}
}

impl Sink {
    /// A trace that cannot be written is lost; the guest goes on.
    fn write_out(&mut self) {
        let text = std::mem::take(&mut *self.outbox.text.lock());
        let _ = self.to.write_all(&text).and_then(|()| self.to.flush());
        self.outbox.taken.notify(0);
    }
}

/// The way to the sink; the lane opens at [`Trace::start`].
pub(super) struct Trace {
    outbox: Arc<Outbox>,
    lane: OnceLock<Lane<Sink>>,
}

impl Trace {
    pub(super) fn new() -> Trace {
        Trace {
            outbox: Arc::default(),
            lane: OnceLock::new(),
        }
    }

    /// Opens the lane; what was put before is written then.
    pub(super) fn start(&self, lanes: &Lanes, to: Box<dyn Write + Send>) -> Result<(), Errno> {
        let sink = Sink {
            outbox: self.outbox.clone(),
            to,
        };
        let lane = Lane::insert(lanes, KEY, sink).map_err(|_| Errno::EAGAIN)?;
        let _ = self.lane.set(lane);
        self.poke();
        Ok(())
    }

    /// Queues text behind what is queued.
    pub(super) fn put(&self, text: &str) {
        let was_empty = {
            let mut waiting = self.outbox.text.lock();
            let was_empty = waiting.is_empty();
            waiting.extend_from_slice(text.as_bytes());
            was_empty
        };
        // Else the runner has been told, and takes everything.
        if was_empty {
            self.poke();
        }
    }

    fn poke(&self) {
        if let Some(lane) = self.lane.get() {
            // A lane too full for this is awake and has such a unit before it.
            lane.try_submit(Sink::write_out);
        }
    }

    #[cfg(test)]
    pub(super) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.outbox.text.lock())
    }

    /// Sleeps while too much text waits.
    pub(super) fn wait_for_room(&self, task: &CurrentTask) {
        let has_room = || {
            if self.outbox.text.lock().len() < ENOUGH {
                Ok(())
            } else {
                Err(Errno::EAGAIN)
            }
        };
        if has_room().is_err() {
            // Killed: nothing more to say.
            let _ = task.block_killable(&[(&self.outbox.taken, 0)], has_room);
        }
    }

    /// Returns when all that was put before has been written, or at `deadline`.
    pub(super) fn flush_until(&self, deadline: Instant) {
        let Some(lane) = self.lane.get() else { return };
        let (tell, told) = crossbeam_channel::bounded(1);
        let is_sent = lane.try_submit(move |sink: &mut Sink| {
            sink.write_out();
            let _ = tell.send(());
        });
        if is_sent {
            let _ = told.recv_deadline(deadline);
        }
    }
}
