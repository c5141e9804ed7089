//! The workspace keeps the rules of its house; `ustack_tests::architecture` holds them, and shows that they bite.

use std::path::Path;

use ustack_tests::architecture::{LONG, long_files, read_files, violations};

#[test]
fn every_file_keeps_the_rules() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folders = ["stack", "tools", "tests"];
    let files = read_files(&workspace, &folders);
    assert!(files.contains_key(Path::new("stack/src/lib.rs")), "the library is among {} files", files.len());
    for (lines, path) in long_files(&files) {
        println!("{}: {lines} lines, more than {LONG}", path.display());
    }
    let found = violations(&files);
    let list: String = found.iter().map(|violation| format!("{violation}\n")).collect();
    assert!(found.is_empty(), "{list}");
}
