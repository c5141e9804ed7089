//! Colours, where they are wanted.

use std::io::{self, IsTerminal};

/// Whether colours are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Style {
    colours: bool,
}

/// What a colour stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    Plain,
    /// Of less importance.
    Dim,
    /// Of more.
    Strong,
    Good,
    /// The wire did something, and no harm.
    Odd,
    Bad,
}

impl Style {
    /// Colours if stdout is a terminal, and nobody asked for none (no-color.org).
    pub(crate) fn of_stdout() -> Self {
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { colours: io::stdout().is_terminal() && !no_colour }
    }

    /// The text in that colour.
    pub(crate) fn paint(self, paint: Paint, text: &str) -> String {
        let code = match paint {
            _ if !self.colours || text.is_empty() => return text.to_owned(),
            Paint::Plain => return text.to_owned(),
            Paint::Dim => "2",
            Paint::Strong => "1",
            Paint::Good => "32",
            Paint::Odd => "33",
            Paint::Bad => "31",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_surround_the_text_or_are_not_there() {
        assert_eq!(Style { colours: true }.paint(Paint::Bad, "lost"), "\x1b[31mlost\x1b[0m");
        assert_eq!(Style { colours: false }.paint(Paint::Bad, "lost"), "lost");
    }
}
