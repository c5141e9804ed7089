//! What the RFCs ask of us, and what shows that we do it. The statements are listed by hand, a file an RFC; who shows
//! them is read from the comments of scripts and tests, which cite them: `RFC 9293 section 3.6 (MUST-12)`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::path::Path;

/// Statements of this kind are looked for; others, as `MAY-1`, ask for nothing.
const KINDS: [&str; 3] = ["MUST", "SHLD", "REC"];

/// The RFC that the table begins with.
const FIRST: u16 = 9293;

/// A statement's name: the RFC, and its number there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    /// Number of the RFC.
    pub rfc: u16,
    /// As in `MUST-12`.
    pub name: String,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RFC {} {}", self.rfc, self.name)
    }
}

/// What an RFC asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Its name.
    pub id: Id,
    /// Where the RFC says so.
    pub section: String,
    /// In a few words.
    pub what: String,
    /// Why we do not do so.
    pub deviates: Option<String>,
}

/// One RFC's statements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// Number of the RFC.
    pub rfc: u16,
    /// Its title.
    pub title: String,
    /// In the order of the file.
    pub statements: Vec<Statement>,
}

/// A place that cites a statement.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Citation {
    /// The statement.
    pub id: Id,
    /// What cites it: a script's path, a test's path and function, or None for a comment in code that is no test.
    pub shown_by: Option<String>,
    /// The file and the line of the comment's beginning.
    pub place: String,
}

impl List {
    /// Reads a file of statements: the RFC and its title on the first line, then `section id words` a line. What begins
    /// with blanks and `deviates:` belongs to the statement above; `#` begins a comment.
    ///
    /// # Errors
    /// A line that is neither, with its number.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.starts_with('#'));
        let (_, head) = lines.next().ok_or("an empty file")?;
        let (rfc, title) = head
            .strip_prefix("RFC ")
            .and_then(|head| head.split_once(' '))
            .ok_or("no RFC and title on top")?;
        let rfc: u16 = rfc.parse().map_err(|error| format!("RFC {rfc}: {error}"))?;
        let mut statements: Vec<Statement> = Vec::new();
        for (number, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
            let broken = |what: &str| format!("line {}: {what}: {line}", number + 1);
            if line.starts_with(' ') {
                let last = statements.last_mut().ok_or_else(|| broken("nothing stands above"))?;
                let more = line.trim();
                match (&mut last.deviates, more.strip_prefix("deviates: ")) {
                    (None, Some(why)) => last.deviates = Some(why.to_owned()),
                    (Some(why), None) => write!(why, " {more}").map_err(|error| error.to_string())?,
                    _ => return Err(broken("`deviates: why`, once")),
                }
                continue;
            }
            let mut words = line.split_whitespace();
            let (section, name) =
                words.next().zip(words.next()).ok_or_else(|| broken("section and name are missing"))?;
            let id = id(rfc, name).ok_or_else(|| broken("no name of a statement"))?;
            if statements.iter().any(|known| known.id == id) {
                return Err(broken("twice"));
            }
            let what = words.collect::<Vec<_>>().join(" ");
            statements.push(Statement { id, section: section.to_owned(), what, deviates: None });
        }
        Ok(Self { rfc, title: title.trim().to_owned(), statements })
    }
}

/// Reads all lists of a folder.
///
/// # Panics
/// The folder or a file cannot be read, or a list is broken.
pub fn read_lists(folder: &Path) -> Vec<List> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let files = entries.map(|entry| entry.expect("an entry").path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "txt"));
    let mut lists: Vec<List> = files
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("a list can be read");
            List::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        })
        .collect();
    lists.sort_by_key(|list| (list.rfc != FIRST, list.rfc));
    lists
}

/// What the comment at the top of a script cites.
pub fn script_citations(path: &str, text: &str) -> Vec<Citation> {
    let head: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("//")).collect();
    cite(&head.join("\n"), Some(path), &format!("{path}:1"))
}

