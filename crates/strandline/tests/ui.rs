//! Misuse is refused by the compiler, in words that help.

#[test]
fn misuse() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*.rs");
}
