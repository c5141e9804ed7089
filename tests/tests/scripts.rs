//! All packet scripts of the project pass. `ustack run tests/scripts` does the same by hand.

use std::fmt::Write as _;
use std::path::Path;

use ustack_tools::run::{find, run_files};

#[test]
fn all_scripts_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let files = find(&folder).expect("the folder of scripts");
    let suite = run_files(&files, &[], None).unwrap_or_else(|error| panic!("{error}"));
    let mut told = String::new();
    for failure in suite.failures().filter_map(|report| report.failure.as_ref()) {
        // Writing to a string does not fail.
        let _ = writeln!(told, "{failure}");
    }
    let failed = suite.failures().count();
    assert!(suite.passed(), "{failed} of {} scripts failed:\n\n{told}", suite.reports.len());
}
