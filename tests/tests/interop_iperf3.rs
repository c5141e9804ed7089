//! A real iperf3 measures the stack, and the stack a real iperf3: both ways, many streams, datagrams, and bad clients.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::Mutex;

use serde_json::Value;
use tokio::sync::oneshot;
use ustack::time::Duration;
use ustack_tests::host::{Host, KERNEL, Link, STACK, Setup, at};
use ustack_tests::matrix::{few, on_each};
use ustack_tests::process::{Finished, tool};
use ustack_tests::tshark::{FLOW_CONTROL, LOSS, RESET};
use ustack_tests::wait::{SOON, until};
use ustack_tools::iperf3::client::Client;
use ustack_tools::iperf3::report::{Form, Report};
use ustack_tools::iperf3::server::{Server, Summary};
use ustack_tools::iperf3::{Error, PORT, Params};

/// What a test moves each way at most.
const BYTES: u64 = 4 << 20;

fn links() -> Vec<Setup> {
    few().into_iter().map(Setup::headers).collect()
}

/// What iperf3 brings about: it resets streams on which something is unread when the time is over, and its end of the
/// link may overflow.
fn allowed() -> Vec<&'static str> {
    [FLOW_CONTROL, LOSS, RESET].concat()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// The stack's server, on a thread of its own.
struct Served {
    told: Arc<Mutex<Vec<Result<Summary, Error>>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Served {
    fn by(host: &Host) -> Self {
        let told: Arc<Mutex<Vec<_>>> = Arc::default();
        let (stop, stopped) = oneshot::channel();
        let any = SocketAddr::from(([0_u16; 8], PORT));
        let server = Server::bind(&host.net, any).expect("the port is free");
        let teller = told.clone();
        let thread = std::thread::spawn(move || {
            runtime().block_on(async {
                tokio::select! {
                    ended = server.run(|one| teller.lock().expect("nobody panics").push(one)) => ended.expect("it runs"),
                    _ = stopped => {}
                }
            });
        });
        Self { told, stop: Some(stop), thread: Some(thread) }
    }

    /// What the server said about the tests since this was asked last, once there are `count`.
    fn wait(&self, count: usize) -> Vec<Result<Summary, Error>> {
        until("the server to end the test", SOON, || self.told.lock().expect("nobody panics").len() >= count);
        std::mem::take(&mut *self.told.lock().expect("nobody panics"))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(std::thread::panicking() || ended.is_ok(), "the server panicked");
        }
    }
}

fn iperf3(host: &Host, words: &str) -> Finished {
    host.kernel.run(tool("iperf3").args(words.split_whitespace()))
}

/// The document that iperf3 prints.
fn document(finished: Finished) -> Value {
    let text = finished.text();
    let json: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert!(json.get("error").is_none(), "{text}");
    json
}

fn bytes(json: &Value, sum: &str) -> u64 {
    json["end"][sum]["bytes"].as_u64().unwrap_or_else(|| panic!("no {sum}: {json}"))
}

#[test]
fn a_real_iperf3_measures_the_stack() {
    on_each(&links(), &["iperf3"], &allowed(), |host| {
        let served = Served::by(host);
        for stack in STACK {
            let up = document(iperf3(host, &format!("-c {stack} -J -n {BYTES}")));
            let summary = served.wait(1).remove(0).expect("it went well");
            assert!(summary.received.bytes > 0 && summary.received.bytes <= bytes(&up, "sum_sent"));
            assert_eq!(bytes(&up, "sum_received"), summary.received.bytes);

            let down = document(iperf3(host, &format!("-c {stack} -J -R -n {BYTES} -P 4")));
            let summary = served.wait(1).remove(0).expect("it went well");
            assert_eq!(down["end"]["streams"].as_array().expect("streams").len(), 4);
            assert!(bytes(&down, "sum_received") >= BYTES);
            assert_eq!(bytes(&down, "sum_sent"), summary.sent.bytes);
            assert!(down["end"]["sum_sent"]["retransmits"].is_u64(), "{down}");
        }
        let both = document(iperf3(host, &format!("-c {} -J --bidir -t 1", STACK[0])));
        let summary = served.wait(1).remove(0).expect("it went well");
        assert!(summary.received.bytes > 0 && summary.sent.bytes > 0, "{both}");
        drop(served);
        host.wait_closed();
    });
}

