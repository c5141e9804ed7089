//! The same test again, with fewer rights.

use std::fs;
use std::path::PathBuf;

use crate::process::tool;

/// Set in the second run.
const AGAIN: &str = "USTACK_TEST_WITH_FEWER_RIGHTS";

/// Whether this is the second run.
pub fn am_nobody() -> bool {
    std::env::var_os(AGAIN).is_some()
}

/// Runs the test of that name of this program once more, as a user without any privilege: as nobody if we are root,
/// else as ourselves without what a namespace gave us. Needs `setpriv`.
///
/// # Panics
/// The test fails there.
#[track_caller]
pub fn run_as_nobody(test: &str) {
    match am_root() {
        true => run_with(&["--reuid=65534", "--regid=65534", "--clear-groups"], test),
        false => run_with(&["--ambient-caps=-all", "--inh-caps=-all"], test),
    }
}

/// The same without a capability, such as `net_admin`, and with all others that we have.
///
/// # Panics
/// The test fails there.
#[track_caller]
pub fn run_without(capability: &str, test: &str) {
    match am_root() {
        true => run_with(&[&format!("--bounding-set=-{capability}")], test),
        false => {
            let drop = ["ambient", "inh"].map(|set| format!("--{set}-caps=-{capability}"));
            run_with(&drop.each_ref().map(String::as_str), test);
        }
    }
}

fn am_root() -> bool {
    nix::unistd::geteuid().is_root()
}

#[track_caller]
fn run_with(rights: &[&str], test: &str) {
    let copy = Copy::of_this_program(test);
    let mut again = tool("setpriv");
    again.args(rights).arg(&copy.0);
    let done = again.args(["--exact", test]).env(AGAIN, "1").output().expect("setpriv runs");
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success() && out.contains("1 passed"), "{out}{err}");
}

/// A copy of this program where everybody may run it: the original may lie in somebody's home.
struct Copy(PathBuf);

impl Copy {
    fn of_this_program(test: &str) -> Self {
        let program = std::env::current_exe().expect("we run");
        let copy = std::env::temp_dir().join(format!("{test}-{}", std::process::id()));
        // Note: by another process. A file that we held open for writing would be busy in the children of other
        // threads.
        let copied = tool("cp").arg(program).arg(&copy).status().expect("cp runs");
        assert!(copied.success(), "there is no room in {}", copy.display());
        Self(copy)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
