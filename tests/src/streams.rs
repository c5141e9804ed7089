//! Streams between the stack and the kernel, opened by either.

use std::path::Path;

use crate::app::{connect, echo, exchange, serve};
use crate::host::{Host, KERNEL, STACK, at};
use crate::peer::Peer;
use crate::wait::SOON;

/// A byte, and two million, there and back, over both families; no frame may have found a full queue. `program` is that
/// of [`Peer::start`].
///
/// # Panics
/// Not all of it arrived.
#[track_caller]
pub fn streams_both_ways(host: &Host, program: impl AsRef<Path>) {
    let program = program.as_ref();
    for (kernel, stack) in KERNEL.into_iter().zip(STACK) {
        for bytes in [1, 2_000_000] {
            let server = serve(&host.net, at(stack, 7), 1, |_, stream| echo(stream));
            let words = format!("tcp-connect {} --do source --bytes {bytes}", at(stack, 7));
            let _ = Peer::start(&host.kernel, program, &words).finish(SOON).1.success();
            assert_eq!(server.finish(SOON)[0].as_ref().expect("it went well"), &bytes);

            let words = format!("tcp-listen {} --do echo", at(kernel, 8));
            let server = Peer::listen(&host.kernel, program, &words);
            let stream = connect(&host.net, at(kernel, 8));
            let received = exchange(&stream, 1, bytes, 1).expect("it went well");
            assert_eq!((received.bytes(), received.wrong()), (bytes, None));
            let _ = server.finish(SOON).1.success();
        }
    }
    host.wait_closed();
    assert_eq!(host.net.device_errors(host.interface).missed, 0);
}
