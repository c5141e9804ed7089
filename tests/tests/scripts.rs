//! All packet scripts of the project pass. `ustack run tests/scripts` does the same by hand.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use ustack::rng::Rng;
use ustack_tools::run::{Script, Sinks, find, run_files};

#[test]
fn all_scripts_pass() {
    let files = scripts();
    let suite = run_files(&files, &[], &Sinks::default()).unwrap_or_else(|error| panic!("{error}"));
    let mut told = String::new();
    for failure in suite.failures().filter_map(|report| report.failure.as_ref()) {
        // Writing to a string does not fail.
        let _ = writeln!(told, "{failure}");
    }
    let failed = suite.failures().count();
    assert!(suite.passed(), "{failed} of {} scripts failed:\n\n{told}", suite.reports.len());
}

#[test]
fn each_script_says_what_it_shows_and_who_asks_for_it() {
    for file in scripts() {
        let text = std::fs::read_to_string(&file).expect("a script can be read");
        let head: Vec<&str> = text.lines().take_while(|line| line.starts_with("//")).collect();
        let cites = head.iter().any(|line| line.contains("RFC "));
        assert!(head.len() >= 2 && cites, "{} wants a comment with an RFC at its top", file.display());
    }
}

#[test]
fn a_broken_script_is_refused_with_a_place() {
    let mut rng = Rng::new(1, 0);
    for file in scripts() {
        let text = std::fs::read_to_string(&file).expect("a script can be read");
        let chars: Vec<char> = text.chars().collect();
        for _ in 0..20 {
            let mut broken = chars.clone();
            let at = rng.below(broken.len() as u64) as usize;
            match rng.below(3) {
                0 => drop(broken.drain(at..(at + 5).min(chars.len()))),
                1 => {
                    broken[at] = *b"<>()[]{}:.,+*~%`\"0x".get(rng.below(19) as usize).unwrap_or(&b'-') as char
                }
                _ => broken.truncate(at),
            }
            let broken: String = broken.into_iter().collect();
            if let Err(error) = Script::parse("broken.pkt", &broken) {
                assert!(error.line <= broken.lines().count() + 1 && error.column > 0, "{error}");
            }
        }
    }
}

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    find(&folder).expect("the folder of scripts")
}
