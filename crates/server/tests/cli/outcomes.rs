//! What instances come to, told by exit codes and output, with a real server.

use std::process::Stdio;

use serde_json::Value;

use crate::place::{Server, said};
use crate::worker::Worker;

#[test]
fn waiting_ends_with_the_outcome() {
    let server = Server::start();
    let _worker = Worker::start(&server.address);

    let json = server.run(&["start", "Echo", "-i", r#"{"n": 1}"#, "--tag", "a=b", "--wait", "-o", "json"]);
    let json: Value = serde_json::from_str(&json.ok()).unwrap();
    assert_eq!(json["runtimeStatus"], "Completed");
    assert_eq!(json["output"], serde_json::json!({ "n": 1 }));
    assert_eq!(json["tags"]["a"], "b");

    let failed = server.run(&["start", "Fail", "--id", "f", "--wait"]);
    assert_eq!(failed.exit, 3);
    assert!(failed.out.contains("Failure     PaymentError: the card was refused"), "{failed:?}");

    let slow = server.run(&["start", "Wait", "--id", "w", "--wait=50ms"]);
    assert_eq!(slow.exit, 5);
    assert!(slow.err.contains("`strandline watch w`"), "{slow:?}");

    let watching = server.command(&["watch", "w", "-o", "id"]).stdout(Stdio::piped()).spawn().unwrap();
    assert_eq!(server.run(&["raise", "w", "Go", "-d", "[true]"]).ok(), "raised Go for w\n");
    let watched = watching.wait_with_output().unwrap();
    assert_eq!((watched.status.code(), watched.stdout.as_slice()), (Some(0), b"w\n".as_slice()));
    assert_eq!(server.run(&["get", "w", "--output"]).ok(), "[true]\n");

    assert_eq!(server.run(&["raise", "w", "Go"]).exit, 7);
    assert_eq!(server.run(&["start", "Echo", "--id", "w"]).exit, 7);
    assert_eq!(server.run(&["start", "Echo", "--id", "w", "--reuse-policy", "ended", "--wait"]).exit, 0);
}

#[test]
fn what_waits_can_be_suspended_resumed_and_terminated() {
    let server = Server::start();
    let _worker = Worker::start(&server.address);
    assert_eq!(server.run(&["start-new", "Wait", "--id", "w", "-q", "-o", "id"]).ok(), "w\n");

    let status = || {
        let json: Value = serde_json::from_str(&server.run(&["status", "w", "-o", "json"]).ok()).unwrap();
        json["runtimeStatus"].as_str().unwrap().to_owned()
    };
    assert_eq!(server.run(&["suspend", "w", "--reason", "r"]).ok(), "suspended w\n");
    assert_eq!(status(), "Suspended");
    assert_eq!(server.run(&["resume", "w"]).ok(), "resumed w\n");
    assert_eq!(server.run(&["terminate", "w", "--reason", "it's late"]).ok(), "terminated w\n");

    let watched = server.run(&["watch", "w", "-o", "jsonl"]);
    assert_eq!(watched.exit, 4);
    let json: Value = serde_json::from_str(&watched.out).unwrap();
    assert_eq!((&json["runtimeStatus"], &json["output"]), (&"Terminated".into(), &"it's late".into()));
    let again = server.run(&["terminate", "w"]);
    assert_eq!((again.exit, again.err.as_str()), (7, "error: instance \"w\" is over already: Terminated\n"));
}

#[test]
fn inputs_come_from_files_and_pipes() {
    let server = Server::start();
    let _worker = Worker::start(&server.address);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[1,\n 2]\n").unwrap();
    let from_file = format!("@{}", file.path().display());
    assert_eq!(server.run(&["start", "Echo", "-i", &from_file, "--id", "a", "--wait"]).exit, 0);
    assert_eq!(server.run(&["get", "a", "--output"]).ok(), "[1,2]\n");

    let mut piped = server.command(&["start", "Echo", "-i", "-", "--id", "b", "--wait"]);
    assert_eq!(said(piped.stdin(std::fs::File::open(file.path()).unwrap())).exit, 0);
    assert_eq!(server.run(&["get", "b", "--input"]).ok(), "[1,2]\n");

    assert_eq!(server.run(&["start", "Echo", "-i", "plain", "--raw", "--id", "c", "--wait"]).exit, 0);
    assert_eq!(server.run(&["get", "c", "--output"]).ok(), "plain\n");
}

#[test]
fn an_interrupt_is_told_from_an_outcome() {
    let server = Server::start();
    let mut watching = server.command(&["start", "Wait", "--id", "w", "--wait"]).spawn().unwrap();
    // It listens for interrupts before it starts anything.
    while server.run(&["get", "w"]).exit != 0 {}
    let pid = rustix::process::Pid::from_child(&watching);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(watching.wait().unwrap().code(), Some(130));
}
