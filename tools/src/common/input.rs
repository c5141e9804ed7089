//! Stdin, read by a thread: a terminal has no other way to be waited for.

use std::io::{self, Read};

use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Bytes read at a time.
const CHUNK: usize = 64 * 1024;

/// Stdin in pieces, until its end.
#[derive(Debug)]
pub(crate) struct Input {
    pieces: Receiver<io::Result<Vec<u8>>>,
}

impl Input {
    /// Begins to read. The thread ends with the process: nothing can wake it from a terminal.
    pub(crate) fn start() -> io::Result<Self> {
        // One piece in advance: who cannot send reads no further.
        let (sender, pieces) = channel(1);
        std::thread::Builder::new().name("stdin".into()).spawn(move || read(&sender))?;
        Ok(Self { pieces })
    }

    /// The next piece; None at the end.
    pub(crate) async fn next(&mut self) -> Option<io::Result<Vec<u8>>> {
        self.pieces.recv().await
    }
}

fn read(pieces: &Sender<io::Result<Vec<u8>>>) {
    let mut stdin = io::stdin().lock();
    let mut buffer = vec![0; CHUNK];
    loop {
        let piece = match stdin.read(&mut buffer) {
            Ok(0) => return,
            Ok(n) => Ok(buffer[..n].to_vec()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let failed = piece.is_err();
        if pieces.blocking_send(piece).is_err() || failed {
            return;
        }
    }
}