#[test]
fn a_real_iperf3_sends_and_receives_datagrams() {
    on_each(&links(), &["iperf3"], &allowed(), |host| {
        let served = Served::by(host);
        for (stack, words) in [(STACK[0], ""), (STACK[0], "-R"), (STACK[1], "-P 2"), (STACK[1], "--bidir")] {
            let json = document(iperf3(host, &format!("-c {stack} -J -u -b 5M -l 1200 -t 1 {words}")));
            let summary = served.wait(1).remove(0).expect("it went well");
            let counts = if words == "-R" { summary.sent } else { summary.received };
            assert!(counts.packets > 100 && counts.bytes == counts.packets * 1200, "{words}: {summary:?}");
            assert_eq!(summary.received.lost, 0, "{words}");
            assert!(json["end"]["sum"]["jitter_ms"].is_number(), "{words}: {json}");
        }
        drop(served);
        host.wait_closed();
    });
}

/// Runs the stack's client against iperf3, and reads its document.
fn measure(host: &Host, kernel: &str, params: Params) -> Result<Value, (Error, Value)> {
    let mut out = Vec::new();
    let client = Client { server: at(kernel, PORT), params, interval: Duration::from_millis(200) };
    let mut report = Report::new(&mut out, Form::Json);
    let result = runtime().block_on(async {
        let result = client.run(&host.net, &mut report).await;
        // Streams end in order beside it.
        tokio::time::sleep(Duration::from_millis(100).into()).await;
        result
    });
    report.finish(&result).expect("memory takes it");
    let json = serde_json::from_slice(&out).expect("one document");
    match result {
        Ok(()) => Ok(json),
        Err(error) => Err((error, json)),
    }
}

/// Waits until iperf3 listens: between two tests it does not for a moment.
fn ready(host: &Host) {
    until("iperf3 to listen", SOON, || {
        let shown = host.kernel.run(tool("ss").args(["-H", "-ltn"])).success().text();
        shown.contains(&format!(":{PORT} "))
    });
}

#[test]
fn the_stack_measures_a_real_iperf3() {
    on_each(&links(), &["iperf3", "ss"], &allowed(), |host| {
        for kernel in KERNEL {
            let server = host.kernel.spawn(tool("iperf3").args(["-s", "-B", kernel, "--forceflush"]));
            let limited = Params { time: 0, bytes: BYTES, ..Params::default() };
            ready(host);
            let up = measure(host, kernel, limited.clone()).expect("it goes well");
            assert!(bytes(&up, "sum_sent") >= BYTES);
            // The server counts what it has read when it hears of the end, which may overtake what is under way.
            assert!((1..=bytes(&up, "sum_sent")).contains(&bytes(&up, "sum_received")), "{up}");
            assert_eq!(up["end"]["sender_tcp_congestion"], "cubic");

            ready(host);
            let down = measure(host, kernel, Params { reverse: true, parallel: 4, ..limited });
            let down = down.expect("it goes well");
            assert!(bytes(&down, "sum_received") >= BYTES && bytes(&down, "sum_sent") >= BYTES);

            let second = Params { time: 1, ..Params::default() };
            ready(host);
            let both = measure(host, kernel, Params { bidirectional: true, ..second.clone() });
            let both = both.expect("it goes well");
            assert!(bytes(&both, "sum_received") > 0 && bytes(&both, "sum_received_bidir_reverse") > 0);
            assert!(both["intervals"][0]["streams"][1]["bytes"].is_u64(), "{both}");

            let datagrams = Params { udp: true, len: 1200, bandwidth: 5_000_000, ..second };
            for reverse in [false, true] {
                ready(host);
                let json = measure(host, kernel, Params { reverse, ..datagrams.clone() });
                let sum = &json.expect("it goes well")["end"]["sum"];
                assert!(sum["packets"].as_u64().is_some_and(|n| n > 100), "{sum}");
                assert_eq!(sum["lost_packets"], 0, "{sum}");
            }
            drop(server);
        }
        host.wait_closed();
    });
}

