//! Scripts that pass and scripts that do not, with what is said about them.

use super::{Script, Sinks};

fn run(text: &str) -> Result<(), String> {
    let script = Script::parse("t.pkt", text).unwrap_or_else(|error| panic!("{error}"));
    script.run(&Sinks::default()).failure.map_or(Ok(()), |failure| Err(failure.to_string()))
}

/// Accepts a connection as descriptor 4.
const SERVER: &str = "
0   socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0  bind(3, ..., ...) = 0
+0  listen(3, 1) = 0
+0  < S 0:0(0) win 32792 <mss 1000,nop,wscale 7>
+0  > S. 0:0(0) ack 1 <...>
+.1 < . 1:1(0) ack 1 win 257
+0  accept(3, ..., ...) = 4
";

#[test]
fn a_conversation_passes() {
    let rest = "
        +0  write(4, ..., 1000) = 1000
        +0  > P. 1:1001(1000) ack 1
        expect why == new-data
        +.1 < P. 1:11(10) ack 1001 win 257
        +0  read(4, ..., 100) = 10
        +.04 > . 1001:1001(0) ack 11
        expect why == delayed-ack
        %{ assert tcpi_snd_cwnd >= 10 and tcpi_unacked == 0 }%
    ";
    assert_eq!(run(&format!("{SERVER}{rest}")), Ok(()));
}

#[test]
fn a_blocking_call_returns_when_data_comes() {
    let rest = "
        +0...0.3 read(4, ..., 100) = 10
        +.3 < P. 1:11(10) ack 1 win 257
        +0 > . 1:1(0) ack 11
    ";
    assert_eq!(run(&format!("{SERVER}{rest}")), Ok(()));
    let late = run(&format!("{SERVER}{}", rest.replace("0...0.3", "0...0.2"))).unwrap_err();
    assert!(late.contains("t.pkt:10: the call returns at 0.400000, expected was 0.300000"), "{late}");
}

#[test]
fn what_differs_is_marked() {
    let rest = "
        +0 write(4, ..., 1000) = 1000
        +0 > . 1:1001(1000) ack 2
    ";
    let failure = run(&format!("{SERVER}{rest}")).unwrap_err();
    for line in [
        "t.pkt:11: the stack sent another packet: it differs in flags, ack",
        "   11 | +0 > . 1:1001(1000) ack 2",
        "  ! flags    .                   P.",
        "  ! ack      2                   1",
    ] {
        assert!(failure.contains(line), "{line:?} is not in\n{failure}");
    }
    assert!(failure.contains("why=new-data"), "{failure}");
}

#[test]
fn a_packet_that_nobody_expects_fails_at_the_end() {
    let failure = run(&format!("{SERVER}+0 write(4, ..., 10) = 10\n")).unwrap_err();
    assert!(failure.contains("t.pkt:9: at the end the stack has sent a packet at 0.100000"), "{failure}");
    let nothing = run(&format!("{SERVER}+0 > . 1:1(0) ack 1\n")).unwrap_err();
    assert!(nothing.contains("the stack sends nothing until 0.100000"), "{nothing}");
}

#[test]
fn a_false_condition_tells_its_values() {
    let failure = run(&format!("{SERVER}%{{ assert tcpi_snd_mss == 5, \"small\" }}%\n")).unwrap_err();
    assert!(failure.contains("t.pkt:9: this does not hold: tcpi_snd_mss is 1000 (small)"), "{failure}");
}

#[test]
fn all_options_and_marks_reach_the_wire() {
    let script = "
        0   socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
        +0  bind(3, ..., ...) = 0
        +0  listen(3, 1) = 0
        +0  < [ect0, ttl 3] SEWA 0:0(0) win 9 <mss 1000,sackOK,TS val 7 ecr 0,eol>
        +0  > [noecn, ttl 64] S. 0:0(0) ack 1 <mss 1460,sackOK,TS val any ecr 7>
        +.1 < [ce] .5 1:1(0) ack 1 win 9 <ECN e1b 1 ceb 0 e0b 1,nop,FO 0a0b,nop,TS val 8 ecr 0,opt 77>
        +0  accept(3, ..., ...) = 4
    ";
    assert_eq!(run(script), Ok(()));
    let failure = run(&script.replace("ttl 64", "ect1, ttl 63")).unwrap_err();
    assert!(failure.contains("  ! ecn      ect1"), "{failure}");
    assert!(failure.contains("  ! ttl      63"), "{failure}");
}

