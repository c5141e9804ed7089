//! The built library in the hands of a program in C, which loads it as packetdrill does.

use std::path::Path;
use std::process::Command;

#[test]
fn a_program_in_c_loads_it_and_makes_every_call() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    // Tests stand beside the libraries that they belong to.
    let test = std::env::current_exe().unwrap();
    let library = test.parent().unwrap().join("libustack_packetdrill.so");
    assert!(library.exists(), "{} was built with this test", library.display());

    // What links Rust's programs compiles C, too.
    let driver = scratch.join("driver");
    let mut cc = Command::new("cc");
    cc.args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&driver);
    cc.arg(here.join("tests/driver.c")).args(["-ldl", "-pthread"]);
    assert!(cc.status().unwrap().success(), "{cc:?}");

    let output = Command::new(&driver).arg(&library).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
