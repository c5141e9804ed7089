//! The rules of the house: who may import whom, what the core may not touch, and what no file may hold.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::source::{Kind, Named, Source, Token, named_paths};

/// What each module of the library may import, besides itself. A module that is not here has no place yet.
const LAYERS: &[(&str, &[&str])] = &[
    ("time", &[]),
    ("rng", &["time"]),
    ("why", &["time"]),
    ("buf", FOUNDATION),
    ("wire", FOUNDATION),
    ("tcp", FOUNDATION),
    ("udp", FOUNDATION),
    ("raw", FOUNDATION),
    ("link", FOUNDATION),
    ("ip", FOUNDATION),
    ("socket", &["time", "rng", "why", "buf", "wire", "tcp", "udp", "raw"]),
    ("error", &["time", "rng", "why", "buf", "wire", "tcp", "udp", "raw", "link", "ip", "socket"]),
    ("event", CORE),
    ("config", CORE),
    ("stats", CORE),
    ("stack", CORE),
    ("device", &["time", "why", "buf"]),
    ("capture", ABOVE),
    ("sim", ABOVE),
    ("net", ABOVE),
    ("blocking", ABOVE),
];

const FOUNDATION: &[&str] = &["time", "rng", "why", "buf", "wire"];

/// Everything without I/O.
const CORE: &[&str] = &[
    "time", "rng", "why", "buf", "wire", "tcp", "udp", "raw", "link", "ip", "socket", "error", "event",
    "config", "stats", "stack",
];

/// What stands above the stack and the devices. `ORDERS` says who of them stands above whom.
const ABOVE: &[&str] = &[
    "time", "rng", "why", "buf", "wire", "tcp", "udp", "raw", "link", "ip", "socket", "error", "event",
    "config", "stats", "stack", "device", "capture", "sim", "net", "blocking",
];

/// Of these, none imports one that comes later.
const ORDERS: [&[&str]; 2] =
    [&["time", "why", "rng", "buf", "wire"], &["device", "capture", "sim", "net", "blocking"]];

/// What the core, and the simulator, may not name: the clock, the system, other runtimes.
const IMPURE: &[&str] = &[
    "std::time",
    "std::fs",
    "std::thread",
    "std::process",
    "std::env",
    "std::os::unix",
    "std::os::linux",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::net::UdpSocket",
    "std::net::ToSocketAddrs",
    "std::collections::HashSet",
    "std::collections::hash_map::HashMap",
    "std::collections::hash_map::RandomState",
    "std::collections::hash_map::DefaultHasher",
    "std::hash::RandomState",
    "std::hash::DefaultHasher",
    "libc",
    "pnet",
    "tokio",
    "rustix",
    "nix",
    "mio",
];

/// What nobody in the core may name but one module, which takes its sting away.
const SEEDED: (&str, &str) = ("std::collections::HashMap", "rng");

const ROOTS: &[&str] = &["std", "core", "libc", "pnet", "tokio", "rustix", "nix", "mio"];

/// Longer than this is worth a look; much longer is refused.
pub const LONG: usize = 600;
const TOO_LONG: usize = 700;

/// One rule that a file breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.what)
    }
}

/// Source files by their path from the top of the workspace.
pub type Files = BTreeMap<PathBuf, String>;

/// Reads all Rust files below these folders of the workspace.
///
/// # Panics
/// A file cannot be read.
pub fn read_files(workspace: &Path, folders: &[&str]) -> Files {
    let mut files = Files::new();
    let mut waiting: Vec<PathBuf> = folders.iter().map(|folder| workspace.join(folder)).collect();
    while let Some(folder) = waiting.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.unwrap_or_else(|error| panic!("{}: {error}", folder.display())).path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path)
                    .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                files.insert(path.strip_prefix(workspace).unwrap_or(&path).to_owned(), text);
            }
        }
    }
    files
}

