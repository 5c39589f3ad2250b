//! The pure crates stay pure: no clock, randomness, threads or I/O.

use super::Problem;
use super::tree::Tree;

const PURE: [&str; 3] = ["strandline-model", "strandline-replay", "strandline-hub"];

const BANNED_CRATES: [&str; 8] =
    ["async-std", "fastrand", "getrandom", "mio", "rand", "rayon", "smol", "tokio"];

const BANNED_CODE: [(&str, &str); 8] = [
    ("SystemTime::now", "take the time from the command or the turn"),
    ("Instant::now", "take the time from the command or the turn"),
    ("std::thread", "leave threads to the engine's runtime"),
    ("std::fs", "leave files to a store"),
    ("std::net", "leave sockets to the server"),
    ("std::env", "take settings as arguments"),
    ("std::process", "leave processes to the server"),
    ("tokio::", "leave the runtime to the engine"),
];

pub(super) fn check(tree: &Tree, problems: &mut Vec<Problem>) {
    for member in tree.crates.iter().filter(|c| PURE.contains(&c.name.as_str())) {
        for used in member.dependencies.iter().filter(|name| BANNED_CRATES.contains(&name.as_str())) {
            let advice =
                format!("{} is pure: remove {used}, let what it gives come in with the call", member.name);
            problems.push(Problem::new(format!("{}/Cargo.toml", member.folder), advice));
        }
        let lints = format!("{}/clippy.toml", member.folder);
        if !tree.files.get(&lints).is_some_and(|text| text.contains("disallowed-methods")) {
            let advice = "a pure crate bans clocks and threads in its clippy.toml: copy that of crates/model";
            problems.push(Problem::new(lints, advice));
        }
        let folder = format!("{}/src/", member.folder);
        for (path, text) in tree.rust().filter(|(path, _)| path.starts_with(&folder)) {
            for (number, line) in super::source::code(text) {
                for (banned, instead) in BANNED_CODE.iter().filter(|(banned, _)| line.contains(banned)) {
                    let advice = format!("{banned} in a pure crate: {instead}");
                    problems.push(Problem::new(format!("{path}:{number}"), advice));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::Crate;
    use super::*;

    fn pure(dependencies: &[&str], files: &[(&str, &str)]) -> Vec<Problem> {
        let hub = Crate {
            name: "strandline-hub".to_owned(),
            folder: "crates/hub".to_owned(),
            dependencies: dependencies.iter().map(|name| (*name).to_owned()).collect(),
            ..Crate::default()
        };
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        let tree = Tree { crates: vec![hub], files: files.collect() };
        let mut problems = Vec::new();
        check(&tree, &mut problems);
        problems
    }

    const LINTS: (&str, &str) = ("crates/hub/clippy.toml", "disallowed-methods = []");

    #[test]
    fn finds_a_banned_dependency() {
        let found = pure(&["prost", "tokio"], &[LINTS]);
        assert!(found.len() == 1 && found[0].advice.contains("remove tokio"), "{found:?}");
    }

    #[test]
    fn finds_a_clock_but_not_one_in_a_comment() {
        let code = "// never SystemTime::now\nfn f() {\n    let t = std::time::SystemTime::now();\n}\n";
        let found = pure(&[], &[LINTS, ("crates/hub/src/lib.rs", code)]);
        assert!(found.len() == 1 && found[0].place == "crates/hub/src/lib.rs:3", "{found:?}");
    }

    #[test]
    fn misses_the_lints() {
        assert_eq!(pure(&[], &[])[0].place, "crates/hub/clippy.toml");
    }
}
