//! Lists, pages and formats, against a server whose instances are always the same.

use std::io::Read as _;
use std::process::Stdio;

use serde_json::Value;

use crate::fake::Fake;
use crate::place::strandline;

#[test]
fn formats() {
    let fake = Fake::start();
    let show = |arguments: &[&str]| format!("$ {}\n{}\n", arguments.join(" "), fake.run(arguments).shown());
    insta::assert_snapshot!(
        [
            show(&["list", "--limit", "4"]),
            show(&["list", "--status", "failed", "-o", "wide"]),
            show(&["list", "--name", "Refund", "-o", "json", "--limit", "1", "--payloads"]),
            show(&["list", "--since", "2026-11-20T10:09:00Z", "-o", "jsonl"]),
            show(&["list", "--tag", "customer=2"]),
            show(&["list", "--tag", "customer=2", "-o", "json"]),
            show(&["list", "--count", "--status", "running,failed"]),
            show(&["get", "order-2"]),
            show(&["get", "order-1", "-o", "json"]),
            show(&["get", "order-0", "--output"]),
        ]
        .concat()
    );
    insta::assert_snapshot!(
        "others",
        [
            show(&["history", "order-2"]),
            show(&["history", "order-2", "--failed"]),
            show(&["history", "order-2", "--failed", "-o", "jsonl"]),
            show(&["entity", "list", "--all", "--state"]),
            show(&["entity", "get", "@counter@alice"]),
            show(&["entity", "get", "@counter@alice", "--state"]),
            show(&["hub", "list"]),
            show(&["worker", "list", "-o", "wide"]),
            show(&["worker", "list", "-o", "json"]),
        ]
        .concat()
    );
}

#[test]
fn pages_follow_each_other() {
    let fake = Fake::start();
    let ids = fake.run(&["list", "--all", "-o", "id"]).ok();
    let expected: Vec<_> = (0..12).rev().map(|n| format!("order-{n}")).collect();
    assert_eq!(ids.lines().collect::<Vec<_>>(), expected);
    assert_eq!(fake.asked(), [r#"list 1000 from """#, r#"list 1000 from "5""#, r#"list 1000 from "10""#]);

    let json: Value = serde_json::from_str(&fake.run(&["ls", "--limit", "7", "-o", "json"]).ok()).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 7);
    assert_eq!(fake.asked(), [r#"list 7 from """#, r#"list 2 from "5""#]);

    let table = fake.run(&["list", "--all", "-q"]).ok();
    assert_eq!(table.lines().count(), 13);
    assert_eq!(table.matches("STATUS").count(), 1);
}

#[test]
fn who_stops_reading_hears_no_complaint() {
    let fake = Fake::start();
    for format in ["table", "json", "jsonl", "id"] {
        let mut list = fake.command(&["list", "--all", "-o", format]);
        let mut list = list.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(list.stdout.take());
        let mut err = String::new();
        list.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        assert_eq!((list.wait().unwrap().code(), err.as_str()), (Some(0), ""), "{format}");
    }
}

#[test]
fn keys_and_hubs_are_sent() {
    let fake = Fake::start();
    let key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(key.path(), "secret\n").unwrap();
    let path = key.path().to_str().unwrap();
    fake.run(&["get", "order-1"]).ok();
    fake.run(&["get", "order-1", "--hub", "orders", "--key-file", path]).ok();
    let mut by_environment = strandline();
    by_environment.args(["get", "order-1"]);
    by_environment.env("STRANDLINE_SERVER", format!("http://{}", fake.address));
    by_environment.env("STRANDLINE_HUB", "orders").env("STRANDLINE_KEY", "other");
    assert!(by_environment.output().unwrap().status.success());
    let expected = ["default with no key", "orders with Bearer secret", "orders with Bearer other"];
    assert_eq!(fake.asked(), expected.map(|asked| format!("get from {asked}")));
    let help = strandline().env("STRANDLINE_KEY", "secret").args(["get", "--help"]).output().unwrap();
    assert!(!String::from_utf8(help.stdout).unwrap().contains("secret"));
}
