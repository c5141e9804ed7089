//! Rust source as tokens: enough to find the paths it names, without its comments, its strings and its unit tests.

/// One token and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Counted from 1.
    pub line: usize,
    /// What it is.
    pub kind: Kind,
}

/// What a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An identifier or a keyword.
    Word(String),
    /// A character that is neither.
    Mark(char),
    /// A number, a string or a character; its content plays no part.
    Literal,
}

impl Token {
    /// True if it is this word.
    pub fn is_word(&self, word: &str) -> bool {
        matches!(&self.kind, Kind::Word(text) if text == word)
    }

    /// True if it is this character.
    pub fn is_mark(&self, mark: char) -> bool {
        self.kind == Kind::Mark(mark)
    }

    fn word(&self) -> Option<&str> {
        match &self.kind {
            Kind::Word(text) => Some(text),
            _ => None,
        }
    }
}

/// A source file, taken apart.
pub struct Source {
    /// All tokens, those of unit tests included.
    pub tokens: Vec<Token>,
    /// The comments, line by line.
    pub comments: Vec<(usize, String)>,
    /// The number of lines.
    pub lines: usize,
}

/// A path that the source names, from the root of its crate or of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Where it begins.
    pub line: usize,
    /// Its segments: `["crate", "wire", "tcp"]`, `["std", "time"]`; `*` for all.
    pub path: Vec<String>,
}

impl Source {
    /// Takes a source text apart.
    pub fn read(text: &str) -> Self {
        let mut lexer = Lexer { rest: text, line: 1, tokens: Vec::new(), comments: Vec::new() };
        lexer.run();
        Self { tokens: lexer.tokens, comments: lexer.comments, lines: text.lines().count() }
    }

    /// The tokens without what is compiled for unit tests only, and the names of the modules `mod name;` among that.
    pub fn without_tests(&self) -> (Vec<Token>, Vec<String>) {
        let mut kept = Vec::new();
        let mut modules = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            let Some(end) = attribute_end(&self.tokens, at) else {
                kept.push(self.tokens[at].clone());
                at += 1;
                continue;
            };
            if !is_for_tests(&self.tokens[at..end]) {
                kept.extend_from_slice(&self.tokens[at..end]);
                at = end;
                continue;
            }
            let mut item = end;
            while let Some(next) = attribute_end(&self.tokens, item) {
                item = next;
            }
            let end = item_end(&self.tokens, item);
            modules.extend(declared_module(&self.tokens[item..end]));
            at = end;
        }
        (kept, modules)
    }
}

/// The paths in these tokens that begin at a root: `crate`, `super` (made absolute: the tokens stand in `module`), or
/// one of `roots`. Groups are taken apart: `use crate::{a, b::{c, d}}` names three paths.
pub fn named_paths(tokens: &[Token], module: &[String], roots: &[&str]) -> Vec<Named> {
    let mut found = Vec::new();
    // Inline modules around the token, with the depth of braces at which each ends.
    let mut inline: Vec<(String, usize)> = Vec::new();
    let mut depth = 0;
    for at in 0..tokens.len() {
        let token = &tokens[at];
        if token.is_mark('{') {
            depth += 1;
            if at >= 2 && tokens[at - 2].is_word("mod") {
                inline.extend(tokens[at - 1].word().map(|name| (name.to_owned(), depth)));
            }
        } else if token.is_mark('}') {
            inline.pop_if(|(_, end)| *end == depth);
            depth = depth.saturating_sub(1);
        }
        let Some(word) = token.word() else { continue };
        let begins =
            is_path_mark(tokens, at + 1) && !(at >= 2 && is_path_mark(tokens, at - 2) && !is_use(tokens, at));
        if !begins {
            continue;
        }
        let mut prefix = vec!["crate".to_owned()];
        prefix.extend(module.iter().cloned());
        prefix.extend(inline.iter().map(|(name, _)| name.clone()));
        match word {
            "crate" => prefix.truncate(1),
            "super" => prefix.truncate((prefix.len() - 1).max(1)),
            other if roots.contains(&other) => prefix = vec![other.to_owned()],
            _ => continue,
        }
        let mut paths = Vec::new();
        read_tree(tokens, at + 3, prefix, &mut paths);
        found.extend(paths.into_iter().map(|path| Named { line: token.line, path }));
    }
    found
}

/// True if the path at `at` is the whole tree of `use ::name`, whose two leading colons belong to it.
fn is_use(tokens: &[Token], at: usize) -> bool {
    at >= 3 && tokens[at - 3].is_word("use")
}

fn is_path_mark(tokens: &[Token], at: usize) -> bool {
    matches!(tokens.get(at..at + 2), Some([a, b]) if a.is_mark(':') && b.is_mark(':'))
}

