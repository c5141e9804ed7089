//! One capture that several write to.

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{InterfaceId, LinkType, Record, Writer};

/// A capture that several devices or links share. Clones write to the same file.
///
/// A capture is a witness: it never stops what it watches. After the first error nothing more is written,
/// and `finish` tells the error.
#[derive(Clone)]
pub struct Capture(Arc<Mutex<State>>);

struct State {
    writer: Writer<Box<dyn Write + Send>>,
    packets: u64,
    error: Option<io::Error>,
}

impl Capture {
    /// A capture written to `output`, in which `Instant::ZERO` is `epoch` nanoseconds after the beginning of 1970.
    ///
    /// # Errors
    /// What `output` refuses.
    pub fn to_writer(output: impl Write + Send + 'static, epoch: u64) -> io::Result<Self> {
        let writer = Writer::with_epoch(Box::new(output) as Box<dyn Write + Send>, epoch)?;
        Ok(Self(Arc::new(Mutex::new(State { writer, packets: 0, error: None }))))
    }

    /// A capture written to a new file; an old one of that name is replaced.
    ///
    /// # Errors
    /// The file cannot be made or written.
    pub fn create(path: impl AsRef<Path>, epoch: u64) -> io::Result<Self> {
        Self::to_writer(BufWriter::new(std::fs::File::create(path)?), epoch)
    }

    /// A capture in memory, for tests and demonstrations.
    pub fn in_memory() -> (Self, Buffer) {
        let buffer = Buffer::default();
        let capture = Self::to_writer(buffer.clone(), 0).expect("writing to memory does not fail");
        (capture, buffer)
    }

    /// How many packets were written.
    pub fn packets(&self) -> u64 {
        self.state().packets
    }

    /// Describes a further interface.
    ///
    /// # Errors
    /// What the output refuses.
    pub fn add_interface(&self, name: &str, link_type: LinkType) -> io::Result<InterfaceId> {
        self.state().writer.add_interface(name, link_type)
    }

    /// Writes one packet, given in `parts`, unless an error has ended the capture.
    pub fn write(&self, record: &Record<'_>, parts: &[&[u8]]) {
        let mut state = self.state();
        if state.error.is_some() {
            return;
        }
        match state.writer.write(record, parts) {
            Ok(()) => state.packets += 1,
            Err(error) => state.error = Some(error),
        }
    }

    /// Flushes, and tells the error that ended the capture, if one did. Can be called again.
    ///
    /// # Errors
    /// What the output refused.
    pub fn finish(&self) -> io::Result<()> {
        let mut state = self.state();
        match state.error.take() {
            Some(error) => {
                state.error = Some(io::Error::from(error.kind()));
                Err(error)
            }
            None => state.writer.flush(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves at worst half a block behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl core::fmt::Debug for Capture {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Capture").field("packets", &self.packets()).finish_non_exhaustive()
    }
}

/// The bytes of a capture in memory. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    /// What has been written so far.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
