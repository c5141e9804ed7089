//! The same test again, as an ordinary user.

use std::fs;
use std::path::PathBuf;

use crate::process::tool;

/// Set in the second run.
const AS_NOBODY: &str = "USTACK_TEST_AS_NOBODY";

/// Whether this is the run as an ordinary user.
pub fn am_nobody() -> bool {
    std::env::var_os(AS_NOBODY).is_some()
}

/// Runs the test of that name of this program once more, as a user without any privilege. Needs `setpriv`, and root.
///
/// # Panics
/// The test fails there.
#[track_caller]
pub fn run_as_nobody(test: &str) {
    let copy = Copy::of_this_program(test);
    let mut again = tool("setpriv");
    again.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&copy.0);
    let done = again.args(["--exact", test]).env(AS_NOBODY, "1").output().expect("setpriv runs");
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success() && out.contains("1 passed"), "{out}{err}");
}

/// A copy of this program where everybody may run it: the original may lie in somebody's home.
struct Copy(PathBuf);

impl Copy {
    fn of_this_program(test: &str) -> Self {
        let program = std::env::current_exe().expect("we run");
        let copy = std::env::temp_dir().join(format!("{test}-{}", std::process::id()));
        // Note: by another process. A file that we held open for writing would be busy in the children of other threads.
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
