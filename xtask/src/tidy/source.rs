//! Rules on Rust files.

use super::Problem;
use super::tree::Tree;

const LINES_MAX: usize = 800;

/// Not allowed anywhere.
const BANNED: [(&str, &str); 3] = [
    ("todo!(", "finish it, or return an error that says what is missing"),
    ("dbg!(", "remove it, or log with tracing"),
    ("#[ignore", "make the test fast and reliable, or delete it"),
];

/// Not allowed in tests.
const BANNED_IN_TESTS: (&str, &str) =
    ("thread::sleep", "wait for the event itself: a channel, a condition, virtual time");

/// These name what is banned.
const EXEMPT: &str = "xtask/src/tidy";

/// Written by `cargo xtask protogen`, which a test holds it to; for no one to read.
const GENERATED: &str = "crates/proto/src/generated/";

pub(super) fn check(tree: &Tree, problems: &mut Vec<Problem>) {
    let ours = |path: &str| !path.starts_with(EXEMPT) && !path.starts_with(GENERATED);
    for (path, text) in tree.rust().filter(|(path, _)| ours(path)) {
        let lines = text.lines().count();
        if lines > LINES_MAX {
            let advice = format!("{lines} lines: split it by nouns, {LINES_MAX} are the limit");
            problems.push(Problem::new(path, advice));
        }
        let mut in_tests = path.contains("/tests/");
        for (number, line) in code(text) {
            in_tests |= line.trim() == "#[cfg(test)]";
            let in_tests = in_tests.then_some(&BANNED_IN_TESTS);
            for (banned, instead) in BANNED.iter().chain(in_tests).filter(|(banned, _)| line.contains(banned))
            {
                problems.push(Problem::new(format!("{path}:{number}"), format!("{banned}: {instead}")));
            }
        }
    }
    for member in &tree.crates {
        let path = format!("{}/src/lib.rs", member.folder);
        if tree.files.get(&path).is_some_and(|text| !text.starts_with("//!")) {
            problems.push(Problem::new(path, "begin with //! and what the crate is for"));
        }
    }
}

/// Lines that are not comments, with their numbers.
pub(super) fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(n, line)| (n + 1, line))
}

#[cfg(test)]
mod tests {
    use super::super::tree::Crate;
    use super::*;

    fn problems(path: &str, text: &str) -> Vec<Problem> {
        let member = Crate { folder: "crates/x".to_owned(), ..Crate::default() };
        let files = [(path.to_owned(), text.to_owned())].into();
        let mut problems = Vec::new();
        check(&Tree { crates: vec![member], files }, &mut problems);
        problems
    }

    #[test]
    fn finds_a_file_that_is_too_long() {
        assert_eq!(problems("crates/x/src/a.rs", &"\n".repeat(LINES_MAX)), []);
        assert!(problems("crates/x/src/a.rs", &"\n".repeat(LINES_MAX + 1))[0].advice.contains("801 lines"));
    }

    #[test]
    fn generated_code_may_be_long() {
        let long = "\n".repeat(LINES_MAX + 1);
        assert_eq!(problems("crates/proto/src/generated/a.rs", &long), []);
        assert_eq!(problems("crates/proto/src/a.rs", &long).len(), 1);
    }

    #[test]
    fn finds_what_was_left_for_later() {
        for line in ["    todo!()", "    dbg!(x);", "#[ignore = \"slow\"]"] {
            assert_eq!(problems("crates/x/src/a.rs", line)[0].place, "crates/x/src/a.rs:1", "{line}");
        }
        assert_eq!(problems("crates/x/src/a.rs", "// never todo!() here"), []);
    }

    #[test]
    fn finds_sleeps_in_tests_only() {
        let sleep = "fn f() { std::thread::sleep(d) }";
        assert_eq!(problems("crates/x/src/a.rs", sleep), []);
        assert_eq!(problems("crates/x/tests/a.rs", sleep).len(), 1);
        assert_eq!(problems("crates/x/src/a.rs", &format!("#[cfg(test)]\nmod tests {{ {sleep} }}")).len(), 1);
    }

    #[test]
    fn misses_the_documentation_of_a_crate() {
        assert_eq!(problems("crates/x/src/lib.rs", "//! What it is for.\n"), []);
        assert_eq!(problems("crates/x/src/lib.rs", "mod a;\n").len(), 1);
    }
}
