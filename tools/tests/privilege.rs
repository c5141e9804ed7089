//! Without a privilege: what failed, why, what to type, and status 3.

use std::os::unix::fs::MetadataExt;
use std::process::{Command, Output};

/// Runs ustack as an ordinary user, whoever we are.
fn as_a_user(arguments: &[&str]) -> Output {
    let we_are_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    let ustack = env!("CARGO_BIN_EXE_ustack");
    let mut command = Command::new("setpriv");
    // The user stays who it is, so that the build folder can be read, and loses all power: root that of root, others
    // what a namespace of their own gave them.
    match we_are_root {
        true => command.args(["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", ustack]),
        false => command.args(["--ambient-caps=-all", "--inh-caps=-all", ustack]),
    };
    command.args(arguments).output().unwrap()
}

#[test]
fn a_device_that_is_not_allowed_says_what_mends_it() {
    for wire in [["--tap", "ustacktest0"], ["--tun", "ustacktest1"], ["--raw", "lo"]] {
        let output = as_a_user(&["ping", "--address", "10.9.0.2/24", wire[0], wire[1], "10.9.0.1"]);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{wire:?}: {stderr}");
        assert!(stderr.starts_with("error: cannot "), "{wire:?}: {stderr}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn the_doctor_knows() {
    let output = as_a_user(&["doctor"]);
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(3), "{stdout}");
    assert!(stdout.contains("NO  CAP_NET_ADMIN") && stdout.contains("-> "), "{stdout}");
}
