//! What packet scripts say about Linux is true: those marked `// Linux: same` pass against this machine's kernel.
//!
//! `ustack run --linux tests/scripts` does the same by hand.

use std::path::{Path, PathBuf};

use ustack_tests::kernel::{Need, ready};
use ustack_tools::namespace::check;
use ustack_tools::run::linux::{LACKS, Settings};
use ustack_tools::run::{Mark, Script, find, run_files_on_linux};

/// So many scripts at least do not only show what we do, but what Linux does, too.
const PROVEN: usize = 230;

#[test]
fn linux_does_the_same_where_scripts_say_so() {
    if !ready(&[Need::Namespaces, Need::Tun]) {
        return;
    }
    check().unwrap_or_else(|error| panic!("{error}"));
    let is_same = |mark: Option<&Mark>| mark == Some(&Mark::Same);
    let suite = run_files_on_linux(&scripts(), &[], &Settings::default(), is_same);
    let suite = suite.unwrap_or_else(|error| panic!("{error}"));
    let failures: Vec<String> =
        suite.failures().filter_map(|report| report.failure.as_ref()).map(ToString::to_string).collect();
    let all = suite.reports.len();
    assert!(failures.is_empty(), "{} of {all} scripts failed:\n\n{}", failures.len(), failures.join("\n"));
    // A kernel may be built without something, or be older than it.
    let lacks = |why: &Option<String>| why.as_ref().is_some_and(|why| why.starts_with(LACKS));
    let unproven = suite.skipped().filter(|report| !lacks(&report.skipped));
    let skipped: Vec<&str> = unproven.map(|report| report.file.as_str()).collect();
    assert!(skipped.is_empty(), "marked as the same, but not run: {skipped:?}");
    assert!(all >= PROVEN, "only {all} scripts are proven by Linux");
}

#[test]
fn each_script_says_what_linux_does() {
    let has_no_mark = |file: &PathBuf| {
        let text = std::fs::read_to_string(file).expect("a script can be read");
        let script = Script::parse("any.pkt", &text).unwrap_or_else(|error| panic!("{error}"));
        match script.mark() {
            Some(Mark::Same) => false,
            // What is not the same wants a reason.
            Some(Mark::Differs(why) | Mark::Untried(why)) => why.is_empty(),
            None => true,
        }
    };
    let silent: Vec<PathBuf> = scripts().into_iter().filter(has_no_mark).collect();
    assert!(silent.is_empty(), "no `// Linux: same` or `// Linux: differs, why` at the top of {silent:?}");
}

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    find(&folder).expect("the folder of scripts")
}
