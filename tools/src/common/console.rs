//! What people read: diagnostics on stderr. Data goes to stdout, and is not written here.

use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

/// Stdout, buffered: whoever writes must flush.
pub(crate) fn stdout() -> BufWriter<StdoutLock<'static>> {
    BufWriter::new(io::stdout().lock())
}

/// Tells something in passing.
pub(crate) fn tell(text: &dyn Display) {
    // Nobody to tell is no reason to stop.
    let _ = writeln!(io::stderr(), "ustack: {text}");
}

/// Tells what ends us.
pub(crate) fn error(text: &str) {
    let (red, plain) = if colours() { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
    let _ = writeln!(io::stderr(), "{red}error:{plain} {text}");
}

/// Whether stderr shows colours: it is a terminal, and nobody asked for none (no-color.org).
fn colours() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Tells something in passing, in the words of `format!`.
macro_rules! note {
    ($($arg:tt)*) => { $crate::common::console::tell(&format_args!($($arg)*)) };
}
pub(crate) use note;
