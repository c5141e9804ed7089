//! Captures on the kernel's side, and what tshark says of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::kernel::Namespace;
use crate::process::{Running, run, tool};
use crate::scratch::Scratch;
use crate::wait::{self, SOON};

/// What tshark says when frames were lost, late or doubled on the way.
pub const LOSS: &[&str] = &[
    "Previous segment(s) not captured",
    "This frame is a (suspected) out-of-order segment",
    "This frame is a (suspected) retransmission",
    "This frame is a (suspected) fast retransmission",
    "This frame is a (suspected) spurious retransmission",
    "Duplicate ACK",
];

/// What it says when a receiver falls behind its sender, as any may on a busy machine.
pub const FLOW_CONTROL: &[&str] = &[
    "TCP window specified by the receiver is now completely full",
    "TCP Zero Window segment",
    "TCP Zero Window Probe",
    "ACK to a TCP Zero Window Probe",
    "TCP keep-alive segment",
    "ACK to a TCP keep-alive segment",
];

/// What it says when an answer came later than its sender waited for it, as it may on a busy machine.
pub const LATE: &[&str] = &[
    "This frame is a (suspected) retransmission",
    "This frame is a (suspected) spurious retransmission",
    "Duplicate ACK",
    "D-SACK Sequence",
];

/// What it says of an ACK that the FIN behind it has overtaken, and of a window that opens while a probe is under way.
pub const OVERTAKEN: &[&str] = &[
    "TCP keep-alive segment",
    "ACK to a TCP keep-alive segment",
    "ACKed segment that wasn't captured (common at capture start)",
];

/// What it says when the receiver reports that something came twice.
pub const DSACK: &[&str] = &["D-SACK Sequence"];

/// What it says of a SYN with data, or that asks for a cookie, and of its answer.
pub const FAST_OPEN: &[&str] =
    &["TCP SYN with TFO Cookie", "TCP SYN-ACK accepting TFO data", "TCP SYN-ACK ignoring TFO data"];

/// What it says when a connection is reset.
pub const RESET: &[&str] = &["Connection reset (RST)"];

/// Room for frames that tcpdump has not written yet, in KiB: about 10,000 frames.
const BUFFER: &str = "16384";

/// A tcpdump that runs; ended when dropped.
pub struct Capture {
    dump: Option<Running>,
    path: PathBuf,
    folder: Scratch,
}

impl Capture {
    /// Captures whole frames on an interface, from now on. An empty filter takes all.
    ///
    /// # Panics
    /// tcpdump does not start.
    #[track_caller]
    pub fn start(namespace: &Namespace, interface: &str, filter: &str) -> Self {
        Self::start_short(namespace, interface, filter, 0)
    }

    /// The same, but for the first `snaplen` bytes of each frame.
    ///
    /// # Panics
    /// tcpdump does not start.
    #[track_caller]
    pub fn start_short(namespace: &Namespace, interface: &str, filter: &str, snaplen: u32) -> Self {
        let folder = Scratch::new();
        let path = folder.file("capture.pcap");
        let mut command = tool("tcpdump");
        command.args(["--immediate-mode", "-U", "-B", BUFFER, "-s", &snaplen.to_string(), "-i", interface]);
        if nix::unistd::geteuid().is_root() {
            // Else it would drop to a user who may not write our file.
            command.args(["-Z", "root"]);
        }
        command.arg("-w").arg(&path).args((!filter.is_empty()).then_some(filter));
        let dump = namespace.spawn(&mut command);
        dump.wait_complaint("listening on", SOON);
        Self { dump: Some(dump), path, folder }
    }

    /// Waits until a frame that tcpdump's filter takes has been captured.
    ///
    /// # Panics
    /// None is within `limit`.
    #[track_caller]
    pub fn wait_frame(&self, filter: &str, limit: Duration) {
        self.wait_frames(1, filter, limit);
    }

    /// Waits until so many frames that tcpdump's filter takes have been captured.
    ///
    /// # Panics
    /// There are fewer after `limit`.
    #[track_caller]
    pub fn wait_frames(&self, count: usize, filter: &str, limit: Duration) {
        let wanted = count.to_string();
        wait::until(&format!("{count} frames `{filter}`"), limit, || {
            // The last frame may be half written; those before it are read all the same.
            let mut read = tool("tcpdump");
            read.args(["-n", "-t", "-c", &wanted, "-r"]).arg(&self.path).arg(filter);
            run(&mut read, SOON).text().lines().count() >= count
        });
    }

    /// Ends the capture when nothing has been written for a moment.
    ///
    /// # Panics
    /// Frames do not cease, or tcpdump does not end.
    #[must_use]
    #[track_caller]
    pub fn stop(mut self) -> Captured {
        const QUIET: Duration = Duration::from_millis(100);
        let mut last = (0, wait::now());
        wait::until("the wire to be quiet", SOON, || {
            let size = std::fs::metadata(&self.path).map_or(0, |file| file.len());
            if size != last.0 {
                last = (size, wait::now());
            }
            last.1.elapsed() >= QUIET
        });
        let dump = self.dump.take().expect("it is ended once");
        dump.interrupt();
        let told = dump.finish(SOON).success().complaint();
        // What tshark misses for want of room it would blame on the stack.
        assert!(told.contains("\n0 packets dropped by kernel"), "the capture is not whole: {told}");
        Captured { path: self.path, _folder: self.folder }
    }
}

/// The file of a capture; removed when dropped, unless the test has failed.
pub struct Captured {
    path: PathBuf,
    _folder: Scratch,
}

