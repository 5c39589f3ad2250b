//! Every `--help`, and the names that commands have elsewhere.

use crate::place::{said, strandline};

const COMMANDS: [&[&str]; 22] = [
    &[],
    &["start"],
    &["get"],
    &["list"],
    &["history"],
    &["watch"],
    &["why"],
    &["raise"],
    &["suspend"],
    &["resume"],
    &["terminate"],
    &["rewind"],
    &["restart"],
    &["purge"],
    &["entity"],
    &["entity", "list"],
    &["entity", "get"],
    &["entity", "signal"],
    &["hub"],
    &["hub", "create"],
    &["hub", "delete"],
    &["worker", "list"],
];

#[test]
fn helps() {
    for command in COMMANDS {
        let help = said(strandline().args(command).arg("--help")).ok();
        let name = if command.is_empty() { "strandline".to_owned() } else { command.join("-") };
        insta::assert_snapshot!(format!("help-{name}"), help);
    }
}

#[test]
fn names_from_elsewhere_mean_the_same() {
    for (alias, name) in [
        ("start-new", "start"),
        ("get-runtime-status", "get"),
        ("status", "get"),
        ("describe", "get"),
        ("get-instances", "list"),
        ("ls", "list"),
        ("get-history", "history"),
        ("raise-event", "raise"),
        ("purge-history", "purge"),
    ] {
        let help = |name: &str| said(strandline().args([name, "--help"])).ok();
        assert_eq!(help(alias), help(name), "{alias}");
    }
}
