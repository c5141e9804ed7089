//! Each statement of an RFC that is listed is shown by a script or a test, or the list says why we deviate: `tests/RFC.md`
//! has all of them.

use std::path::{Path, PathBuf};

use ustack_tests::architecture::read_files;
use ustack_tests::rfc::{Citation, code_citations, read_lists, script_citations, stale, table, violations};

/// Set it to write the table anew.
const UPDATE: &str = "USTACK_UPDATE_SNAPSHOTS";

/// How many statements each list has, MUST and the others: none is lost by accident.
const COUNTS: [(u16, usize, usize); 13] = [
    (1122, 13, 2),
    (3168, 17, 9),
    (4015, 9, 2),
    (5681, 23, 15),
    (5961, 10, 4),
    (6298, 11, 8),
    (7323, 32, 18),
    (7413, 12, 9),
    (7661, 8, 3),
    (8985, 23, 16),
    (9293, 70, 33),
    (9438, 13, 12),
    (9937, 11, 5),
];

fn tests() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All that the scripts, the library, the tools and the tests cite.
fn citations() -> Vec<Citation> {
    let workspace = tests().join("..");
    let files = read_files(&workspace, &["stack/src", "tools/src", "tests/tests"]);
    let mut found: Vec<Citation> =
        files.iter().flat_map(|(path, text)| code_citations(&path.to_string_lossy(), text)).collect();
    let folder = tests().join("scripts");
    for path in ustack_tools::run::find(&folder).expect("the folder of scripts") {
        let text = std::fs::read_to_string(&path).expect("a script can be read");
        let name = Path::new("tests/scripts").join(path.strip_prefix(&folder).unwrap_or(&path));
        found.extend(script_citations(&name.to_string_lossy(), &text));
    }
    found
}

#[test]
fn no_statement_is_lost() {
    let mut counts: Vec<(u16, usize, usize)> = read_lists(&tests().join("rfc"))
        .iter()
        .map(|list| {
            let must = list.statements.iter().filter(|one| one.id.name.starts_with("MUST")).count();
            (list.rfc, must, list.statements.len() - must)
        })
        .collect();
    counts.sort_unstable();
    assert_eq!(counts, COUNTS);
}

#[test]
fn each_statement_is_shown_or_explained_and_the_table_says_by_what() {
    let lists = read_lists(&tests().join("rfc"));
    let citations = citations();
    let path = tests().join("RFC.md");
    let table = table(&lists, &citations);
    let update = std::env::var_os(UPDATE).is_some();
    let old = std::fs::read_to_string(&path).unwrap_or_default();
    let mut wrong = violations(&lists, &citations);
    if update {
        std::fs::write(&path, &table).expect("the table can be written");
    } else {
        wrong.extend(stale(&old, &lists, &citations));
        if wrong.is_empty() && table != old {
            wrong.push(format!("the table is old: {UPDATE}=1 cargo test -p ustack-tests --test rfc_table"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
