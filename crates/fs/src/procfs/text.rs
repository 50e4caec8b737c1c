//! A file whose text is made anew when it is read from the start.

use crate::pseudo::seek_within;
use crate::{File, FileOps, SeekFrom, Sink, Source};
use rivix_abi::Errno;
use rivix_sync::{Mutex, level};

pub(super) type Make = Box<dyn Fn() -> Result<Vec<u8>, Errno> + Send + Sync>;
pub(super) type Store = Box<dyn Fn(&[u8]) -> Result<(), Errno> + Send + Sync>;

/// Longest write that is taken.
const LONGEST: usize = 4096;

pub(super) struct TextFile {
    make: Make,
    store: Option<Store>,
    text: Mutex<level::FileObject, Option<Vec<u8>>>,
}

impl TextFile {
    pub(super) fn new(
        make: impl Fn() -> Result<Vec<u8>, Errno> + Send + Sync + 'static,
        store: Option<Store>,
    ) -> TextFile {
        TextFile {
            make: Box::new(make),
            store,
            text: Mutex::new(None),
        }
    }
}

impl FileOps for TextFile {
    fn read(&self, file: &File, sink: &mut dyn Sink, at: Option<u64>) -> Result<usize, Errno> {
        let from = at.unwrap_or_else(|| *file.offset());
        let cached = if from == 0 {
            None
        } else {
            self.text.lock().take()
        };
        // Made without locks: it asks the kernel, which has its own.
        let text = match cached {
            Some(text) => text,
            None => (self.make)()?,
        };
        let start = usize::try_from(from).unwrap_or(usize::MAX);
        let rest = text.get(start..).unwrap_or_default();
        let want = rest.len().min(sink.remaining());
        let n = if want == 0 {
            Ok(0)
        } else {
            sink.put(&rest[..want])
        };
        *self.text.lock() = Some(text);
        let n = n?;
        if at.is_none() {
            *file.offset() = from.saturating_add(n as u64);
        }
        Ok(n)
    }

    fn write(&self, file: &File, source: &mut dyn Source, at: Option<u64>) -> Result<usize, Errno> {
        let Some(store) = &self.store else {
            return Err(Errno::EIO);
        };
        let mut bytes = vec![0; source.remaining().min(LONGEST)];
        let n = source.take(&mut bytes)?;
        store(&bytes[..n])?;
        if at.is_none() {
            *file.offset() += n as u64;
        }
        Ok(n)
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn seek(&self, file: &File, to: SeekFrom) -> Result<u64, Errno> {
        if matches!(to, SeekFrom::End(_)) {
            return Err(Errno::EINVAL);
        }
        seek_within(file, to, 0)
    }

    fn truncate(&self, _: u64) -> Result<(), Errno> {
        Ok(())
    }
}
