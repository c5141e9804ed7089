//! What the parser understands, and what it says about the rest.

use crate::run::Script;
use crate::run::script::{Action, Time};

fn parse(text: &str) -> Script {
    Script::parse("t.pkt", text).unwrap_or_else(|error| panic!("{error}"))
}

fn error(text: &str) -> String {
    Script::parse("t.pkt", text).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn a_line_ends_a_statement() {
    let script = parse("+0 < . 1:1(0) ack 1 win 257\n+.1 > P. 1:11(10) ack 1\n*  > F. 11:11(0) ack 1\n");
    assert_eq!(script.statements.len(), 3);
    assert!(matches!(script.statements[2].time, Time::Any));
    assert_eq!(script.statements[1].text, "+.1 > P. 1:11(10) ack 1");
    assert_eq!(script.statements[1].place.line, 2);
}

#[test]
fn all_kinds_of_statements_are_read() {
    let script = parse(
        "--ip_version=ipv6 --mtu=1280\n`sysctl -q net.ipv4.tcp_sack=0`\nlet x = 10\n\
         0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n0.1...0.3 read(3, ..., 100) = -1 EAGAIN (Again)\n\
         0.1~0.2 > [ect0] SEWA 0:0(0) <mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 7>\n\
         +0 < icmp packet_too_big mtu 1280 [1:1001(1000)]\n+0 > udp (100)\n\
         %{ assert tcpi_snd_cwnd == x, tcpi_snd_cwnd\nassert 1 <= x < 20; print x }%\n\
         expect why == fast-retransmit\nrepeat 3 as i { +0 write(3, ..., i) = i }\n",
    );
    assert!(!script.settings.tcp.sack);
    let kinds: Vec<&str> = script
        .statements
        .iter()
        .map(|statement| match &statement.action {
            Action::Inject(_) => "in",
            Action::Expect(_) => "out",
            Action::Call(_) => "call",
            Action::Code(_) => "code",
            Action::Why(_) => "why",
            Action::Let(..) => "let",
            Action::Repeat { .. } => "repeat",
        })
        .collect();
    assert_eq!(kinds, ["let", "call", "call", "out", "in", "out", "code", "why", "repeat"]);
}

#[test]
fn an_error_shows_place_and_what_was_expected() {
    assert_eq!(
        error("0 < S 0:0(0) win x\n0.1 > S. 0:0(0) ack 1 <mss 1460,frob>\n"),
        "t.pkt:2:33: expected an option (mss N, nop, eol, wscale N, sackOK, sack A:B ..., TS val N ecr N, \
         FO [COOKIE], FOEXP [COOKIE], ECN e1b N ceb N e0b N, md5 [HEX], ao KEYID RNEXTID, \
         opt KIND [HEX]) or `...`, found `frob`\n    \
         2 | 0.1 > S. 0:0(0) ack 1 <mss 1460,frob>\n      |                                 ^"
    );
    let first = |text| error(text).lines().next().unwrap().to_owned();
    assert_eq!(
        first("0 frobnicate"),
        "t.pkt:1:3: expected a time, `<`, `>`, `%{`, `let`, `repeat`, `expect` or a system call, \
         found `frobnicate`"
    );
    assert_eq!(
        first("* < . 1:1(0) ack 1 win 1"),
        "t.pkt:1:1: expected a time, found `*`: that is for outgoing packets"
    );
    assert_eq!(
        first("0 > . 1:1(0)"),
        "t.pkt:1:5: expected `ack` where there is the flag `.`, and nowhere else"
    );
    assert_eq!(
        first("0 `ls -l`"),
        "t.pkt:1:4: expected `sysctl -w net.ipv4...`, as no shell is run here; found `ls -l`"
    );
    assert!(first("--frob=1").starts_with("t.pkt:1:1: expected one of the settings ip_version"));
    assert_eq!(first("--mtu=many"), "t.pkt:1:1: expected --mtu= with bytes, found `many`");
}