/// What the comments of a Rust file cite: those of a test, in front of it or in it, show; others only explain.
pub fn code_citations(path: &str, text: &str) -> Vec<Citation> {
    let lines: Vec<&str> = text.lines().collect();
    let tests = tests(&lines);
    let mut found = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let comment = |line: &str| line.trim_start().strip_prefix("//").map(str::to_owned);
        let block: Vec<String> = lines[at..].iter().map_while(|line| comment(line)).collect();
        if !block.is_empty() {
            let owner = tests.iter().find(|test| test.from <= at && at <= test.to);
            let name = owner.map(|test| format!("{path}::{}", test.name));
            found.extend(cite(&block.join("\n"), name.as_deref(), &format!("{path}:{}", at + 1)));
        }
        at += block.len().max(1);
    }
    found
}

/// The lines of a test, its comment and attributes included.
struct Test {
    name: String,
    from: usize,
    to: usize,
}

fn tests(lines: &[&str]) -> Vec<Test> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let attribute = |line: &str| line.trim_start().starts_with("#[") || line.trim_start().starts_with("//");
    let starts = (0..lines.len()).filter(|&at| lines[at].trim() == "#[test]");
    let read = |at: usize| {
        let before = lines[..at].iter().rev().take_while(|line| attribute(line)).count();
        let function = (at..lines.len()).find(|&at| lines[at].trim_start().starts_with("fn "))?;
        let name = lines[function].trim_start().strip_prefix("fn ")?.split('(').next()?.to_owned();
        let end = |line: &str| line.trim() == "}" && indent(line) == indent(lines[function]);
        let to = (function..lines.len()).find(|&at| end(lines[at]))?;
        Some(Test { name, from: at - before, to })
    };
    starts.filter_map(read).collect()
}

/// The statements that a comment names; each belongs to the RFC before it. `MUST-1 to MUST-3` are three. A name without
/// an RFC is one of RFC 0, which nobody has written.
fn cite(comment: &str, shown_by: Option<&str>, place: &str) -> Vec<Citation> {
    let words: Vec<&str> = comment
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
        .filter(|word| !word.is_empty())
        .collect();
    let mut rfc = 0;
    let mut found = BTreeSet::new();
    for (at, word) in words.iter().enumerate() {
        if let ("RFC", Some(Ok(number))) = (*word, words.get(at + 1).map(|next| next.parse())) {
            rfc = number;
        }
        let Some(first) = id(rfc, word) else { continue };
        let last = words.get(at + 1).filter(|&&to| to == "to").and_then(|_| words.get(at + 2));
        let parts = (first.name.split_once('-'), last.and_then(|last| last.split_once('-')));
        if let (Some((kind, from)), Some((same, to))) = parts
            && kind == same
            && let (Ok(from), Ok(to)) = (from.parse::<u16>(), to.parse::<u16>())
        {
            found.extend((from..=to).map(|number| Id { rfc, name: format!("{kind}-{number}") }));
        }
        found.insert(first);
    }
    let citation = |id| Citation { id, shown_by: shown_by.map(str::to_owned), place: place.to_owned() };
    found.into_iter().map(citation).collect()
}

/// The name of a statement, if it is one.
fn id(rfc: u16, name: &str) -> Option<Id> {
    let (kind, number) = name.split_once('-')?;
    let valid = KINDS.contains(&kind) && number.parse::<u16>().is_ok();
    valid.then(|| Id { rfc, name: name.to_owned() })
}

/// What shows each statement.
fn proofs(citations: &[Citation]) -> BTreeMap<&Id, BTreeSet<&str>> {
    let mut proofs: BTreeMap<&Id, BTreeSet<&str>> = BTreeMap::new();
    for citation in citations {
        if let Some(shown_by) = &citation.shown_by {
            proofs.entry(&citation.id).or_default().insert(shown_by);
        }
    }
    proofs
}

/// What is wrong: a citation of what no list has, a statement that nothing shows and whose absence nothing explains.
pub fn violations(lists: &[List], citations: &[Citation]) -> Vec<String> {
    let known: BTreeSet<&Id> =
        lists.iter().flat_map(|list| &list.statements).map(|statement| &statement.id).collect();
    let unknown = citations.iter().filter(|citation| !known.contains(&citation.id));
    let mut found: Vec<String> = unknown
        .map(|citation| format!("{} cites {}, which no list has", citation.place, citation.id))
        .collect();
    let proofs = proofs(citations);
    for statement in lists.iter().flat_map(|list| &list.statements) {
        if statement.deviates.is_none() && !proofs.contains_key(&statement.id) {
            found.push(format!("nothing shows {}: {}", statement.id, statement.what));
        }
    }
    found
}