/// Reads what follows `prefix::`, and returns where it ends.
fn read_tree(
    tokens: &[Token],
    mut at: usize,
    mut prefix: Vec<String>,
    found: &mut Vec<Vec<String>>,
) -> usize {
    loop {
        match tokens.get(at) {
            Some(token) if token.is_mark('{') => {
                at += 1;
                while let Some(token) = tokens.get(at).filter(|token| !token.is_mark('}')) {
                    // A comma, or the name behind `as`.
                    let begins =
                        token.word().is_some_and(|word| word != "as") && !tokens[at - 1].is_word("as");
                    at = match begins || token.is_mark('*') || token.is_mark('{') {
                        true => read_tree(tokens, at, prefix.clone(), found),
                        false => at + 1,
                    };
                }
                return at + 1;
            }
            Some(token) if token.is_mark('*') => {
                prefix.push("*".to_owned());
                break;
            }
            Some(Token { kind: Kind::Word(word), .. }) => {
                match word.as_str() {
                    "super" => prefix.truncate((prefix.len() - 1).max(1)),
                    "self" => {}
                    other => prefix.push(other.to_owned()),
                }
                at += 1;
                if !is_path_mark(tokens, at) {
                    found.push(prefix);
                    return at;
                }
                at += 2;
            }
            // `path::<T>`: the path ends before it.
            _ => break,
        }
    }
    found.push(prefix);
    at + 1
}

/// Where the attribute that begins at `at` ends; `None` if none begins there.
fn attribute_end(tokens: &[Token], at: usize) -> Option<usize> {
    let open = at + 1 + usize::from(tokens.get(at + 1).is_some_and(|token| token.is_mark('!')));
    let begins = tokens.get(at)?.is_mark('#') && tokens.get(open)?.is_mark('[');
    begins.then(|| {
        let mut depth = 0;
        let end = (open..tokens.len()).find(|at| {
            depth += i32::from(tokens[*at].is_mark('[')) - i32::from(tokens[*at].is_mark(']'));
            depth == 0
        });
        end.map_or(tokens.len(), |end| end + 1)
    })
}

/// `#[cfg(test)]` or `#[cfg(all(test, ...))]`; `any` and `not` do not count.
fn is_for_tests(attribute: &[Token]) -> bool {
    let words: Vec<&str> = attribute.iter().filter_map(Token::word).collect();
    matches!(words.as_slice(), ["cfg", "test"] | ["cfg", "all", "test", ..])
}

