//! What the documents tell people to type exists, and does what they say.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const DOCUMENTS: [&str; 3] = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Blocks of a language in a document, as lines.
fn blocks(document: &str, language: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(root().join(document)).unwrap();
    let mut blocks: Vec<Vec<String>> = Vec::new();
    let mut open: Option<bool> = None;
    for line in text.lines() {
        match (line.strip_prefix("```"), open) {
            (Some(of), None) => {
                open = Some(of == language);
                if of == language {
                    blocks.push(Vec::new());
                }
            }
            (Some(_), Some(_)) => open = None,
            (None, Some(true)) => blocks.last_mut().unwrap().push(line.to_owned()),
            (None, _) => {}
        }
    }
    blocks
}

/// The arguments after `--` of a cargo command.
fn after_dashes<'a>(words: &'a [&'a str]) -> &'a [&'a str] {
    words.iter().position(|word| *word == "--").map_or(&[], |at| &words[at + 1..])
}

fn check(command: &str) -> Result<(), String> {
    // Settings of the environment may stand in front.
    let setting = |word: &&str| {
        word.split_once('=').is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
    };
    let words: Vec<&str> = command.split_whitespace().skip_while(setting).collect();
    match words[..] {
        ["kill", "-9", "PID"] | [".ci/run"] => Ok(()),
        ["cargo", "test" | "fmt" | "clippy" | "doc", ..] => Ok(()),
        ["cargo", "xtask", chore, ..] => {
            let chores = fs::read_to_string(root().join("xtask/src/main.rs")).map_err(|e| e.to_string())?;
            let known = chores.contains(&format!("\"{chore}\""));
            known.then_some(()).ok_or_else(|| format!("there is no chore {chore}"))
        }
        ["cargo", "run", ..] => match words.iter().position(|word| *word == "--example") {
            Some(at) => {
                let file = format!("crates/strandline/examples/{}.rs", words[at + 1]);
                root().join(&file).is_file().then_some(()).ok_or_else(|| format!("there is no {file}"))
            }
            None => accepted(after_dashes(&words)),
        },
        _ => Err("this test does not know how to check it".to_owned()),
    }
}

/// The program takes these arguments; with `--help` behind them it does nothing.
fn accepted(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(env!("CARGO_BIN_EXE_strandline")).args(arguments).arg("--help").output();
    let output = output.map_err(|e| e.to_string())?;
    output.status.success().then_some(()).ok_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn every_command_exists() {
    let mut checked = 0;
    for document in DOCUMENTS {
        for line in blocks(document, "sh").concat() {
            let command = line.split(" #").next().unwrap_or_default().trim();
            if let Err(problem) = check(command) {
                panic!("{document}: `{command}`: {problem}");
            }
            checked += 1;
        }
    }
    assert!(checked > 10, "only {checked} commands were found");
}

#[test]
fn this_test_finds_commands_that_do_not_exist() {
    for command in [
        "cargo run -- dev --no-such-flag",
        "cargo run -- nothing",
        "cargo run --example nothing",
        "cargo xtask nothing",
        "curl example.org",
    ] {
        assert!(check(command).is_err(), "{command}");
    }
}

#[test]
fn every_link_leads_somewhere() {
    for document in DOCUMENTS.into_iter().chain(["CHANGELOG.md"]) {
        let text = fs::read_to_string(root().join(document)).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap_or_default();
            assert!(link.starts_with("http") || root().join(path).exists(), "{document}: {link}");
        }
    }
}

#[test]
fn every_block_is_of_a_kind_that_is_checked() {
    for document in DOCUMENTS {
        let text = fs::read_to_string(root().join(document)).unwrap();
        let fences = text.lines().filter_map(|line| line.strip_prefix("```"));
        for language in fences.step_by(2) {
            // Rust in the README is compiled by the documentation tests of the SDK; text in the README is
            // compared with the demo's output, elsewhere it is a drawing. Lines for other languages are
            // executed by `conformance/run`, as far as their SDKs can be had in CI; so are sessions.
            let others = ["console", "python", "javascript", "java", "csharp", "go"];
            let in_readme = language == "rust,no_run" || others.contains(&language);
            let checked = language == "sh" || language == "text" || (document == "README.md" && in_readme);
            assert!(checked, "{document}: nothing checks a block of {language:?}");
        }
    }
}