/// What a table names, and is not so any more: `path` of a script, `path::function` of a test, behind the statement.
pub fn stale(table: &str, lists: &[List], citations: &[Citation]) -> Vec<String> {
    let proofs = proofs(citations);
    let mut rfc = 0;
    let mut found = Vec::new();
    for line in table.lines() {
        if let Some(head) = line.strip_prefix("## RFC ") {
            rfc = head
                .split(|c: char| !c.is_ascii_digit())
                .next()
                .and_then(|rfc| rfc.parse().ok())
                .unwrap_or(0);
        }
        let mut cells = line.split('|').map(str::trim).skip(1);
        let Some(id) = cells.next().and_then(|name| id(rfc, name)) else { continue };
        let shown = cells.nth(2).and_then(|cell| cell.split("deviates: ").next()).unwrap_or_default();
        let named = shown.split('`').skip(1).step_by(2);
        let shows = |name: &str| proofs.get(&id).is_some_and(|proofs| proofs.contains(name));
        let listed = lists.iter().flat_map(|list| &list.statements).any(|statement| statement.id == id);
        let lost = named.filter(|name| listed && !shows(name));
        found.extend(lost.map(|name| format!("{name} is gone, or cites {id} no more")));
    }
    found
}

/// How many statements there are, and are deviated from; the others are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    all: usize,
    deviating: usize,
}

impl Count {
    fn shown(self) -> usize {
        self.all - self.deviating
    }
}

/// The table, in Markdown.
pub fn table(lists: &[List], citations: &[Citation]) -> String {
    let proofs = proofs(citations);
    let mut summary = String::new();
    let mut parts = String::new();
    let mut sum = Count::default();
    for list in lists {
        let all = list.statements.len();
        let deviating = list.statements.iter().filter(|statement| statement.deviates.is_some()).count();
        let count = Count { all, deviating };
        let _ = write!(parts, "\n## RFC {}: {}\n\n", list.rfc, list.title);
        parts.push_str("| statement | section | what it asks for | shown by |\n| --- | --- | --- | --- |\n");
        for statement in &list.statements {
            let names = proofs.get(&statement.id).into_iter().flatten();
            let mut cell: Vec<String> = names.map(|name| format!("`{name}`")).collect();
            cell.extend(statement.deviates.iter().map(|why| format!("deviates: {why}")));
            let Statement { id, section, what, .. } = statement;
            let _ = writeln!(parts, "| {} | {section} | {what} | {} |", id.name, cell.join("<br>"));
        }
        let shown = count.shown();
        let _ = writeln!(summary, "| RFC {}: {} | {all} | {shown} | {deviating} |", list.rfc, list.title);
        sum.all += all;
        sum.deviating += deviating;
    }
    let (all, shown, deviating) = (sum.all, sum.shown(), sum.deviating);
    let _ = writeln!(summary, "| all | {all} | {shown} | {deviating} |");
    format!("{HEAD}{summary}{parts}")
}

const HEAD: &str = "# What the RFCs ask for, and what shows it

This file is written by a test (`USTACK_UPDATE_SNAPSHOTS=1 cargo test -p ustack-tests --test rfc_table`) from the lists of
statements in `tests/rfc` and from the comments of packet scripts and tests, which cite what they show. `MUST-n` and `SHLD-n`
of RFC 9293 are its own (appendix B, there also `REC-n`), and all of them are here; from 101 on are those that it has without a
number. Those of the other RFCs are numbered here; their lists are made by hand from the sections that each list names at its
head, and where an RFC describes an algorithm, its steps count, too. The test fails if a list has what nothing shows and what
no `deviates` explains; what a list has missed is in no number.

