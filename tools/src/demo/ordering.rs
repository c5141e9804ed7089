//! `ustack demo ordering`: numbered messages over a wire on which frames overtake each other and come twice.

use serde_json::json;
use ustack::time::Duration;

use super::Plan;
use super::client::{self, Sending};
use super::ladder::Row;
use super::place::Place;
use super::report::{Check, Demo, Part, Wire};
use super::stream::{Stream, list};
use crate::common::failure::Failure;

pub(crate) const NAME: &str = "ordering";
const ABOUT: &str = "TCP delivers in order what the wire does not; UDP delivers as it comes.";

/// Bytes of a message.
const SIZE: usize = 100;
/// Time between two messages.
const PACE: Duration = Duration::from_millis(2);

pub(crate) fn run(plan: &Plan, place: &mut Place) -> Result<Demo, Failure> {
    let count = plan.messages;
    let sending = Sending { count, size: Some(SIZE), pace: PACE, sack: plan.sack };
    let (tcp_result, tcp) = place.run(move |net| client::send_stream(net, sending))?;
    let (udp_result, udp) = place.run(move |net| client::send_datagrams(net, count, SIZE, PACE))?;

    let stream = Stream::of(&tcp.frames, SIZE, count);
    let tcp_arrived = client::arrived(&tcp.frames, |frame| stream.messages_of(&stream.bytes_of(frame)));
    let tcp_read = client::read_from_stream(&tcp.heard, SIZE);
    let udp_arrived = client::arrived(&udp.frames, client::datagram_number);
    let udp_read = client::read_from_datagrams(&udp.heard);

    let title = if plan.brief { " (only what carries them)" } else { "" };
    let mut by_tcp = Part::new(format!("TCP: {count} messages of {SIZE} bytes{title}"), &tcp.frames, &stream);
    by_tcp.below = summary(count, &tcp_arrived, &tcp_read);
    let mut by_udp = Part::new(format!("UDP: the same {count} messages"), &udp.frames, &stream);
    by_udp.below = summary(count, &udp_arrived, &udp_read);

    if plan.brief {
        by_tcp.excerpt(Row::is_message);
    }

    let wire = Wire::of(place, &[&tcp.frames[..], &udp.frames].concat());
    let mut verdict = Vec::new();
    client::outcome(tcp_result, &mut verdict);
    client::outcome(udp_result, &mut verdict);
    verdict.push(client::stream_check(count, &tcp_read));
    verdict.push(datagram_check(count, &udp_arrived, &udp_read));
    verdict.push(wire.check());
    let details = json!({
        "messages": count,
        "tcp": { "arrived": tcp_arrived, "read": tcp_read },
        "udp": { "arrived": udp_arrived, "read": udp_read },
    });
    Ok(plan.demo(place, ABOUT, vec![by_tcp, by_udp], verdict, details, wire))
}

/// What was sent, what arrived, and what was read, one below the other.
fn summary(count: usize, arrived: &[usize], read: &[usize]) -> Vec<String> {
    let sent: Vec<usize> = (1..=count).collect();
    let rows = [("sent", &sent[..]), ("arrived", arrived), ("read", read)];
    rows.iter().flat_map(|(name, numbers)| hanging(name, &list(numbers))).collect()
}

/// A name, and words beside it in as many lines as they need.
fn hanging(name: &str, words: &str) -> Vec<String> {
    const NAME: usize = 10;
    const WORDS: usize = 84;
    let mut lines = vec![format!("{name:NAME$}")];
    for word in words.split(' ') {
        match lines.last_mut() {
            Some(line) if line.len() + word.len() <= NAME + WORDS => {
                line.push_str(word);
                line.push(' ');
            }
            _ => lines.push(format!("{:NAME$}{word} ", "")),
        }
    }
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

/// UDP's promise: what arrives is read, as it arrives.
fn datagram_check(count: usize, arrived: &[usize], read: &[usize]) -> Check {
    let overtaken = read.iter().enumerate().filter(|(at, number)| {
        read[..*at].iter().any(|before| before > number) && !read[..*at].contains(number)
    });
    let overtaken = overtaken.count();
    let missing = (1..=count).filter(|number| !read.contains(number)).count();
    let again = read.len() - (count - missing).min(read.len());
    let holds = arrived == read;
    let as_they_came = if holds { "just as they came" } else { "which is not what arrived" };
    let text = format!(
        "UDP:   {} datagrams read, {as_they_came}: {overtaken} overtaken, {again} again, {missing} missing",
        read.len()
    );
    Check::new(holds, text)
}