/// What breaks a rule in these files.
pub fn violations(files: &Files) -> Vec<Violation> {
    let sources: BTreeMap<&PathBuf, Source> =
        files.iter().map(|(path, text)| (path, Source::read(text))).collect();
    let mut found = Vec::new();
    for (path, source) in &sources {
        let mut complain =
            |line, what: String| found.push(Violation { file: path.to_path_buf(), line, what });
        check_unsafe(path, source, &mut complain);
        check_finished(source, &mut complain);
        check_borders(path, source, &mut complain);
        if source.lines > TOO_LONG {
            complain(
                source.lines,
                format!("{} lines: more than {TOO_LONG}; one file has one job", source.lines),
            );
        }
    }
    found.extend(check_library(&sources));
    found
}

/// The files that are longer than [`LONG`], longest first.
pub fn long_files(files: &Files) -> Vec<(usize, PathBuf)> {
    let lengths = files.iter().map(|(path, text)| (text.lines().count(), path.clone()));
    let mut long: Vec<_> = lengths.filter(|(lines, _)| *lines > LONG).collect();
    long.sort_by(|a, b| b.cmp(a));
    long
}

/// Where `unsafe` lives: the system calls of the devices, and the functions that a program in C calls, which get its
/// pointers; their tests play that program.
const UNSAFE: &[&str] = &[
    "stack/src/device/sys",
    "stack/src/device/sys.rs",
    "tools/packetdrill/src/ffi.rs",
    "tools/packetdrill/src/ffi/tests.rs",
];

/// `unsafe` has two homes, both at a border to C.
fn check_unsafe(path: &Path, source: &Source, complain: &mut impl FnMut(usize, String)) {
    if UNSAFE.iter().any(|home| path.starts_with(home)) {
        return;
    }
    for token in source.tokens.iter().filter(|token| token.is_word("unsafe")) {
        complain(token.line, format!("`unsafe` outside {}", UNSAFE.join(", ")));
    }
}

/// Nothing is left for later.
fn check_finished(source: &Source, complain: &mut impl FnMut(usize, String)) {
    for (line, text) in &source.comments {
        let words = text.split(|c: char| !c.is_alphanumeric());
        for word in words.filter(|word| ["TODO", "FIXME", "XXX"].contains(word)) {
            complain(*line, format!("{word} in a comment"));
        }
    }
    for pair in source.tokens.windows(2) {
        let left = ["todo", "unimplemented", "dbg"]
            .iter()
            .find(|name| pair[0].is_word(name) && pair[1].is_mark('!'));
        if let Some(name) = left {
            complain(pair[0].line, format!("{name}!"));
        }
        if pair[0].is_mark('[') && pair[1].is_word("ignore") {
            complain(pair[0].line, "an ignored test".to_owned());
        }
    }
}

/// No crate reaches into the files of another: the tools and the tests use the public interface.
fn check_borders(path: &Path, source: &Source, complain: &mut impl FnMut(usize, String)) {
    if path.starts_with("stack/src") {
        return;
    }
    for pair in source.tokens.windows(3) {
        let is_path = pair[0].is_mark('[') && pair[1].is_word("path") && pair[2].is_mark('=');
        if is_path || (pair[0].is_word("include") && pair[1].is_mark('!')) {
            complain(
                pair[0].line,
                "source of another crate is included: use its public interface".to_owned(),
            );
        }
    }
}

/// The imports inside the library.
fn check_library(sources: &BTreeMap<&PathBuf, Source>) -> Vec<Violation> {
    let mut library = Vec::new();
    let mut test_modules = Vec::new();
    for (path, source) in sources {
        let Some(module) = module_of(path) else { continue };
        let (tokens, tests) = source.without_tests();
        for name in tests {
            test_modules.push([module.as_slice(), &[name]].concat());
        }
        library.push((path, module, tokens));
    }
    library.retain(|(_, module, _)| !test_modules.iter().any(|test| module.starts_with(test)));

    let exported = root_exports(&library);
    let mut found = Vec::new();
    for (path, module, tokens) in library {
        // The root declares and re-exports all of them.
        let Some(layer) = module.first() else { continue };
        let mut complain = |line, what| found.push(Violation { file: path.to_path_buf(), line, what });
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| name == layer) else {
            complain(1, format!("`{layer}` is not in the list of layers: say what it may import"));
            continue;
        };
        let does_io = !CORE.contains(&layer.as_str()) && layer != "sim";
        for named in named_paths(&tokens, &module, ROOTS) {
            if named.path[0] == "crate" {
                check_import(layer, allowed, &through_root(named, &exported), &mut complain);
            } else if !does_io {
                check_pure(layer, &named, &mut complain);
            }
        }
        check_glob_roots(&tokens, &mut complain);
    }
    found
}

