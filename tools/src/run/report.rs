//! How a run went, and what a person is told if it did not go well.

use std::fmt;

use ustack::time::Duration;

pub use super::compare::Field;

/// A line of a script.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Line {
    /// The script's name, as it was given.
    pub file: String,
    /// Counts from 1.
    pub line: usize,
    /// What stands there.
    pub text: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// How the run of one script went.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Report {
    /// The script's name, as it was given.
    pub file: String,
    /// Microseconds that passed, of virtual time or of real time.
    pub virtual_us: u64,
    /// Packets that passed, in both directions.
    pub packets: u64,
    /// What `print` said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub printed: Vec<String>,
    /// What went wrong; `None` if nothing did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Box<Failure>>,
    /// Why it was not run; `None` if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// By how much at most something of the script itself happened too late.
    #[serde(skip)]
    pub(super) slip: Duration,
}

impl Report {
    /// Whether all was as the script expects.
    pub const fn passed(&self) -> bool {
        self.failure.is_none()
    }

    /// A script that was not run because of `why`.
    pub(super) fn skipped(file: &str, why: String) -> Self {
        let (printed, skipped, slip) = (Vec::new(), Some(why), Duration::ZERO);
        Self { file: file.to_owned(), virtual_us: 0, packets: 0, printed, failure: None, skipped, slip }
    }

    /// A script that could not begin.
    pub(super) fn never_begun(file: &str, message: &str) -> Self {
        let line = Line { file: file.to_owned(), line: 1, text: String::new() };
        let failure = Some(Failure::new(&line, message));
        Self { failure, skipped: None, ..Self::skipped(file, String::new()) }
    }
}

/// What went wrong in a script.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Failure {
    /// Where.
    #[serde(flatten)]
    pub line: Line,
    /// What, in a few words.
    pub message: String,
    /// Field by field, where there is something to compare.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Field>,
    /// The packet that the stack sent, in a script's words, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actual: Option<String>,
    /// What happened just before, oldest first, with the reason of each packet that was sent.
    pub recent: Vec<String>,
    /// What the connection decided last, oldest first: [`ustack::tcp::Decision`] as words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub decided: Vec<String>,
    /// Only a time differs.
    #[serde(skip)]
    pub(super) about_time: bool,
}

impl Failure {
    pub(super) fn new(line: &Line, message: impl Into<String>) -> Box<Self> {
        Box::new(Self {
            line: line.clone(),
            message: message.into(),
            fields: Vec::new(),
            actual: None,
            recent: Vec::new(),
            decided: Vec::new(),
            about_time: false,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, message, fields, actual, recent, decided, about_time: _ } = self;
        writeln!(f, "{line}: {message}")?;
        for (number, text) in (line.line..).zip(line.text.lines()) {
            writeln!(f, "{number:>5} | {text}")?;
        }
        if let Some(actual) = actual {
            writeln!(f, "  the packet: {actual}")?;
        }
        write_fields(f, fields)?;
        if !recent.is_empty() {
            writeln!(f, "  before that:")?;
            recent.iter().try_for_each(|line| writeln!(f, "    {line}"))?;
        }
        if !decided.is_empty() {
            writeln!(f, "  what the stack decided:")?;
            decided.iter().try_for_each(|line| writeln!(f, "    {line}"))?;
        }
        Ok(())
    }
}

/// Expected on the left, actual on the right, `!` before those that differ.
fn write_fields(f: &mut fmt::Formatter<'_>, fields: &[Field]) -> fmt::Result {
    if fields.is_empty() {
        return Ok(());
    }
    let expected = |field: &Field| field.expected.clone().unwrap_or_else(|| "(any)".into());
    let name_width = fields.iter().map(|field| field.name.len()).max().unwrap_or(0);
    let width = fields.iter().map(|field| expected(field).len()).max().unwrap_or(0).max("expected".len());
    writeln!(f, "    {:name_width$}  {:width$}  actual", "", "expected")?;
    for field in fields {
        let sign = if field.differs() { '!' } else { ' ' };
        writeln!(f, "  {sign} {:name_width$}  {:width$}  {}", field.name, expected(field), field.actual)?;
    }
    Ok(())
}
