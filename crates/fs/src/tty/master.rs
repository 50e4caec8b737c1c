//! The master's open file: the side of a terminal emulator.

use super::pair::Pair;
use super::requests;
use crate::{File, FileOps, Sink, Source};
use rivix_abi::{Errno, UserAddress};
use rivix_mem::AddressSpace;
use rivix_sync::WaitQueue;
use std::sync::Arc;

/// Bytes moved at a time.
const PIECE: usize = 2048;

/// There is one for each pair: opening the multiplexer makes another pair.
pub struct Master(Arc<Pair>);

impl Master {
    pub(super) fn new(pair: Arc<Pair>) -> Master {
        Master(pair)
    }

    pub fn pair(&self) -> &Arc<Pair> {
        &self.0
    }
}

impl FileOps for Master {
    fn read(&self, _: &File, sink: &mut dyn Sink, _: Option<u64>) -> Result<usize, Errno> {
        let want = sink.remaining().min(PIECE);
        if want == 0 {
            return Ok(0);
        }
        let mut buf = [0; PIECE];
        let count = self.0.take_output(&mut buf[..want])?;
        sink.put(&buf[..count])
    }

    fn write(&self, _: &File, source: &mut dyn Source, _: Option<u64>) -> Result<usize, Errno> {
        write_all_there_is_room_for(source, |bytes| self.0.typed(bytes))
    }

    fn writes_fully(&self) -> bool {
        true
    }

    fn poll(&self, _: &File) -> u32 {
        self.0.look(|state| state.master_events())
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.0.master_queue)
    }

    fn ioctl(
        &self,
        _: &File,
        request: u32,
        arg: UserAddress,
        mm: &AddressSpace,
    ) -> Result<u64, Errno> {
        requests::of_master(&self.0, request, arg, mm)
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        self.0.close_master();
    }
}

/// Gives `take` pieces of `source` while it takes all of them; how much it took.
/// EAGAIN: it takes nothing now.
pub(super) fn write_all_there_is_room_for(
    source: &mut dyn Source,
    mut take: impl FnMut(&[u8]) -> usize,
) -> Result<usize, Errno> {
    let mut buf = [0; PIECE];
    let mut moved = 0;
    while source.remaining() > 0 {
        let want = source.remaining().min(PIECE);
        let got = match source.peek(&mut buf[..want]) {
            Ok(got) => got,
            Err(errno) if moved == 0 => return Err(errno),
            Err(_) => break,
        };
        let taken = take(&buf[..got]);
        // The bytes were readable just now; if they no longer are, they are sent.
        let _ = source.take(&mut buf[..taken]);
        moved += taken;
        if taken < got || got < want {
            break;
        }
    }
    if moved == 0 && source.remaining() > 0 {
        return Err(Errno::EAGAIN);
    }
    Ok(moved)
}
