//! Which crate may use which.

use super::Problem;
use super::tree::{Crate, Tree};

const PREFIX: &str = "strandline-";
const SERVER: &str = "server";

/// Each crate and what it may be built with, of ours. `*` is everything but the server.
const ARROWS: [(&str, &[&str]); 12] = [
    ("model", &[]),
    ("replay", &["model"]),
    ("hub", &["model"]),
    ("store", &["model", "hub"]),
    ("store-local", &["model", "hub", "store"]),
    ("engine", &["model", "hub", "store"]),
    ("macros", &[]),
    ("proto", &["model"]),
    ("strandline", &["model", "replay", "hub", "store", "store-local", "engine", "macros", "proto"]),
    ("sim", &["*"]),
    (SERVER, &["*"]),
    ("xtask", &["*"]),
];

/// What tests, examples and benchmarks of a crate may use besides.
const DEV_ARROWS: [(&str, &[&str]); 1] = [("engine", &["store-local"])];

pub(super) fn check(tree: &Tree, problems: &mut Vec<Problem>) {
    let ours: Vec<&str> = tree.crates.iter().map(|c| short(&c.name)).collect();
    for member in &tree.crates {
        let Some(allowed) = of(&ARROWS, short(&member.name)) else {
            let advice = "say in ARROWS (xtask/src/tidy/arrows.rs) what this crate may use, and describe it in ARCHITECTURE.md";
            problems.push(Problem::new(format!("{}/Cargo.toml", member.folder), advice));
            continue;
        };
        check_list(member, &member.dependencies, &ours, &[allowed], problems);
        let for_tests = of(&DEV_ARROWS, short(&member.name)).unwrap_or_default();
        check_list(member, &member.dev_dependencies, &ours, &[allowed, for_tests], problems);
    }
}

fn check_list(
    member: &Crate,
    used: &[String],
    ours: &[&str],
    allowed: &[&[&str]],
    problems: &mut Vec<Problem>,
) {
    for used in used.iter().map(|name| short(name)).filter(|name| ours.contains(name)) {
        let listed = |name| allowed.iter().any(|list| list.contains(&name));
        if used != SERVER && (listed(used) || listed("*")) {
            continue;
        }
        let advice = format!(
            "{} must not use {used}: move what both need towards model, or invert the call with a trait",
            short(&member.name),
        );
        problems.push(Problem::new(format!("{}/Cargo.toml", member.folder), advice));
    }
}

fn of<'a>(table: &'a [(&str, &'a [&'a str])], name: &str) -> Option<&'a [&'a str]> {
    table.iter().find(|(of, _)| *of == name).map(|(_, list)| *list)
}

fn short(name: &str) -> &str {
    name.strip_prefix(PREFIX).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(members: &[(&str, &[&str], &[&str])]) -> Vec<String> {
        let owned = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect();
        let crates = members.iter().map(|(name, dependencies, dev)| Crate {
            name: (*name).to_owned(),
            folder: format!("crates/{}", short(name)),
            dependencies: owned(dependencies),
            dev_dependencies: owned(dev),
        });
        let tree = Tree { crates: crates.collect(), ..Tree::default() };
        let mut problems = Vec::new();
        check(&tree, &mut problems);
        problems.into_iter().map(|p| format!("{}: {}", p.place, p.advice)).collect()
    }

    const HUB: (&str, &[&str], &[&str]) = ("strandline-hub", &[], &[]);
    const LOCAL: (&str, &[&str], &[&str]) = ("strandline-store-local", &[], &[]);
    const ENGINE: (&str, &[&str], &[&str]) = ("strandline-engine", &[], &[]);

    #[test]
    fn finds_an_arrow_that_points_the_wrong_way() {
        let found = problems(&[HUB, ("strandline-replay", &["strandline-hub"], &[])]);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("crates/replay/Cargo.toml: replay must not use hub"), "{}", found[0]);
    }

    #[test]
    fn allows_a_concrete_store_to_the_tests_of_the_engine_only() {
        assert_eq!(
            problems(&[LOCAL, ("strandline-engine", &["strandline-hub"], &["strandline-store-local"])]).len(),
            0
        );
        assert_eq!(problems(&[LOCAL, ("strandline-engine", &["strandline-store-local"], &[])]).len(), 1);
    }

    #[test]
    fn nothing_uses_the_server() {
        let server: (&str, &[&str], &[&str]) = ("strandline-server", &["strandline-engine"], &[]);
        assert_eq!(problems(&[server, ENGINE]).len(), 0);
        assert_eq!(problems(&[server, ("strandline-sim", &["strandline-server"], &[])]).len(), 1);
        assert_eq!(problems(&[server, ("strandline", &[], &["strandline-server"])]).len(), 1);
    }

    #[test]
    fn every_crate_has_its_place() {
        assert!(problems(&[("strandline-extras", &[], &[])])[0].contains("ARROWS"));
    }
}
