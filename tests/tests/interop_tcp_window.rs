//! A receiver that does not read: its window closes for seconds and opens again.

use std::net::Shutdown;
use std::sync::mpsc::channel;

use ustack_tests::app::{Task, connect, receive, send, serve};
use ustack_tests::host::{KERNEL, STACK, at};
use ustack_tests::matrix::everywhere;
use ustack_tests::peer::Peer;
use ustack_tests::tshark::FLOW_CONTROL;
use ustack_tests::wait::{SOON, until};

const PEER: &str = env!("CARGO_BIN_EXE_kernel_peer");
/// More than the buffers of both sides hold.
const BYTES: u64 = 6_000_000;
/// How often the sender asks before the window opens: after 0.2 seconds, then 0.4 and 0.8 later.
const PROBES: u32 = 3;

#[test]
fn the_kernel_s_window_closes_and_opens() {
    everywhere(&[], FLOW_CONTROL, |host| {
        for address in KERNEL {
            let words = format!("tcp-listen {} --do slow --receive-buffer 4096", at(address, 8));
            let mut server = Peer::listen(&host.kernel, PEER, &words);
            let stream = connect(&host.net, at(address, 8));
            let sender = stream.try_clone().expect("it can be");
            let bytes = 100_000;
            let sending = Task::start("the sender", move || {
                send(&sender, 1, bytes).and_then(|()| sender.shutdown(Shutdown::Write))
            });
            until("the stack to ask a closed window", SOON, || {
                stream.info().is_ok_and(|info| info.snd_wnd == 0 && info.counters.probes >= PROBES)
            });
            server.order("go");
            sending.finish(SOON).expect("it went well");
            let done = server.wait("done", SOON);
            assert!(done.value::<u64>("received") == bytes && done.is_right());
        }
    });
}

#[test]
fn the_stack_s_window_closes_and_opens() {
    everywhere(&[], FLOW_CONTROL, |host| {
        for (index, address) in STACK.into_iter().enumerate() {
            let (go, wait) = channel::<()>();
            let wait = std::sync::Arc::new(std::sync::Mutex::new(wait));
            let server = serve(&host.net, at(address, 7), 1, move |_, stream| {
                wait.lock().expect("nobody panics").recv_timeout(SOON * 2).expect("it comes");
                receive(stream, 1)
            });
            let words = format!("tcp-connect {} --do source --bytes {BYTES}", at(address, 7));
            let client = Peer::start(&host.kernel, PEER, &words);
            // The answers to the kernel's questions: the window is still closed. Where the last window's end was lost
            // the kernel waits for seconds with the first.
            let version = ["ip", "ip6"][index];
            let window = ["tcp[14:2]", "ip6[54:2]"][index];
            let closed = format!("{version} proto 6 and src {address} and {window} = 0");
            host.capture().wait_frames(3, &closed, SOON * 2);
            go.send(()).expect("it waits");
            let received = server.finish(SOON).remove(0).expect("it went well");
            assert_eq!((received.bytes(), received.wrong()), (BYTES, None));
            let _ = client.finish(SOON).1.success();
        }
        host.wait_closed();
    });
}