#[test]
fn a_packet_of_another_kind_is_told_as_what_it_is() {
    let failure = run("0 < udp (10)\n+0 > R. 0:0(0) ack 1\n").unwrap_err();
    assert!(failure.contains("! packet  a TCP segment  icmp unreachable port_unreachable"), "{failure}");
}

#[test]
fn what_makes_no_sense_while_running_is_told_too() {
    for (script, told) in [
        ("0 < S 0:1(2) win 1\n", "0:1(2) does not add up: 0 + 2 is not 1"),
        ("0 < S 0:0(0) win 65536\n", "65536 does not fit into the window field"),
        ("0 read(7, ..., 10) = 5\n", "the call returns -1 EBADF, expected was 5"),
        ("0.2 < udp (1)\n0.1 < udp (1)\n", "it is 0.200000 already: 0.100000 is past"),
        ("0 < [conn 3] udp (1)\n", "there is no connection 3 yet: the next one is 1"),
        ("0 < udp (nobody)\n", "`nobody` stands for nothing here"),
        ("expect why == rto\n", "no packet was expected before"),
        ("0 < icmp packet_too_big mtu 1280 [1:1(0)]\n", "ICMP has no message packet_too_big"),
    ] {
        let failure = run(script).unwrap_err();
        assert!(failure.contains(told), "{told:?} is not in\n{failure}");
    }
}

#[test]
fn a_capture_tells_the_reasons() {
    let (capture, buffer) = ustack::capture::Capture::in_memory();
    let script = Script::parse("t.pkt", "0 < udp (10)\n+0 > icmp unreachable port_unreachable\n").unwrap();
    assert!(script.run(&Sinks { capture: Some(capture.clone()), ..Sinks::default() }).passed());
    capture.finish().unwrap();
    assert_eq!(capture.packets(), 2);
    let bytes = buffer.bytes();
    assert!(bytes.windows(15).any(|window| window == b"why=unreachable"));
}

#[test]
fn a_failure_tells_what_the_stack_decided() {
    let script = "
        0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
        +0 bind(3, ..., ...) = 0
        +0 listen(3, 1) = 0
        +0 < S 0:0(0) win 32792 <mss 1000>
        +0 > S. 0:0(0) ack 1 <...>
        +.1 < . 1:1(0) ack 1 win 32792
        +0 accept(3, ..., ...) = 4
        +0 write(4, ..., 1000) = 1000
        +0 > P. 1:1001(1000) ack 1
        +.3 > P. 1:1001(1000) ack 1
        expect why == tail-loss-probe
    ";
    let failure = Script::parse("t.pkt", script).unwrap().run(&Sinks::default()).failure.expect("it fails");
    let fired = "0.400000 rto_fired in_flight=1000 retries=1 rto_us=600000".to_owned();
    assert!(failure.decided.contains(&fired), "{:?}", failure.decided);
    assert!(failure.decided.len() <= 8);
    let told = failure.to_string();
    let last = told.split("what the stack decided:\n").nth(1).unwrap_or_default();
    assert!(last.contains("lost by=rto bytes=1000 again=0 total=1000"), "{told}");
}

#[test]
fn a_script_says_at_its_head_what_linux_does() {
    let mark = |text: &str| Script::parse("t.pkt", text).unwrap().mark().cloned();
    assert_eq!(mark("// Shows.\n// Linux: same\n"), Some(super::Mark::Same));
    let why = "it waits.".to_owned();
    assert_eq!(mark("// Linux: untried, none.\n"), Some(super::Mark::Untried("none.".into())));
    assert_eq!(mark("// Shows.\n// Linux: differs, it waits.\n\n"), Some(super::Mark::Differs(why)));
    assert_eq!(mark("// Shows that Linux: same\n\n// Linux: same\n"), None);
}
