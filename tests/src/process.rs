//! Processes with bounded time and captured output, and the tools that tests call.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait;

/// Where Debian keeps tools that not every user has on the path.
const MORE_FOLDERS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// Finds a program on `PATH` or in the system's folders.
///
/// # Errors
/// It is not there; the message says how to get it.
pub fn find_tool(name: &str) -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(MORE_FOLDERS.iter().map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .ok_or_else(|| format!("`{name}` is not on PATH: apt-get install {}", package_of(name)))
}

/// The Debian package that holds a tool.
fn package_of(tool: &str) -> &str {
    match tool {
        "ip" | "tc" | "ss" => "iproute2",
        "ping" => "iputils-ping",
        "nc" => "netcat-openbsd",
        "nginx" => "nginx-light",
        "unshare" | "nsenter" => "util-linux",
        other => other,
    }
}

/// A command that calls a tool, wherever it is.
///
/// # Panics
/// It is missing: tests that need it say so first, with [`crate::kernel::ready`].
pub fn tool(name: &str) -> Command {
    Command::new(find_tool(name).unwrap_or_else(|reason| panic!("{reason}")))
}

/// A process that has ended.
#[derive(Debug)]
pub struct Finished {
    /// The command, for messages.
    pub command: String,
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to its standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to its standard error.
    pub stderr: Vec<u8>,
}

impl Finished {
    /// The standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The standard error as text.
    pub fn complaint(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// The same, if it ended with 0.
    ///
    /// # Panics
    /// It did not; the message holds what it wrote.
    #[track_caller]
    #[must_use]
    pub fn success(self) -> Self {
        assert!(
            self.status.success(),
            "{} ended with {}\n{}{}",
            self.command,
            self.status,
            self.text(),
            self.complaint()
        );
        self
    }
}

/// Runs a command to its end.
///
/// # Panics
/// It cannot be started, or does not end within `limit`.
#[track_caller]
pub fn run(command: &mut Command, limit: Duration) -> Finished {
    Running::spawn(command).finish(limit)
}

/// A process that runs; killed when dropped.
pub struct Running {
    command: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Stream,
    stderr: Stream,
    /// How much of the standard output the lines that were asked for took.
    taken: usize,
}

impl Running {
    /// Starts a command with its input and outputs connected to us.
    ///
    /// # Panics
    /// It cannot be started.
    #[track_caller]
    pub fn spawn(command: &mut Command) -> Self {
        let name = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let stdin = child.stdin.take();
        let stdout = Stream::new(child.stdout.take().expect("its output is piped"));
        let stderr = Stream::new(child.stderr.take().expect("its output is piped"));
        Self { command: name, child, stdin, stdout, stderr, taken: 0 }
    }

    /// The process number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// True if it has not ended.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// True if this text was on its standard output.
    pub fn has_said(&self, text: &str) -> bool {
        String::from_utf8_lossy(&self.stdout.so_far()).contains(text)
    }

    /// Everything it has written to its standard error so far.
    pub fn complaint(&self) -> String {
        String::from_utf8_lossy(&self.stderr.so_far()).into_owned()
    }

    /// Writes bytes to its standard input.
    ///
    /// # Panics
    /// It does not read any more, or its input was closed.
    #[track_caller]
    pub fn write(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().expect("its input is open");
        stdin
            .write_all(bytes)
            .and_then(|()| stdin.flush())
            .unwrap_or_else(|error| panic!("{}: {error}", self.command));
    }

    /// Ends its standard input.
    pub fn close_input(&mut self) {
        self.stdin = None;
    }

    /// Waits for the next line of its standard output that begins so, skipping others, and returns it.
    ///
    /// # Panics
    /// None comes within `limit`, or the process ends before; the message holds what it wrote.
    #[track_caller]
    pub fn wait_line(&mut self, start: &str, limit: Duration) -> String {
        let taken = self.taken;
        let found = self.stdout.wait(limit, |bytes| find_line(bytes, taken, start));
        let Some((line, end)) = found else {
            panic!(
                "{}: no line `{start}...` within {limit:?}\n{}{}",
                self.command,
                String::from_utf8_lossy(&self.stdout.so_far()),
                self.complaint()
            );
        };
        self.taken = end;
        line
    }

    /// Waits until its standard error holds this text.
    ///
    /// # Panics
    /// It does not within `limit`, or the process ends before.
    #[track_caller]
    pub fn wait_complaint(&self, text: &str, limit: Duration) {
        let found =
            self.stderr.wait(limit, |bytes| String::from_utf8_lossy(bytes).contains(text).then_some(()));
        assert!(found.is_some(), "{}: no `{text}` within {limit:?}\n{}", self.command, self.complaint());
    }