impl Captured {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many frames tcpdump's filter takes.
    ///
    /// # Panics
    /// tcpdump cannot read the file.
    #[track_caller]
    pub fn count(&self, filter: &str) -> usize {
        let mut read = tool("tcpdump");
        read.args(["-n", "-t", "-r"]).arg(&self.path).arg(filter);
        run(&mut read, SOON).success().text().lines().count()
    }
}

/// How much tshark minds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Usual workflow.
    Chat,
    /// Worth a look.
    Note,
    /// Unusual.
    Warn,
    /// Malformed, or a wrong checksum.
    Error,
}

/// One kind of finding of tshark's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it minds.
    pub severity: Severity,
    /// In how many frames.
    pub count: u32,
    /// Of which protocol.
    pub protocol: String,
    /// What it says.
    pub summary: String,
}

/// What tshark finds in a capture, with the checks of all checksums on.
///
/// # Panics
/// tshark is missing or cannot read the file.
#[track_caller]
pub fn findings(capture: &Path) -> Vec<Finding> {
    let mut command = tool("tshark");
    command.arg("-r").arg(capture).args(["-q", "-z", "expert"]);
    for protocol in ["ip", "tcp", "udp"] {
        command.args(["-o", &format!("{protocol}.check_checksum:TRUE")]);
    }
    let mut found = parse_findings(&run(&mut command, SOON * 3).success().text());
    found.retain(|finding| JUDGED.contains(&finding.protocol.as_str()));
    found
}

/// The protocols that are the stack's. In the payloads of the tests tshark sees whatever it guesses.
const JUDGED: [&str; 12] = [
    "Frame",
    "Ethernet",
    "ARP/RARP",
    "ARP",
    "IPv4",
    "IPv6",
    "ICMP",
    "ICMPv6",
    "IGMP",
    "TCP",
    "UDP",
    "Malformed",
];

/// Fails if tshark finds anything above a chat in the capture, but for findings whose text begins with one of
/// `allowed`. That a connection closes is no finding.
///
/// # Panics
/// There is such a finding, or tshark cannot read the file.
#[track_caller]
pub fn assert_clean_under_tshark(capture: &Path, allowed: &[&str]) {
    let found = findings(capture);
    // A kernel that repeats its FIN gets two ACKs of it: the first ends the connection, to the second it says that
    // there is none.
    let repeats = found.iter().any(|finding| finding.summary.starts_with(LATE[0]));
    let late = if repeats && allowed.contains(&LATE[0]) { RESET } else { &[] };
    let allowed = [allowed, late].concat();
    let bad: Vec<Finding> = found.into_iter().filter(|finding| !is_allowed(finding, &allowed)).collect();
    assert!(bad.is_empty(), "{}: tshark finds {bad:#?}", capture.display());
}

fn is_allowed(finding: &Finding, allowed: &[&str]) -> bool {
    const ALWAYS: [&str; 2] =
        ["This frame initiates the connection closing", "This frame undergoes the connection closing"];
    finding.severity == Severity::Chat
        || ALWAYS.iter().chain(allowed).any(|start| finding.summary.starts_with(start))
}

/// Reads the tables that `-z expert` prints: a heading `Warns (3)`, a line of names, then frequency, group, protocol
/// and summary.
fn parse_findings(text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut severity = None;
    for line in text.lines() {
        if let Some((heading, _)) =
            line.split_once(" (").filter(|_| line.ends_with(')') && !line.starts_with(' '))
        {
            severity = match heading {
                "Errors" => Some(Severity::Error),
                "Warns" => Some(Severity::Warn),
                "Notes" => Some(Severity::Note),
                "Chats" => Some(Severity::Chat),
                // The comments of the frames are no findings.
                _ => None,
            };
            continue;
        }
        let mut words = line.split_whitespace();
        let (Some(severity), Some(Ok(count))) = (severity, words.next().map(str::parse)) else { continue };
        let (Some(_group), Some(protocol)) = (words.next(), words.next()) else { continue };
        let summary = words.collect::<Vec<_>>().join(" ");
        found.push(Finding { severity, count, protocol: protocol.to_owned(), summary });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "
Errors (1)
=============
   Frequency      Group           Protocol  Summary
           1   Checksum                TCP  Bad checksum [should be 0x1234]

Warns (12)
=============
   Frequency      Group           Protocol  Summary
          12   Sequence                TCP  TCP Zero Window segment

Chats (3)
=============
   Frequency      Group           Protocol  Summary
           3   Sequence                TCP  Connection finish (FIN)

Comments (1)
=============
           1    Comment              Frame  why=rto
";

    #[test]
    fn a_report_is_read() {
        let found = parse_findings(REPORT);
        assert_eq!(found.len(), 3);
        let worst = &found[0];
        assert_eq!((worst.severity, worst.count, worst.protocol.as_str()), (Severity::Error, 1, "TCP"));
        assert_eq!(worst.summary, "Bad checksum [should be 0x1234]");
        assert_eq!(found[1].count, 12);
    }

    #[test]
    fn only_what_is_allowed_passes() {
        let found = parse_findings(REPORT);
        let passed = |allowed: &[&str]| found.iter().filter(|finding| is_allowed(finding, allowed)).count();
        assert_eq!(passed(&[]), 1, "the chat");
        assert_eq!(passed(&["TCP Zero Window"]), 2);
        assert_eq!(passed(&["TCP Zero Window", "Bad checksum"]), 3);
    }
}
