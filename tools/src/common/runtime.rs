//! What runs while a subcommand waits: the stack's driver, signals, the end of what is still on its way.

use std::future::Future;
use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Duration, Instant, sleep};
use ustack::net::{Net, drive};

use super::failure::Failure;

/// How long the peer may take to acknowledge the last of a conversation before we end.
pub(crate) const SETTLE: Duration = Duration::from_secs(60);
/// How often the end of what is on its way is looked for.
const LOOK: Duration = Duration::from_millis(2);

/// Runs a subcommand's future in this thread.
pub(crate) fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Device(format!("cannot start: {error}")))?;
    runtime.block_on(future)
}

/// Moves the stack while `future` runs. A device that fails ends both.
pub(crate) async fn driven<T>(
    net: &Net,
    future: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        result = drive(net.clone()) => match result {
            Err(error) => Err(Failure::Device(format!("the device failed: {error}"))),
            Ok(()) => Err(Failure::Device("the device is gone".into())),
        },
        result = future => result,
    }
}

/// Waits for Ctrl-C, or for another signal that asks us to end.
pub(crate) async fn interrupted() {
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let [int, term, hup] = kinds.map(|kind| async move {
        match signal(kind) {
            Ok(mut signal) => signal.recv().await,
            // Then the signal ends us by itself.
            Err(_) => std::future::pending().await,
        }
    });
    tokio::select! { _ = int => {}, _ = term => {}, _ = hup => {} }
}

/// Waits until everything that closed sockets still had to say is said and acknowledged; gives up after `limit`.
#[allow(clippy::disallowed_methods, reason = "tools live in real time")]
pub(crate) async fn settled(net: &Net, limit: Duration) -> io::Result<()> {
    let deadline = Instant::now() + limit;
    while net.with_stack(|stack, _| stack.socket_count()) > 0 {
        if Instant::now() >= deadline {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the peer did not acknowledge everything"));
        }
        sleep(LOOK).await;
    }
    Ok(())
}