    /// Sends it a signal; one that has ended does not mind.
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).expect("process numbers fit");
        // The child is not reaped before `finish` or `drop`, so its number is still its own.
        let _ = kill(Pid::from_raw(id), signal);
    }

    /// Asks it to end as Ctrl-C does.
    pub fn interrupt(&self) {
        self.signal(Signal::SIGINT);
    }

    /// Ends its input and waits for its end.
    ///
    /// # Panics
    /// It does not end within `limit`: it is killed, and the message holds what it wrote.
    #[track_caller]
    pub fn finish(mut self, limit: Duration) -> Finished {
        self.close_input();
        let deadline = wait::now() + limit;
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if wait::now() < deadline => std::thread::park_timeout(Duration::from_millis(2)),
                Ok(None) => panic!(
                    "{} still runs after {limit:?}\n{}{}",
                    self.command,
                    String::from_utf8_lossy(&self.stdout.so_far()),
                    self.complaint()
                ),
                Err(error) => panic!("{}: {error}", self.command),
            }
        };
        let command = std::mem::take(&mut self.command);
        Finished { command, status, stdout: self.stdout.whole(), stderr: self.stderr.whole() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn find_line(bytes: &[u8], from: usize, start: &str) -> Option<(String, usize)> {
    let mut at = from;
    while let Some(len) = bytes[at..].iter().position(|byte| *byte == b'\n') {
        let line = String::from_utf8_lossy(&bytes[at..at + len]).into_owned();
        at += len + 1;
        if line.starts_with(start) {
            return Some((line, at));
        }
    }
    None
}

/// One output of a process, read by a thread as it comes, so that no pipe ever fills up.
struct Stream {
    shared: Arc<(Mutex<Log>, Condvar)>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Log {
    bytes: Vec<u8>,
    ended: bool,
}

impl Stream {
    fn new(mut from: impl Read + Send + 'static) -> Self {
        let shared = Arc::new((Mutex::new(Log::default()), Condvar::new()));
        let ours = Arc::clone(&shared);
        let reader = std::thread::spawn(move || {
            let (log, changed) = &*ours;
            let mut piece = vec![0; 65_536];
            loop {
                let len = from.read(&mut piece).unwrap_or(0);
                let mut log = log.lock().expect("no reader panics");
                log.bytes.extend_from_slice(&piece[..len]);
                log.ended = len == 0;
                changed.notify_all();
                if len == 0 {
                    return;
                }
            }
        });
        Self { shared, reader: Some(reader) }
    }

    fn so_far(&self) -> Vec<u8> {
        self.shared.0.lock().expect("no reader panics").bytes.clone()
    }

    /// Waits until `find` finds something; `None` after the limit or at the end.
    fn wait<T>(&self, limit: Duration, find: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
        let deadline = wait::now() + limit;
        let mut log = self.shared.0.lock().expect("no reader panics");
        loop {
            if let Some(found) = find(&log.bytes) {
                return Some(found);
            }
            let left = deadline.saturating_duration_since(wait::now());
            if log.ended || left.is_zero() {
                return None;
            }
            log = self.shared.1.wait_timeout(log, left).expect("no reader panics").0;
        }
    }

    /// All of it: the process has ended. What a grandchild still holds open is not waited for.
    fn whole(&mut self) -> Vec<u8> {
        let _ = self.wait::<()>(Duration::from_secs(2), |_| None);
        if let Some(reader) = self.reader.take_if(|reader| reader.is_finished()) {
            let _ = reader.join();
        }
        self.so_far()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::SOON;

    #[test]
    fn output_and_status_are_captured() {
        let done = run(tool("sh").args(["-c", "echo out; echo err >&2; exit 3"]), SOON);
        assert_eq!((done.text().as_str(), done.complaint().as_str()), ("out\n", "err\n"));
        assert_eq!(done.status.code(), Some(3));
    }

    #[test]
    fn more_output_than_a_pipe_holds_is_no_deadlock() {
        let done = run(tool("sh").args(["-c", "head -c 1000000 /dev/zero"]), SOON).success();
        assert_eq!(done.stdout.len(), 1_000_000);
    }

    #[test]
    #[should_panic(expected = "still runs")]
    fn a_process_that_does_not_end_fails() {
        let _ = run(tool("sleep").arg("60"), Duration::from_millis(20));
    }

    #[test]
    fn a_conversation_line_by_line() {
        let mut cat = Running::spawn(&mut tool("cat"));
        cat.write(b"noise\nready 1\nready 2\n");
        assert_eq!(cat.wait_line("ready", SOON), "ready 1");
        assert_eq!(cat.wait_line("ready", SOON), "ready 2");
        assert!(cat.is_running());
        let done = cat.finish(SOON).success();
        assert_eq!(done.text(), "noise\nready 1\nready 2\n");
    }

    #[test]
    fn a_missing_tool_says_how_to_get_it() {
        let reason = find_tool("no-such-tool").expect_err("it does not exist");
        assert!(reason.contains("apt-get install no-such-tool"), "{reason}");
        assert_eq!(package_of("nc"), "netcat-openbsd");
    }
}
