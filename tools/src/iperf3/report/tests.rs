use super::*;

fn params() -> Params {
    Params { parallel: 2, time: 1, ..Params::default() }
}

fn told(form: Form, params: Params, result: &Result<(), Error>) -> String {
    let mut out = Vec::new();
    let mut report = Report::new(&mut out, form);
    let connected = [1, 3].map(|id| Connected {
        id,
        local: "10.9.0.2:40000".parse().unwrap(),
        remote: "10.9.0.1:5201".parse().unwrap(),
    });
    let udp = params.udp;
    let server = "10.9.0.1:5201".parse().unwrap();
    report.begin(&Beginning { server, cookie: "c".into(), params, connected: connected.into() }).unwrap();
    let tcp = TcpNow {
        cwnd: 14_480,
        snd_wnd: 65_536,
        rtt: Duration::from_micros(50),
        rttvar: Duration::ZERO,
        pmtu: 1500,
    };
    let counts = Counts { bytes: 1 << 20, packets: 8, retransmits: Some(2), ..Counts::default() };
    let parts = [1, 3].map(|id| Part { id, sender: true, counts, tcp: (!udp).then_some(tcp) });
    report.interval(&Interval { start: 0.0, end: 1.0, omitted: false, parts: parts.into() }).unwrap();
    let sent = Side { bytes: 1 << 20, seconds: 1.0, packets: 8, retransmits: Some(2), ..Side::default() };
    let received = Side { seconds: 1.01, lost: 2, jitter: 0.001, retransmits: None, ..sent };
    let streams = [1, 3].map(|id| EndStream { id, client_sends: true, sent, received, tcp: None });
    let congestion = [Some("cubic".into()), Some("reno".into())];
    report.end(&End { streams: streams.into(), cpu: [Share::default(); 2], congestion }).unwrap();
    report.finish(result).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn lines_look_like_those_of_iperf3() {
    let expected = "\
Connecting to host 10.9.0.1, port 5201
[  1] local 10.9.0.2 port 40000 connected to 10.9.0.1 port 5201
[  3] local 10.9.0.2 port 40000 connected to 10.9.0.1 port 5201
[ ID] Interval           Transfer     Bitrate         Retr  Cwnd
[  1]   0.00-1.00   sec  1.00 MBytes  8.39 Mbits/sec    2   14.1 KBytes
[  3]   0.00-1.00   sec  1.00 MBytes  8.39 Mbits/sec    2   14.1 KBytes
[SUM]   0.00-1.00   sec  2.00 MBytes  16.8 Mbits/sec    4
- - - - - - - - - - - - - - - - - - - - - - - - -
[ ID] Interval           Transfer     Bitrate         Retr
[  1]   0.00-1.00   sec  1.00 MBytes  8.39 Mbits/sec    2             sender
[  1]   0.00-1.01   sec  1.00 MBytes  8.31 Mbits/sec                  receiver
[  3]   0.00-1.00   sec  1.00 MBytes  8.39 Mbits/sec    2             sender
[  3]   0.00-1.01   sec  1.00 MBytes  8.31 Mbits/sec                  receiver
[SUM]   0.00-1.00   sec  2.00 MBytes  16.8 Mbits/sec    4             sender
[SUM]   0.00-1.01   sec  2.00 MBytes  16.6 Mbits/sec                  receiver

iperf Done.
";
    let told = told(Form::Lines, params(), &Ok(()));
    let told: Vec<_> = told.lines().map(str::trim_end).collect();
    assert_eq!(told, expected.lines().collect::<Vec<_>>());
}

#[test]
fn datagrams_are_counted_in_their_own_columns() {
    let text = told(Form::Lines, Params { udp: true, ..params() }, &Ok(()));
    assert!(text.contains("Bitrate         Total Datagrams\n"), "{text}");
    assert!(text.contains("[  1]   0.00-1.00   sec  1.00 MBytes  8.39 Mbits/sec  8  \n"), "{text}");
    assert!(text.contains("8.31 Mbits/sec  1.000 ms  2/8 (25%)  receiver\n"), "{text}");
}

#[test]
fn the_document_has_the_names_of_iperf3() {
    let json: Value = serde_json::from_str(&told(Form::Json, params(), &Ok(()))).unwrap();
    assert_eq!(json["start"]["test_start"]["num_streams"], 2);
    assert_eq!(json["intervals"][0]["sum"]["bytes"], 2 << 20);
    assert_eq!(json["intervals"][0]["streams"][1]["snd_cwnd"], 14_480);
    assert_eq!(json["end"]["sum_sent"]["retransmits"], 4);
    assert_eq!(json["end"]["streams"][0]["receiver"]["bytes"], 1 << 20);
    assert_eq!(json["end"]["sender_tcp_congestion"], "cubic");
    assert!(json["end"]["sum_received"].get("retransmits").is_none(), "nobody knows");
    assert!(json.get("error").is_none());
}

#[test]
fn a_failed_test_is_a_document_too() {
    let text = told(Form::Json, Params { udp: true, ..params() }, &Err(Error::Busy));
    let json: Value = serde_json::from_str(&text).unwrap();
    assert!(json["error"].as_str().unwrap().contains("busy"));
    assert_eq!(json["end"]["sum"]["lost_packets"], 4);
}
