//! Decisions of observed connections as lines of JSON.
//!
//! ```json
//! {"t_us":1400000,"local":"10.9.0.2:7","remote":"10.9.0.1:40000","event":"rto_fired","in_flight":2000,"retries":1,"rto_us":600000}
//! ```
//!
//! One object a line: `t_us` counts microseconds of virtual time, or since the start; `event` is the decision's word,
//! and the rest are its fields ([`ustack::tcp::Decision`]): bytes, bytes per second, or as their names say. What is
//! infinite, unlimited or not there is `null`.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use ustack::Observation;
use ustack::tcp;

/// Where decisions are written to. Clones write to the same place.
#[derive(Clone)]
pub struct EventLog {
    sink: Arc<Mutex<Sink>>,
}

struct Sink {
    out: Box<dyn Write + Send>,
    lines: u64,
    /// What went wrong first; nothing is written after that.
    error: Option<io::Error>,
}

impl EventLog {
    /// Writes to a file; `-` is stdout.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(path: &Path) -> io::Result<Self> {
        if path.as_os_str() == "-" {
            return Ok(Self::to(io::stdout()));
        }
        Ok(Self::to(File::create(path)?))
    }

    /// Writes to `out`, whole lines at a time.
    pub fn to(out: impl Write + Send + 'static) -> Self {
        let out = Box::new(BufWriter::new(out));
        Self { sink: Arc::new(Mutex::new(Sink { out, lines: 0, error: None })) }
    }

    /// Writes a line, with fields of the caller's own before those of the decision: whose it is, if there are several.
    pub fn write(&self, observation: &Observation, of: &[(&str, &str)]) {
        let line = line(observation, of);
        let mut sink = self.lock();
        if sink.error.is_none() {
            sink.error = writeln!(sink.out, "{line}").err();
            sink.lines += 1;
        }
    }

    /// Sends on what waits.
    pub fn flush(&self) {
        let mut sink = self.lock();
        if sink.error.is_none() {
            sink.error = sink.out.flush().err();
        }
    }

    /// Sends on what waits, and tells how many lines there are.
    ///
    /// # Errors
    /// Something could not be written.
    pub fn finish(&self) -> io::Result<u64> {
        self.flush();
        let mut sink = self.lock();
        sink.error.take().map_or(Ok(sink.lines), Err)
    }

    fn lock(&self) -> MutexGuard<'_, Sink> {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for EventLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLog").field("lines", &self.lock().lines).finish_non_exhaustive()
    }
}

/// A decision as one object, without the end of the line.
pub fn line(observation: &Observation, of: &[(&str, &str)]) -> String {
    let Observation { at, local, remote, decision, .. } = observation;
    let mut text = format!("{{\"t_us\":{}", at.as_micros());
    let mut add = |name: &str, value: Value| {
        // Note: a map of serde_json would sort the fields by name. Writing to a string does not fail.
        let _ = write!(text, ",{}:{value}", Value::from(name));
    };
    of.iter().for_each(|&(name, value)| add(name, value.into()));
    add("local", local.to_string().into());
    add("remote", remote.to_string().into());
    add("event", decision.word().into());
    decision.fields().for_each(|(name, value)| add(name, plain(value)));
    text.push('}');
    text
}

fn plain(value: tcp::Value) -> Value {
    match value {
        tcp::Value::Number(number) => json!(number),
        tcp::Value::Word(word) => json!(word),
        tcp::Value::Nothing => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ustack::SocketId;
    use ustack::tcp::Decision;
    use ustack::time::{Units, at};

    #[test]
    fn a_line_is_an_object_whose_fields_keep_their_order() {
        let observation = Observation {
            at: at(1.secs()),
            socket: SocketId::default(),
            local: "10.9.0.2:7".parse().unwrap(),
            remote: "[fd09::1]:40000".parse().unwrap(),
            decision: Decision::Ssthresh { from: None, to: Some(7300) },
        };
        assert_eq!(
            line(&observation, &[("script", "a \"quoted\" name")]),
            r#"{"t_us":1000000,"script":"a \"quoted\" name","local":"10.9.0.2:7","remote":"[fd09::1]:40000","event":"ssthresh","from":null,"to":7300}"#
        );
    }
}
