//! `cargo xtask tidy`: what no compiler checks. Each rule says what to do when it is broken.

mod arrows;
mod decisions;
mod purity;
mod source;
mod tree;

use std::process::ExitCode;

use tree::Tree;

/// Where a rule is broken, and what to do.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Problem {
    place: String,
    advice: String,
}

impl Problem {
    fn new(place: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { place: place.into(), advice: advice.into() }
    }
}

pub(crate) fn run() -> ExitCode {
    let tree = match Tree::read() {
        Ok(tree) => tree,
        Err(error) => {
            eprintln!("tidy: the workspace can't be read: {error}");
            return ExitCode::FAILURE;
        }
    };
    let problems = check(&tree);
    for problem in &problems {
        eprintln!("{}: {}", problem.place, problem.advice);
    }
    if problems.is_empty() {
        println!("tidy: {} crates and {} files are in order", tree.crates.len(), tree.files.len());
        ExitCode::SUCCESS
    } else {
        eprintln!("tidy: {} to put right", problems.len());
        ExitCode::FAILURE
    }
}

fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    arrows::check(tree, &mut problems);
    purity::check(tree, &mut problems);
    source::check(tree, &mut problems);
    decisions::check(tree, &mut problems);
    problems.sort();
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_repository_is_tidy() {
        assert_eq!(check(&Tree::read().unwrap()), []);
    }
}
