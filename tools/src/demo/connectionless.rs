//! `ustack demo connectionless`: datagrams need no connection, have no memory, and nobody repairs what is lost.

use std::io;

use serde_json::json;
use ustack::net::Net;
use ustack::time::{Duration, Instant};

use super::Plan;
use super::client::{self, Sending, short};
use super::frame::{Content, Frame, Side};
use super::peer::{CLOSED_PORT, GREETER_PORT, greeting};
use super::place::{Place, Recording, far, within};
use super::report::{Check, Demo, Part, Wire, table};
use super::stream::{Stream, list, plural};
use crate::common::failure::Failure;

pub(crate) const NAME: &str = "connectionless";
const ABOUT: &str = "A datagram needs no handshake, and nobody repairs its loss.";

/// Who greets; each has a socket of its own.
const PEERS: [&str; 3] = ["ann", "bob", "eve"];
/// Bytes of a message.
const SIZE: usize = 100;
/// Time between two messages.
const PACE: Duration = Duration::from_millis(2);
/// How long an answer is waited for: longer than it takes to ask twice who the neighbour is.
const PATIENCE: Duration = Duration::from_millis(2500);

pub(crate) fn run(plan: &Plan, place: &mut Place) -> Result<Demo, Failure> {
    let count = plan.messages;
    let mut verdict = Vec::new();
    let mut frames = Vec::new();

    let (answers, greetings) = place.run(greet)?;
    let (answers, until) = client::outcome(answers, &mut verdict).unwrap_or_default();
    let none = Stream::of(&[], SIZE, 0);
    let first = Part::new("Three peers, one socket at the server, no handshake", &greetings.frames, &none);
    verdict.push(greeting_check(&greetings, &answers, until));
    frames.extend(greetings.frames);

    let (refused, knock) = place.run(knock)?;
    let refused = client::outcome(refused, &mut verdict);
    let second = Part::new("A datagram to a port where nobody is", &knock.frames, &none);
    verdict.extend(refused.map(|(refused, until)| refusal_check(&knock.frames, refused, until)));
    frames.extend(knock.frames);

    let start = place.now();
    let (result, udp) = place.run(move |net| client::send_datagrams(net, count, SIZE, PACE))?;
    client::outcome(result, &mut verdict);
    let mut third = Part::new(format!("UDP: {count} messages"), &udp.frames, &none);
    let udp_side = side(&udp, start, client::arrived(&udp.frames, client::datagram_number));
    let udp_read = client::read_from_datagrams(&udp.heard);

    let start = place.now();
    let sending = Sending { count, size: Some(SIZE), pace: PACE, sack: plan.sack };
    let (result, tcp) = place.run(move |net| client::send_stream(net, sending))?;
    client::outcome(result, &mut verdict);
    let stream = Stream::of(&tcp.frames, SIZE, count);
    let mut fourth = Part::new(format!("TCP: the same {count} messages"), &tcp.frames, &stream);
    let tcp_read = client::read_from_stream(&tcp.heard, SIZE);
    let tcp_side = side(&tcp, start, tcp_read.clone());

    if plan.brief {
        fourth.rows.clear();
    }
    third.below = vec![missing(count, &udp_read)];
    fourth.below = compare(count, [(&udp_side, &udp_read), (&tcp_side, &tcp_read)]);
    verdict.push(loss_check(count, &udp.frames, &udp_read));
    verdict.push(client::stream_check(count, &tcp_read));
    frames.extend(udp.frames);
    frames.extend(tcp.frames);
    let wire = Wire::of(place, &frames);
    verdict.push(wire.check());
    let details = json!({
        "messages": count,
        "greeted": answers,
        "refused": refused.map(|(refused, _)| refused),
        "udp": udp_side.json(&udp_read),
        "tcp": tcp_side.json(&tcp_read),
    });
    Ok(plan.demo(place, ABOUT, vec![first, second, third, fourth], verdict, details, wire))
}

/// Several sockets greet one; answers who was greeted back, and until when that was awaited.
async fn greet(net: Net) -> io::Result<(Vec<String>, Instant)> {
    let mut sockets = Vec::new();
    for name in PEERS {
        let socket = client::bind(&net)?;
        socket.send_to(name.as_bytes(), far(GREETER_PORT)).await?;
        net.sleep(PACE).await;
        sockets.push((name, socket));
    }
    let mut answers = Vec::new();
    let until = net.now() + PATIENCE;
    for (name, socket) in &sockets {
        let mut buffer = [0; 64];
        let left = until - net.now();
        // An error is no answer: the neighbour was not found.
        if let Some(Ok((n, _))) = within(&net, left, socket.recv_from(&mut buffer)).await
            && buffer[..n] == greeting(name.as_bytes())
        {
            answers.push((*name).to_owned());
        }
    }
    Ok((answers, until))
}

