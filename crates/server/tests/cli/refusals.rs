//! What is refused, and what the command says to do instead.

use std::net::TcpListener;

use crate::place::{Server, said, strandline};

#[test]
fn without_a_server_it_says_how_to_start_one() {
    // A port that nothing listens on any more.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let table = said(strandline().args(["get", "a", "--server", &address]));
    let json = said(strandline().args(["get", "a", "-o", "json", "--server", &address]));
    let shown = format!("{}{}", table.shown(), json.shown()).replace(&address, "ADDRESS");
    insta::assert_snapshot!(shown);
}

#[test]
fn what_is_no_json_is_refused_before_a_server_is_asked() {
    let nowhere = |arguments: &[&str]| said(strandline().args(arguments).args(["--server", "127.0.0.1:1"]));
    let shown = [
        nowhere(&["start", "Greet", "-i", "it's Tokyo"]),
        nowhere(&["raise", "a", "Go", "-d", "{", "-o", "json"]),
        nowhere(&["start", "Greet", "-i", "@no-such-file"]),
        nowhere(&["list", "--since", "yesterday"]),
        nowhere(&["purge", "--status", "running", "-y"]),
        nowhere(&["terminate"]),
        nowhere(&["terminate", "a", "--all"]),
        said(strandline().args(["get", "a", "--server", "ftp://127.0.0.1"])),
    ];
    assert!(shown.iter().all(|said| said.exit == 2), "{shown:?}");
    insta::assert_snapshot!(shown.map(|said| said.shown()).concat());
}

#[test]
fn what_is_not_there_is_not_found() {
    let server = Server::start();
    for arguments in [
        ["get", "gone"].as_slice(),
        &["watch", "gone"],
        &["raise", "gone", "Go"],
        &["suspend", "gone"],
        &["resume", "gone"],
        &["terminate", "gone"],
        &["rewind", "gone"],
    ] {
        assert_eq!(server.run(arguments).exit, 6, "{arguments:?}");
    }
    let hub = server.run(&["get", "a", "--hub", "nowhere"]);
    assert_eq!(hub.exit, 6);
    assert!(hub.err.contains("strandline hub create"), "{hub:?}");
    assert_eq!(server.run(&["hub", "create", "nowhere"]).ok(), "created task hub nowhere\n");
    assert_eq!(server.run(&["get", "a", "--hub", "nowhere"]).err.lines().count(), 2);
    assert_eq!(server.run(&["hub", "create", "nowhere"]).exit, 7);
    assert_eq!(server.run(&["hub", "create", "no where"]).exit, 2);
    assert_eq!(server.run(&["delete-task-hub", "nowhere", "-y"]).ok(), "deleted task hub nowhere\n");
}
