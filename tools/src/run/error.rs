//! Why a script cannot be run: it cannot be read, or not be understood.

use std::fmt;

/// A script that is not understood: where, and what could have stood there.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ParseError {
    /// The script's name, as it was given.
    pub file: String,
    /// Counts from 1.
    pub line: usize,
    /// Counts characters from 1.
    pub column: usize,
    /// What was expected, and what was found.
    pub message: String,
    /// The line as it stands there.
    pub source_line: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, message, source_line } = self;
        writeln!(f, "{file}:{line}:{column}: {message}")?;
        let before: String =
            source_line.chars().take(column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        write!(f, "{line:>5} | {source_line}\n      | {before}^")
    }
}

impl std::error::Error for ParseError {}

/// Why a script was not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("cannot read {0}: {1}")]
    Read(String, std::io::Error),
    /// It is not understood.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// A setting for all scripts makes no sense.
    #[error("{0}")]
    Setting(String),
    /// There is no script in a folder.
    #[error("there is no *.pkt in {0}")]
    NoScripts(String),
}
