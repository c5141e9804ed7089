//! Streams between the stack and the kernel, in both roles.

use ustack_tests::app::{connect, echo, exchange, serve};
use ustack_tests::host::{Host, KERNEL, Link, STACK, at};
use ustack_tests::kernel::{Need, ready};
use ustack_tests::peer::Peer;
use ustack_tests::tshark::assert_clean_under_tshark;
use ustack_tests::wait::SOON;

const PEER: &str = env!("CARGO_BIN_EXE_kernel_peer");
const NEEDS: [Need; 5] =
    [Need::Namespaces, Need::Tun, Need::Tool("ethtool"), Need::Tool("tcpdump"), Need::Tool("tshark")];

#[test]
fn streams_are_echoed_in_both_roles() {
    if !ready(&NEEDS) {
        return;
    }
    for link in Link::ALL {
        let host = Host::on(link);
        let capture = host.capture("");
        for (kernel, stack) in KERNEL.into_iter().zip(STACK) {
            for bytes in [0, 1, 300_000] {
                let server = serve(&host.net, at(stack, 7), 1, |_, stream| echo(stream));
                let words = format!("tcp-connect {} --do source --bytes {bytes}", at(stack, 7));
                let (_, client) = Peer::start(&host.kernel, PEER, &words).finish(SOON);
                let _ = client.success();
                assert_eq!(server.finish(SOON)[0].as_ref().expect("it went well"), &bytes);

                let words = format!("tcp-listen {} --do echo", at(kernel, 8));
                let server = Peer::listen(&host.kernel, PEER, &words);
                let stream = connect(&host.net, at(kernel, 8));
                let received = exchange(&stream, 1, bytes, 1).expect("it went well");
                assert_eq!((received.bytes(), received.wrong()), (bytes, None));
                let _ = server.finish(SOON).1.success();
            }
        }
        assert_clean_under_tshark(capture.stop().path(), &[]);
        host.wait_closed();
        host.finish();
    }
}