/// Where the item that begins at `at` ends: behind its semicolon or its block.
fn item_end(tokens: &[Token], at: usize) -> usize {
    let mut depth = 0_i32;
    for (index, token) in tokens.iter().enumerate().skip(at) {
        match token.kind {
            Kind::Mark('{' | '(' | '[') => depth += 1,
            Kind::Mark('}' | ')' | ']') => {
                depth -= 1;
                if depth < 0 {
                    return index;
                }
                if depth == 0 && token.is_mark('}') {
                    return index + 1;
                }
            }
            Kind::Mark(';') if depth == 0 => return index + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// The name in `mod name;`, if the item is that.
fn declared_module(item: &[Token]) -> Option<String> {
    let [.., keyword, name, end] = item else { return None };
    (keyword.is_word("mod") && end.is_mark(';')).then(|| name.word().map(str::to_owned))?
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    tokens: Vec<Token>,
    comments: Vec<(usize, String)>,
}

impl Lexer<'_> {
    fn run(&mut self) {
        while let Some(first) = self.rest.chars().next() {
            if self.rest.starts_with("//") {
                let len = self.rest.find('\n').unwrap_or(self.rest.len());
                self.comment(len);
            } else if self.rest.starts_with("/*") {
                self.comment(block_comment_len(self.rest));
            } else if let Some(len) = string_len(self.rest) {
                self.token(len, Kind::Literal);
            } else if first == '\'' {
                match char_len(self.rest) {
                    Some(len) => self.token(len, Kind::Literal),
                    None => self.skip(1),
                }
            } else if first.is_ascii_digit() {
                let len = self.rest.find(|c: char| !is_word_char(c)).unwrap_or(self.rest.len());
                self.token(len, Kind::Literal);
            } else if is_word_char(first) {
                let raw = if self.rest.starts_with("r#") { 2 } else { 0 };
                let word = &self.rest[raw..];
                let word = &word[..word.find(|c: char| !is_word_char(c)).unwrap_or(word.len())];
                self.token(raw + word.len(), Kind::Word(word.to_owned()));
            } else if first.is_whitespace() {
                self.skip(first.len_utf8());
            } else {
                self.token(first.len_utf8(), Kind::Mark(first));
            }
        }
    }

    fn token(&mut self, len: usize, kind: Kind) {
        self.tokens.push(Token { line: self.line, kind });
        self.skip(len);
    }

    fn comment(&mut self, len: usize) {
        for (index, text) in self.rest[..len].lines().enumerate() {
            self.comments.push((self.line + index, text.to_owned()));
        }
        self.skip(len);
    }

    fn skip(&mut self, len: usize) {
        self.line += self.rest[..len].matches('\n').count();
        self.rest = &self.rest[len..];
    }
}

fn is_word_char(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// Comments nest.
fn block_comment_len(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of the string literal that begins here, with its prefix (`b`, `c`, `r#`); `None` if none does.
fn string_len(text: &str) -> Option<usize> {
    let prefix = text.len() - text.trim_start_matches(['b', 'c', 'r']).len();
    let raw = text[..prefix].contains('r');
    let hashes = if raw { text[prefix..].len() - text[prefix..].trim_start_matches('#').len() } else { 0 };
    let open = prefix + hashes;
    if prefix > 2 || !text[open..].starts_with('"') {
        return None;
    }
    let body = &text[open + 1..];
    let len = if raw {
        let close = format!("\"{}", "#".repeat(hashes));
        body.find(&close).map(|at| at + close.len())
    } else {
        let mut escaped = false;
        let close = body.bytes().position(|byte| {
            let closes = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            closes
        });
        close.map(|at| at + 1)
    };
    Some(len.map_or(text.len(), |len| open + 1 + len))
}

/// The length of the character literal that begins here; `None` if it is a lifetime.
fn char_len(text: &str) -> Option<usize> {
    let body = &text[1..];
    let first = body.chars().next()?;
    if first == '\\' {
        let escape = 1 + body[1..].chars().next()?.len_utf8();
        return body[escape..].find('\'').map(|at| 1 + escape + at + 1);
    }
    body[first.len_utf8()..].starts_with('\'').then(|| 1 + first.len_utf8() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<String> {
        let module = ["tcp".to_owned(), "input".to_owned()];
        let (tokens, _) = Source::read(text).without_tests();
        named_paths(&tokens, &module, &["std"]).into_iter().map(|named| named.path.join("::")).collect()
    }

    #[test]
    fn groups_are_taken_apart() {
        assert_eq!(
            paths("use crate::{a, b::{c, d as e}, f::*, g::{self, h}};"),
            ["crate::a", "crate::b::c", "crate::b::d", "crate::f::*", "crate::g", "crate::g::h"]
        );
        assert_eq!(paths("pub(crate) use crate :: wire ;"), ["crate::wire"]);
        assert_eq!(paths("use ::std::{io, time::Instant};"), ["std::io", "std::time::Instant"]);
    }

    #[test]
    fn paths_in_code_are_found() {
        assert_eq!(paths("fn f(x: &crate::a::B<crate::c::D>) {}"), ["crate::a::B", "crate::c::D"]);
        assert_eq!(paths("let x = crate::a::f::<u8>(); other::crate_name::x();"), ["crate::a::f"]);
        assert_eq!(paths("let t = std::time::Instant::now();"), ["std::time::Instant::now"]);
        assert_eq!(paths("pub(in crate::tcp) fn f() {} pub(crate) fn g() {}"), ["crate::tcp"]);
    }

    #[test]
    fn super_is_made_absolute() {
        assert_eq!(paths("use super::output;"), ["crate::tcp::output"]);
        assert_eq!(paths("use super::super::ip::route;"), ["crate::ip::route"]);
        assert_eq!(
            paths("mod inner { use super::x; } use super::y;"),
            ["crate::tcp::input::x", "crate::tcp::y"]
        );
    }

    #[test]
    fn comments_strings_and_tests_name_nothing() {
        assert_eq!(
            paths("// crate::a\n/* crate::b /* crate::c */ crate::d */ \"crate::e\" r#\"crate::f\"#"),
            [""; 0]
        );
        assert_eq!(paths("#[cfg(test)]\nmod tests { use crate::a::b; }\nuse crate::c;"), ["crate::c"]);
        assert_eq!(paths("#[cfg(test)] #[allow(x)] fn f() { crate::a::b() } use crate::c;"), ["crate::c"]);
        assert_eq!(
            paths("#[cfg(not(test))] use crate::a; #[cfg(any(test, x))] use crate::b;"),
            ["crate::a", "crate::b"]
        );
        assert_eq!(
            paths("fn f<'a>(c: char, q: &'a str) { c == '\"' || c == '\\''; crate::a::b() }"),
            ["crate::a::b"]
        );
    }

    #[test]
    fn modules_of_tests_are_named() {
        let (_, modules) =
            Source::read("mod a;\n#[cfg(test)]\nmod tests;\n#[cfg(test)]\npub(crate) mod testing;")
                .without_tests();
        assert_eq!(modules, ["tests", "testing"]);
    }

    #[test]
    fn lines_are_counted() {
        let source = Source::read("/* one\ntwo */\n\"three\n\"\n// five\nsix");
        assert_eq!(
            source.comments,
            [(1, "/* one".to_owned()), (2, "two */".to_owned()), (5, "// five".to_owned())]
        );
        assert_eq!(source.tokens.last().map(|token| token.line), Some(6));
        assert_eq!(source.lines, 6);
    }
}