/// What the root re-exports, with the path under which it is defined.
fn root_exports(library: &[(&&PathBuf, Vec<String>, Vec<Token>)]) -> BTreeMap<String, Vec<String>> {
    let modules: Vec<&str> = LAYERS.iter().map(|(name, _)| *name).collect();
    let roots = library.iter().filter(|(_, module, _)| module.is_empty());
    let named = roots.flat_map(|(_, module, tokens)| named_paths(tokens, module, &modules));
    named.filter_map(|named| Some((named.path.last()?.clone(), named.path))).collect()
}

/// `crate::Stack` is `crate::stack::Stack`, if the root says so.
fn through_root(mut named: Named, exported: &BTreeMap<String, Vec<String>>) -> Named {
    if let Some(path) = named.path.get(1).and_then(|name| exported.get(name)) {
        named.path.splice(1..2, path.iter().skip(usize::from(path[0] == "crate")).cloned());
    }
    named
}

fn check_import(layer: &str, allowed: &[&str], named: &Named, complain: &mut impl FnMut(usize, String)) {
    let shown = named.path.join("::");
    let Some(target) = named.path.get(1) else { return };
    if target == layer {
        return;
    }
    if !LAYERS.iter().any(|(name, _)| name == target) {
        complain(named.line, format!("`{shown}` names no module: import from where it is defined"));
    } else if !allowed.contains(&target.as_str()) {
        complain(named.line, format!("`{layer}` may not import `{shown}`"));
    }
    for order in ORDERS {
        let rank = |name: &str| order.iter().position(|it| *it == name);
        if let (Some(ours), Some(theirs)) = (rank(layer), rank(target))
            && theirs > ours
        {
            complain(named.line, format!("`{layer}` stands below `{target}` and may not import `{shown}`"));
        }
    }
}

fn check_pure(layer: &str, named: &Named, complain: &mut impl FnMut(usize, String)) {
    let shown = named.path.join("::");
    let reaches = |forbidden: &&&str| {
        let inside =
            shown.strip_prefix(**forbidden).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
        // `use std::*` and `use std::net::*` bring the forbidden in with the rest.
        let globbed =
            shown.strip_suffix("::*").is_some_and(|outer| forbidden.starts_with(&format!("{outer}::")));
        inside || globbed
    };
    let seeded = Some(&SEEDED.0).filter(|_| layer != SEEDED.1);
    if let Some(forbidden) = IMPURE.iter().chain(seeded).find(reaches) {
        complain(named.line, format!("`{shown}`: the core does no I/O and reads no clock (`{forbidden}`)"));
    }
}

/// `use crate as x` would hide all imports behind another name.
fn check_glob_roots(tokens: &[Token], complain: &mut impl FnMut(usize, String)) {
    for pair in tokens.windows(2) {
        let renamed = ["crate", "std", "core"].iter().any(|root| pair[0].is_word(root));
        if renamed && pair[1].kind == Kind::Word("as".to_owned()) {
            complain(pair[0].line, "a crate's root may not be renamed".to_owned());
        }
    }
}

