//! What runs while a subcommand waits: the stack's driver, and signals.

use std::future::Future;

use tokio::signal::unix::{SignalKind, signal};

use super::failure::Failure;
use super::stack::Running;

/// Runs a subcommand's future in this thread.
pub(crate) fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Device(format!("cannot start: {error}")))?;
    let result = runtime.block_on(future);
    // A write to a stdout that nobody reads would keep us for ever.
    runtime.shutdown_background();
    result
}

/// Moves the stack while `future` runs, writes down what it decides, and tells what happens to its addresses. A device
/// that fails ends it all.
pub(crate) async fn driven<T>(
    running: &Running,
    future: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    // The shards but the first move on threads of their own, which end with this.
    let mut shards = running.net.shards();
    let first = shards.next().unwrap_or_else(|| running.net.clone());
    let others: Result<Vec<_>, _> = shards.map(|shard| running.driver(&shard).spawn()).collect();
    let _others = others.map_err(|error| Failure::Device(format!("cannot start a thread: {error}")))?;
    tokio::select! {
        result = running.driver(&first).drive() => match result {
            Err(error) => Err(Failure::Device(format!("the device failed: {error}"))),
            Ok(()) => Err(Failure::Device("the device is gone".into())),
        },
        result = future => result,
        never = running.follow() => match never {},
        never = running.watch() => match never {},
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
