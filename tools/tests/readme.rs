//! What the README shows is what the program says. `TRYCMD=overwrite` writes what is new.

#[test]
fn the_readme_shows_what_is_so() {
    // The commands name files as one does who stands at the top of the repository.
    std::env::set_current_dir("..").unwrap();
    let cases = trycmd::TestCases::new();
    cases.timeout(std::time::Duration::from_secs(60));
    cases.env("NO_COLOR", "1").env("COLUMNS", "100");
    cases.case("README.md");
}