/// The module that a file of the library holds: `stack/src/tcp/mod.rs` is `["tcp"]`, `lib.rs` is `[]`.
fn module_of(path: &Path) -> Option<Vec<String>> {
    let inside = path.strip_prefix("stack/src").ok()?.with_extension("");
    let mut module: Vec<String> = inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    module.pop_if(|last| last == "mod");
    if module == ["lib"] {
        module.clear();
    }
    Some(module)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The violations of one file at this path, as text without the path.
    fn found(path: &str, text: &str) -> Vec<String> {
        let files = Files::from([(PathBuf::from(path), text.to_owned())]);
        violations(&files).into_iter().map(|it| format!("{}: {}", it.line, it.what)).collect()
    }

    #[track_caller]
    fn assert_one(path: &str, text: &str, expected: &str) {
        let found = found(path, text);
        assert!(found.len() == 1 && found[0].contains(expected), "{path}: {text}\n{found:?}");
    }

    #[track_caller]
    fn assert_none(path: &str, text: &str) {
        assert_eq!(found(path, text), [""; 0], "{path}: {text}");
    }

    #[test]
    fn imports_go_downward() {
        assert_none(
            "stack/src/tcp/input.rs",
            "use crate::wire::seq::SeqNum; use super::timer; use crate::why::Why;",
        );
        assert_one(
            "stack/src/tcp/input.rs",
            "use crate::ip::route::Table;",
            "`tcp` may not import `crate::ip::route::Table`",
        );
        assert_one("stack/src/tcp/input.rs", "use crate::{wire::seq, link};", "`crate::link`");
        assert_one("stack/src/tcp/input.rs", "\nfn f() { crate::device::open() }", "2: `tcp` may not import");
        assert_one("stack/src/tcp/input.rs", "use super::super::udp::Socket;", "`crate::udp::Socket`");
        assert_one("stack/src/udp.rs", "use crate::tcp::State;", "`udp` may not import");
        assert_one("stack/src/ip/route.rs", "use crate::link::Neighbor;", "`ip` may not import");
        assert_one("stack/src/device/tap.rs", "use crate::wire::ethernet;", "`device` may not import");
        assert_one("stack/src/stack.rs", "use crate::net::Driver;", "`stack` may not import");
        assert_none(
            "stack/src/stack.rs",
            "use crate::{tcp, udp, raw, link, ip, socket, error, event, config, stats};",
        );
        assert_none("stack/src/lib.rs", "pub use crate::net::TcpStream;");
    }

    #[test]
    fn equals_have_an_order_too() {
        assert_none("stack/src/wire/tcp.rs", "use crate::buf::frame::Checksum;");
        assert_one("stack/src/buf/ring.rs", "use crate::wire::seq::SeqNum;", "`buf` stands below `wire`");
        assert_none("stack/src/blocking/mod.rs", "use crate::net::Shared;");
        assert_one("stack/src/sim/net.rs", "use crate::net::Shared;", "`sim` stands below `net`");
    }

    #[test]
    fn a_module_must_be_named_and_known() {
        assert_one("stack/src/tcp/mod.rs", "use crate::Error;", "names no module");
        assert_one("stack/src/tcp/mod.rs", "use crate::*;", "names no module");
        assert_one("stack/src/magic.rs", "", "`magic` is not in the list");
        assert_one("stack/src/tcp/mod.rs", "use crate as ours;", "may not be renamed");
    }

    #[test]
    fn what_the_root_re_exports_counts_as_its_module() {
        let with_root = |path: &str, text: &str| {
            let root =
                "pub mod stack; pub use stack::{Stack, StackError}; pub use crate::net::Driver;".to_owned();
            let files = Files::from([("stack/src/lib.rs".into(), root), (path.into(), text.to_owned())]);
            violations(&files).into_iter().map(|it| it.what).collect::<String>()
        };
        assert_eq!(with_root("stack/src/net/mod.rs", "use crate::Stack;"), "");
        assert!(
            with_root("stack/src/tcp/mod.rs", "use crate::Stack;")
                .contains("may not import `crate::stack::Stack`")
        );
        assert!(with_root("stack/src/sim/mod.rs", "use crate::Driver;").contains("`sim` stands below `net`"));
    }

    #[test]
    fn the_core_touches_no_system() {
        assert_one("stack/src/tcp/rtt.rs", "use std::time::Instant;", "`std::time::Instant`");
        assert_one("stack/src/ip/mod.rs", "fn f() { std::thread::spawn(g); }", "`std::thread::spawn`");
        assert_one(
            "stack/src/stack.rs",
            "use std::{fmt, net::{IpAddr, UdpSocket}};",
            "`std::net::UdpSocket`",
        );
        assert_one("stack/src/stack.rs", "use std::net::*;", "`std::net::*`");
        assert_one("stack/src/sim/link.rs", "use ::std::fs;", "`std::fs`");
        assert_one("stack/src/socket/mod.rs", "fn f() { libc::getpid() }", "`libc::getpid`");
        assert_none(
            "stack/src/stack.rs",
            "use std::net::{IpAddr, Ipv4Addr, SocketAddr}; use std::io::ErrorKind;",
        );
        assert_none("stack/src/device/tap.rs", "use std::fs::File; use std::time::Duration;");
        assert_none("stack/src/net/driver.rs", "use std::thread;");
    }

    #[test]
    fn a_hash_map_has_a_seed_and_no_order() {
        assert_one(
            "stack/src/socket/demux.rs",
            "use std::collections::HashMap;",
            "`std::collections::HashMap`",
        );
        assert_one(
            "stack/src/ip/route.rs",
            "fn f() { std::collections::HashMap::with_capacity(1) }",
            "HashMap",
        );
        assert_one("stack/src/tcp/isn.rs", "use std::hash::RandomState;", "`std::hash::RandomState`");
        assert_none("stack/src/rng.rs", "pub struct KeyedMap(std::collections::HashMap<u8, u8, KeyedHash>);");
        assert_none("stack/src/socket/demux.rs", "use std::collections::hash_map::Entry;");
    }

    #[test]
    fn tests_of_a_module_may_use_what_they_like() {
        assert_none(
            "stack/src/tcp/rtt.rs",
            "#[cfg(test)] mod tests { use crate::sim; use std::time::Instant; }",
        );
        let files = Files::from([
            ("stack/src/tcp/rtt.rs".into(), "#[cfg(test)]\nmod tests;".to_owned()),
            ("stack/src/tcp/rtt/tests.rs".into(), "use crate::sim::Network;".to_owned()),
        ]);
        assert_eq!(violations(&files), []);
        let not_for_tests = Files::from([
            ("stack/src/tcp/rtt.rs".into(), "mod tests;".to_owned()),
            ("stack/src/tcp/rtt/tests.rs".into(), "use crate::sim::Network;".to_owned()),
        ]);
        assert_eq!(violations(&not_for_tests).len(), 1);
    }

    #[test]
    fn unsafe_has_its_homes() {
        assert_one("stack/src/device/tap.rs", "fn f() { unsafe { g() } }", "`unsafe` outside");
        assert_one("tools/src/main.rs", "unsafe fn f() {}", "`unsafe` outside");
        assert_none("stack/src/device/sys/mod.rs", "fn f() { unsafe { g() } }");
        assert_none("tools/packetdrill/src/ffi.rs", "fn f() { unsafe { g() } }");
        assert_one("tools/packetdrill/src/machine.rs", "fn f() { unsafe { g() } }", "`unsafe` outside");
        assert_none(
            "stack/src/tcp/mod.rs",
            "// nothing unsafe\nconst A: &str = \"unsafe\"; fn unsafe_code() {}",
        );
    }

    #[test]
    fn nothing_is_left_for_later() {
        assert_one("tools/src/main.rs", "\n// TODO: the rest", "2: TODO");
        assert_one("tools/src/main.rs", "/* FIXME */", "FIXME");
        assert_one("stack/src/tcp/mod.rs", "fn f() { todo!() }", "todo!");
        assert_one("stack/src/tcp/mod.rs", "fn f() { unimplemented!() }", "unimplemented!");
        assert_one("tests/tests/a.rs", "#[test] #[ignore] fn f() {}", "an ignored test");
        assert_none("stack/src/tcp/mod.rs", "/// Some(TODOS)\nfn f() { ignore(todo) }");
    }

    #[test]
    fn crates_keep_to_their_borders() {
        assert_one(
            "tools/src/main.rs",
            "#[path = \"../../stack/src/tcp/mod.rs\"] mod tcp;",
            "public interface",
        );
        assert_one("tests/tests/a.rs", "include!(\"../../stack/src/rng.rs\");", "public interface");
    }

    #[test]
    fn long_files_are_reported_and_very_long_ones_refused() {
        let files = Files::from([
            ("tools/src/a.rs".into(), "\n".repeat(650)),
            ("tools/src/b.rs".into(), "\n".repeat(600)),
        ]);
        assert_eq!(long_files(&files), [(650, PathBuf::from("tools/src/a.rs"))]);
        assert_eq!(violations(&files), []);
        assert_one("tools/src/a.rs", &"\n".repeat(701), "701 lines");
    }
}