/// Sends a datagram to a port where nobody is; answers whether we were told so, and until when that was awaited.
async fn knock(net: Net) -> io::Result<(bool, Instant)> {
    let socket = client::bind(&net)?;
    socket.connect(far(CLOSED_PORT))?;
    socket.send(b"anyone?").await?;
    let until = net.now() + PATIENCE;
    match within(&net, PATIENCE, socket.recv(&mut [0; 64])).await {
        Some(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Ok((true, until)),
        // Another error: the neighbour was not found.
        Some(_) | None => Ok((false, until)),
    }
}

/// Whether it arrives whole by that time.
fn comes_before(frame: &Frame, until: Instant) -> bool {
    frame.arrivals().any(|arrival| arrival.is_taken && arrival.time <= until)
}

/// Whoever's datagram and whose answer arrived was greeted; all of them by one socket.
fn greeting_check(greetings: &Recording, answers: &[String], until: Instant) -> Check {
    let expected: Vec<&str> = PEERS
        .into_iter()
        .filter(|name| {
            let answer = greeting(name.as_bytes());
            let is_answer =
                |frame: &Frame| matches!(&frame.content, Content::Udp { payload, .. } if *payload == answer);
            greetings.frames.iter().any(|frame| is_answer(frame) && comes_before(frame, until))
        })
        .collect();
    let mut heard: Vec<_> = greetings.heard.iter().filter(|heard| heard.port == GREETER_PORT).collect();
    heard.sort_by_key(|heard| heard.from);
    heard.dedup_by_key(|heard| heard.from);
    let peers = plural(heard.len(), "peer");
    let text = format!(
        "peers: one socket heard {peers}, each from a port of its own; {} got an answer",
        answers.len()
    );
    Check::new(expected == answers, text)
}

/// We are told if, and only if, both the datagram and the ICMP error arrive.
fn refusal_check(frames: &[Frame], refused: bool, until: Instant) -> Check {
    // A datagram that comes twice is refused twice.
    let errors = || frames.iter().filter(|frame| matches!(frame.content, Content::PortUnreachable));
    let arrived = errors().any(|frame| comes_before(frame, until));
    let text = match refused {
        true => "ICMP:  \"port unreachable\" came back, and the socket says \"connection refused\"",
        false if errors().count() == 0 => "ICMP:  the datagram was lost, so nobody said that nobody is there",
        false => "ICMP:  \"port unreachable\" was lost, so the sender never learns of it",
    };
    Check::new(arrived == refused, text)
}

/// What one transport needed.
#[derive(Debug)]
struct Cost {
    frames: usize,
    bytes: usize,
    /// From the start to what the application read first and last.
    first: Option<Duration>,
    last: Option<Duration>,
    arrived: usize,
}

fn side(recording: &Recording, start: Instant, arrived: Vec<usize>) -> Cost {
    let frames =
        || recording.frames.iter().filter(|frame| !matches!(frame.content, Content::Other | Content::Arp(_)));
    let mut times: Vec<_> =
        recording.heard.iter().filter(|heard| !heard.bytes.is_empty()).map(|h| h.time).collect();
    times.sort_unstable();
    Cost {
        frames: frames().count(),
        bytes: frames().map(|frame| frame.len).sum(),
        first: times.first().map(|time| *time - start),
        last: times.last().map(|time| *time - start),
        arrived: arrived.len(),
    }
}

impl Cost {
    fn json(&self, read: &[usize]) -> serde_json::Value {
        json!({
            "frames": self.frames,
            "bytes": self.bytes,
            "first_us": self.first.map(Duration::as_micros),
            "last_us": self.last.map(Duration::as_micros),
            "arrived": self.arrived,
            "read": read,
        })
    }
}

fn distinct(read: &[usize]) -> usize {
    let mut numbers = read.to_vec();
    numbers.sort_unstable();
    numbers.dedup();
    numbers.len()
}

fn missing(count: usize, read: &[usize]) -> String {
    let missing: Vec<usize> = (1..=count).filter(|number| !read.contains(number)).collect();
    match missing[..] {
        [] => "None is missing: this time the wire was kind.".to_owned(),
        _ => format!("Missing for ever: {}. The sender does not know.", list(&missing)),
    }
}

fn compare(count: usize, sides: [(&Cost, &Vec<usize>); 2]) -> Vec<String> {
    let row = |name: &str, of: &dyn Fn(&Cost, &[usize]) -> String| {
        let cells = sides.iter().map(|(cost, read)| of(cost, read));
        std::iter::once(name.to_owned()).chain(cells).collect::<Vec<_>>()
    };
    let time = |span: Option<Duration>| span.map_or_else(|| "-".to_owned(), short);
    table(&[
        vec![String::new(), "UDP".to_owned(), "TCP".to_owned()],
        row("messages read", &|_, read| format!("{} of {count}", distinct(read))),
        row("the first after", &|cost, _| time(cost.first)),
        row("the last after", &|cost, _| time(cost.last)),
        row("frames on the wire", &|cost, _| cost.frames.to_string()),
        row("bytes on the wire", &|cost, _| cost.bytes.to_string()),
    ])
}

/// What was lost is missing, and nothing else.
fn loss_check(count: usize, frames: &[Frame], read: &[usize]) -> Check {
    let datagrams = frames.iter().filter(|frame| frame.from == Side::Near);
    let lost =
        datagrams.filter(|frame| !frame.is_taken() && client::datagram_number(frame).is_some()).count();
    let missing = count - distinct(read).min(count);
    let text = format!(
        "UDP:   {missing} of {count} messages missing: the wire lost or damaged {lost}, and nobody repaired it"
    );
    Check::new(lost == missing, text)
}