| RFC | statements | shown | deviating |
| --- | --- | --- | --- |
";

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "RFC 9293 Transmission Control Protocol\n# a comment\n\n3.1 MUST-1 the window is unsigned\n\
                        3.6 MUST-12 an abort is told\n3.9 MUST-51 source routes\n    deviates: nobody\n    `forwards` them\n";

    fn lists() -> Vec<List> {
        vec![List::parse(LIST).unwrap()]
    }

    #[test]
    fn a_list_is_read() {
        let list = &lists()[0];
        assert_eq!((list.rfc, list.title.as_str()), (9293, "Transmission Control Protocol"));
        assert_eq!(list.statements.len(), 3);
        assert_eq!(list.statements[0].what, "the window is unsigned");
        assert_eq!(list.statements[2].deviates.as_deref(), Some("nobody `forwards` them"));
    }

    #[test]
    fn a_broken_list_is_refused() {
        for (broken, why) in [
            ("", "an empty file"),
            ("9293", "no RFC and title on top"),
            ("RFC 1 a\n3.1 HINT-1 b", "line 2: no name of a statement: 3.1 HINT-1 b"),
            ("RFC 1 a\n    deviates: b", "line 2: nothing stands above:     deviates: b"),
            ("RFC 1 a\n3 MUST-1 b\n3 MUST-1 c", "line 3: twice: 3 MUST-1 c"),
        ] {
            assert_eq!(List::parse(broken), Err(why.to_owned()));
        }
    }

    #[test]
    fn scripts_cite_in_their_heads() {
        let script = "// It shows.\n// RFC 9293 sections 3.1 (MUST-1) and 3.6 (MUST-12), RFC 1122 section 4.\n\n// MUST-51\n";
        let cited: Vec<Id> =
            script_citations("a/b.pkt", script).into_iter().map(|citation| citation.id).collect();
        assert_eq!(cited, [id(9293, "MUST-1").unwrap(), id(9293, "MUST-12").unwrap()]);
        let ranges = script_citations("b.pkt", "// RFC 1 (MUST-8 to MUST-10, SHLD-2)");
        let names: Vec<&str> = ranges.iter().map(|citation| citation.id.name.as_str()).collect();
        assert_eq!(names, ["MUST-10", "MUST-8", "MUST-9", "SHLD-2"]);
    }

    #[test]
    fn a_test_shows_and_other_code_does_not() {
        let code = "/// RFC 9293 (MUST-1)\nfn code() {}\n\n/// RFC 9293 (MUST-12)\n#[test]\nfn shows() {\n    \
                    // RFC 9293 (MUST-51)\n}\n// RFC 9293 (MUST-1)\n";
        let cited: Vec<(String, Option<String>)> = code_citations("a.rs", code)
            .into_iter()
            .map(|citation| (citation.id.name, citation.shown_by))
            .collect();
        let shows = || Some("a.rs::shows".to_owned());
        let expected = [("MUST-1", None), ("MUST-12", shows()), ("MUST-51", shows()), ("MUST-1", None)];
        assert_eq!(cited, expected.map(|(name, by)| (name.to_owned(), by)));
    }

    #[test]
    fn what_is_missing_or_unknown_is_told() {
        let mut citations = script_citations("a.pkt", "// RFC 9293 (MUST-1, MUST-99), RFC 7323 (MUST-1)");
        citations.extend(code_citations("a.rs", "// MUST-3\n"));
        let found = violations(&lists(), &citations);
        assert_eq!(
            found,
            [
                "a.pkt:1 cites RFC 7323 MUST-1, which no list has",
                "a.pkt:1 cites RFC 9293 MUST-99, which no list has",
                "a.rs:1 cites RFC 0 MUST-3, which no list has",
                "nothing shows RFC 9293 MUST-12: an abort is told",
            ]
        );
    }

    #[test]
    fn a_table_that_names_what_is_gone_is_told() {
        let table = table(&lists(), &script_citations("a.pkt", "// RFC 9293 (MUST-1, MUST-12)"));
        assert!(table.contains("| MUST-1 | 3.1 | the window is unsigned | `a.pkt` |"), "{table}");
        assert!(table.contains("| all | 3 | 2 | 1 |"), "{table}");
        let found = stale(&table, &lists(), &script_citations("a.pkt", "// RFC 9293 (MUST-12)"));
        assert_eq!(found, ["a.pkt is gone, or cites RFC 9293 MUST-1 no more"]);
    }
}
