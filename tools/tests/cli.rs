//! The command line as people see it: help texts, errors, exit statuses. `TRYCMD=overwrite` writes what is new.

#[test]
fn the_command_line() {
    let cases = trycmd::TestCases::new();
    cases.timeout(std::time::Duration::from_secs(60));
    cases.env("NO_COLOR", "1").env("COLUMNS", "100");
    cases.case("tests/cmd/*.trycmd");
}
