//! The text of a script as characters with their places, and the small words that everything is read from.

use super::error::ParseError;

/// Where something begins in a script; both count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// Reads a script from its beginning to its end. It can be copied, to look ahead.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    file: &'a str,
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(file: &'a str, text: &'a str) -> Self {
        Self { file, text, at: 0 }
    }

    /// Where the next word begins.
    pub(super) fn place(&mut self) -> Place {
        self.skip();
        self.place_of(self.at)
    }

    /// Where the cursor stands, in bytes.
    pub(super) fn at(&mut self) -> usize {
        self.skip();
        self.at
    }

    /// What was written between `start` and here.
    pub(super) fn since(&self, start: usize) -> &'a str {
        self.text[start..self.at].trim_end()
    }

    /// Whether nothing but space and comments is left.
    pub(super) fn is_at_end(&mut self) -> bool {
        self.skip();
        self.at == self.text.len()
    }

    /// Whether a line ends before the next word.
    pub(super) fn is_at_line_end(&self) -> bool {
        let mut ahead = *self;
        ahead.skip();
        ahead.is_at_end() || self.text[self.at..ahead.at].contains('\n')
    }

    /// The next character, without space before it.
    pub(super) fn peek(&mut self) -> Option<char> {
        self.skip();
        self.rest().chars().next()
    }

    /// Whether `word` comes next, as it is.
    pub(super) fn sees(&mut self, word: &str) -> bool {
        self.skip();
        self.rest().starts_with(word)
    }

    /// Takes `word` if it comes next, as it is.
    pub(super) fn takes(&mut self, word: &str) -> bool {
        let seen = self.sees(word);
        if seen {
            self.at += word.len();
        }
        seen
    }

    /// Takes the name `word` if it comes next: no letter follows it.
    pub(super) fn takes_name(&mut self, word: &str) -> bool {
        let mut ahead = *self;
        let seen = ahead.name(false) == Some(word);
        if seen {
            *self = ahead;
        }
        seen
    }

    /// Takes `word`, which must come next.
    pub(super) fn expect(&mut self, word: &str) -> Result<(), ParseError> {
        if self.takes(word) { Ok(()) } else { Err(self.error(&format!("`{word}`"))) }
    }

    /// Takes a name: letters, digits, underscores; with `hyphens` also `fast-retransmit`.
    pub(super) fn name(&mut self, hyphens: bool) -> Option<&'a str> {
        self.skip();
        let rest = self.rest();
        let first = rest.chars().next()?;
        if !first.is_ascii_alphabetic() && first != '_' {
            return None;
        }
        let bytes = rest.as_bytes();
        let is_word = |at: usize| bytes.get(at).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
        let mut len = 1;
        while is_word(len) || (hyphens && bytes.get(len) == Some(&b'-') && is_word(len + 1)) {
            len += 1;
        }
        self.at += len;
        Some(&rest[..len])
    }

    /// Takes all up to `end`, which is taken too; lines may lie between.
    pub(super) fn until(&mut self, end: &str) -> Result<&'a str, ParseError> {
        let rest = self.rest();
        let Some(len) = rest.find(end) else {
            return Err(self.error(&format!("`{end}` before the end of the script")));
        };
        self.at += len + end.len();
        Ok(&rest[..len])
    }

    /// Takes the characters that `wanted` accepts, without space between.
    pub(super) fn run(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        self.skip();
        let rest = self.rest();
        let end = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// An unsigned number as it is written: `12`, `0x1f`, `.5`, `0.25`. The dots of `0.1...0.3` do not belong to it.
    pub(super) fn number(&mut self) -> Option<&'a str> {
        self.skip();
        let rest = self.rest();
        let bytes = rest.as_bytes();
        let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
        let mut len = 0;
        if rest.starts_with("0x") || rest.starts_with("0X") {
            len = 2;
            while bytes.get(len).is_some_and(u8::is_ascii_hexdigit) {
                len += 1;
            }
        } else {
            while digit(len) {
                len += 1;
            }
            if bytes.get(len) == Some(&b'.') && bytes.get(len + 1) != Some(&b'.') && (len > 0 || digit(1)) {
                len += 1;
                while digit(len) {
                    len += 1;
                }
            }
        }
        self.at += len;
        (len > 0).then(|| &rest[..len])
    }

    /// An error here: `expected` says what could stand here.
    pub(super) fn error(&mut self, expected: &str) -> ParseError {
        self.skip();
        let rest = self.rest();
        let line = rest.lines().next().unwrap_or("").trim_end();
        let end = line.find(char::is_whitespace).filter(|&at| at > 0).unwrap_or(line.len());
        let found =
            if rest.is_empty() { "the end of the script".to_owned() } else { format!("`{}`", &line[..end]) };
        self.error_at(self.at, format!("expected {expected}, found {found}"))
    }

    /// An error about what began at `at`.
    pub(super) fn error_at(&self, at: usize, message: String) -> ParseError {
        let Place { line, column } = self.place_of(at);
        let source = self.text.lines().nth(line - 1).unwrap_or("").to_owned();
        ParseError { file: self.file.to_owned(), line, column, message, source_line: source }
    }

    fn place_of(&self, at: usize) -> Place {
        let before = &self.text[..at];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Skips space and comments: `// ...`, `# ...`, `/* ... */`.
    fn skip(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            let len = if trimmed.starts_with("//") || trimmed.starts_with('#') {
                trimmed.find('\n').unwrap_or(trimmed.len())
            } else if trimmed.starts_with("/*") {
                trimmed.find("*/").map_or(trimmed.len(), |end| end + 2)
            } else {
                return;
            };
            self.at += len;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_of_three_kinds_are_space() {
        let mut cursor = Cursor::new("x", "// one\n# two\n /* three\n */ word");
        assert_eq!(cursor.place(), Place { line: 4, column: 5 });
        assert!(cursor.takes_name("word"));
        assert!(cursor.is_at_end());
    }

    #[test]
    fn three_dots_end_a_number() {
        let mut cursor = Cursor::new("x", "0.1...0.3 1...2 .5 0x1F 7.");
        let mut numbers = Vec::new();
        while !cursor.is_at_end() {
            numbers.extend(cursor.number());
            cursor.takes("...");
        }
        assert_eq!(numbers, ["0.1", "0.3", "1", "2", ".5", "0x1F", "7."]);
    }

    #[test]
    fn a_name_is_taken_whole() {
        let mut cursor = Cursor::new("x", "sackOK, fast-retransmit");
        assert!(!cursor.takes_name("sack"));
        assert!(cursor.takes_name("sackOK") && cursor.takes(","));
        assert_eq!(cursor.name(true), Some("fast-retransmit"));
    }
}
