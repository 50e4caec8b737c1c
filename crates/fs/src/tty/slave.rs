//! The slave's open file: the terminal as programs see it.

use super::discipline::ReadPlan;
use super::master::write_all_there_is_room_for;
use super::pair::Pair;
use super::requests;
use crate::{File, FileOps, Sink, Source};
use rivix_abi::{Errno, UserAddress};
use rivix_mem::AddressSpace;
use rivix_sync::WaitQueue;
use std::sync::Arc;

/// Most bytes of one read: all that a line discipline holds.
const LINE: usize = super::discipline::CAPACITY;

pub struct Slave(Arc<Pair>);

impl Slave {
    /// EIO: locked, or the master is gone; EBUSY: TIOCEXCL.
    pub(crate) fn open(pair: &Arc<Pair>, is_privileged: bool) -> Result<Slave, Errno> {
        pair.enter(is_privileged)?;
        Ok(Slave(pair.clone()))
    }

    pub fn pair(&self) -> &Arc<Pair> {
        &self.0
    }

    /// How a read that may wait goes on.
    pub fn read_plan(&self) -> ReadPlan {
        self.0.look(|state| state.line.read_plan())
    }

    /// Has the master closed?
    pub fn is_hung_up(&self) -> bool {
        !self.0.has_master()
    }

    /// Are background writers stopped?
    pub fn stops_background_writers(&self) -> bool {
        let tostop = rivix_abi::termios::TOSTOP;
        self.0.look(|state| state.line.settings().l(tostop))
    }
}

impl FileOps for Slave {
    /// What is there now, of one line at most. 0: an end of file, a hang-up, or
    /// settings that ask for no wait at all.
    fn read(&self, _: &File, sink: &mut dyn Sink, _: Option<u64>) -> Result<usize, Errno> {
        let want = sink.remaining().min(LINE);
        if want == 0 || self.is_hung_up() {
            return Ok(0);
        }
        let mut buf = [0; LINE];
        match self.0.take_input(&mut buf[..want]) {
            Ok(count) => sink.put(&buf[..count]),
            Err(Errno::EAGAIN) if self.read_plan().first == Some(0) => Ok(0),
            Err(errno) => Err(errno),
        }
    }

    fn write(&self, _: &File, source: &mut dyn Source, _: Option<u64>) -> Result<usize, Errno> {
        if self.is_hung_up() {
            return Err(Errno::EIO);
        }
        write_all_there_is_room_for(source, |bytes| self.0.write_output(bytes))
    }

    fn writes_fully(&self) -> bool {
        true
    }

    fn poll(&self, _: &File) -> u32 {
        self.0.look(|state| state.slave_events())
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.0.slave_queue)
    }

    fn ioctl(
        &self,
        _: &File,
        request: u32,
        arg: UserAddress,
        mm: &AddressSpace,
    ) -> Result<u64, Errno> {
        if self.is_hung_up() {
            return Err(Errno::EIO);
        }
        requests::of_slave(&self.0, request, arg, mm)
    }
}

impl Drop for Slave {
    fn drop(&mut self) {
        self.0.leave();
    }
}