/// A client of the kernel's that says `words`, and what it is answered.
fn say(host: &Host, words: &[u8]) -> TcpStream {
    let mut stream = host.kernel.enter(|| TcpStream::connect(at(STACK[0], PORT))).expect("it listens");
    stream.set_read_timeout(Some(SOON)).expect("it is not zero");
    stream.write_all(words).expect("there is room");
    stream
}

fn answer(stream: &mut TcpStream) -> i8 {
    let mut byte = [0];
    stream.read_exact(&mut byte).expect("an answer");
    i8::from_ne_bytes(byte)
}

#[test]
fn bad_clients_harm_nobody() {
    const PARAM_EXCHANGE: i8 = 9;
    const CREATE_STREAMS: i8 = 10;
    const ACCESS_DENIED: i8 = -1;
    const SERVER_ERROR: i8 = -2;
    let cookie = |letter: u8| [[letter; 36].as_slice(), &[0]].concat();
    let links = [Setup::new(Link::Tap), Setup::new(Link::Tun).merging().queues(2)];
    on_each(&links.map(Setup::headers), &["iperf3"], &allowed(), |host| {
        let served = Served::by(host);
        // Who says nothing, or half of it, keeps nobody waiting.
        let silent = say(host, b"");
        let half = say(host, b"half");
        let mut first = say(host, &cookie(b'a'));
        assert_eq!(answer(&mut first), PARAM_EXCHANGE);
        // One test at a time.
        assert_eq!(answer(&mut say(host, &cookie(b'b'))), ACCESS_DENIED);
        let busy = iperf3(host, &format!("-c {} -J -t 1", STACK[0]));
        assert!(busy.text().contains("busy"), "{}", busy.text());
        // A length that nobody would send.
        first.write_all(&[0xff; 4]).expect("there is room");
        assert!(matches!(served.wait(1)[0], Err(Error::Protocol(_))));

        let mut second = say(host, &cookie(b'c'));
        assert_eq!(answer(&mut second), PARAM_EXCHANGE);
        let json = br#"{"tcp":true,"parallel":100000}"#;
        second.write_all(&[&(json.len() as u32).to_be_bytes(), &json[..]].concat()).expect("there is room");
        assert_eq!(answer(&mut second), SERVER_ERROR);
        assert!(matches!(served.wait(1)[0], Err(Error::Protocol(_))));

        // One that vanishes in the middle.
        let mut third = say(host, &cookie(b'd'));
        assert_eq!(answer(&mut third), PARAM_EXCHANGE);
        third.write_all(&[0, 0, 0, 2, b'{', b'}']).expect("there is room");
        assert_eq!(answer(&mut third), CREATE_STREAMS);
        let stream = say(host, &cookie(b'd'));
        assert_eq!((answer(&mut third), answer(&mut third)), (1, 2), "it starts, and runs");
        drop((third, stream));
        assert!(served.wait(1)[0].is_err());

        // And the next is served as the first.
        for _ in 0..3 {
            let json = document(iperf3(host, &format!("-c {} -J -n 100K", STACK[0])));
            assert!(bytes(&json, "sum_sent") >= 100 << 10);
            assert!(served.wait(1)[0].is_ok());
        }
        drop((silent, half, first, second, served));
        host.wait_closed();
    });
}

#[test]
fn a_client_hears_that_the_server_is_busy() {
    on_each(&links(), &["iperf3"], &allowed(), |host| {
        // Nobody listens.
        let (error, json) = measure(host, KERNEL[0], Params::default()).expect_err("nobody listens");
        assert!(matches!(error, Error::Connection("cannot connect", _)), "{error}");
        assert!(json["error"].as_str().expect("it says so").contains("refused"), "{json}");
        let served = Served::by(host);
        let mut occupied = say(host, &[b'z'; 37]);
        assert_eq!(answer(&mut occupied), 9);
        let server = STACK[0];
        let (error, _) = measure(host, server, Params::default()).expect_err("one test at a time");
        assert!(matches!(error, Error::Busy), "{error}");
        drop(occupied);
        assert!(served.wait(1)[0].is_err());
        drop(served);
        host.wait_closed();
    });
}
