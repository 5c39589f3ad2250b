//! `strandline keys` as a person and a script use it; no server runs.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

fn keys(place: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strandline"));
    command.current_dir(place).env_remove("STRANDLINE_DIR").env_remove("STRANDLINE_KEYS");
    command.arg("keys").args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// What it says on standard output and standard error.
fn success(output: Output) -> (String, String) {
    let (out, err) = texts(&output);
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    (out, err)
}

/// What it says on standard error, with nothing on standard output.
fn failure(output: Output, code: i32) -> String {
    let (out, err) = texts(&output);
    assert_eq!(output.status.code(), Some(code), "{err}");
    assert_eq!(out, "");
    err
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

fn place() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Makes a key; its text and its id.
fn create(place: &Path, arguments: &[&str]) -> (String, String) {
    let (out, _) = success(keys(place, &[&["create"], arguments].concat()));
    let key = out.strip_suffix('\n').unwrap().to_owned();
    let id = key.split('_').nth(1).unwrap().to_owned();
    (key, id)
}

#[test]
fn the_key_alone_is_printed_and_only_once() {
    let place = place();
    let arguments = ["create", "--role", "worker", "--hub", "orders", "--note", "Ann's"];
    let (out, err) = success(keys(place.path(), &arguments));
    let key = out.strip_suffix('\n').unwrap();
    let parts: Vec<&str> = key.splitn(3, '_').collect();
    assert_eq!((parts[0], parts[1].len(), parts[2].len()), ("strandline", 12, 43), "{key}");
    assert!(err.contains(parts[1]) && err.contains("worker of hub 'orders' (Ann's)"), "{err}");
    assert!(err.contains(".strandline/keys.json") && !err.contains(parts[2]), "{err}");
    for format in ["table", "json", "jsonl", "id"] {
        let (out, err) = success(keys(place.path(), &["list", "-o", format]));
        assert!(out.contains(parts[1]) && !out.contains(parts[2]) && err.is_empty(), "{out}{err}");
    }
    let file = fs::read_to_string(place.path().join(".strandline/keys.json")).unwrap();
    assert!(file.contains(parts[1]) && !file.contains(parts[2]), "{file}");
}

#[test]
fn keys_are_listed_for_people() {
    let place = place();
    let (out, err) = success(keys(place.path(), &["list"]));
    assert_eq!(out, "");
    assert_eq!(
        err,
        "there are no keys in ./.strandline/keys.json; `strandline keys create --role ROLE` makes one\n"
    );
    fs::create_dir(place.path().join("data")).unwrap();
    let digest = "00".repeat(32);
    let entry = |id, roles: &[&str], hub, note, expires: Option<&str>| {
        serde_json::json!({
            "id": id, "roles": roles, "hub": hub, "note": note,
            "created": "2026-01-31T12:00:00Z", "expires": expires, "sha256": digest,
        })
    };
    let entries = [
        entry("000000000001", &["client", "worker"], "orders", "of the shop, since spring", None),
        entry("000000000002", &["admin"], "*", "", Some("2026-02-01T00:00:00Z")),
        entry("000000000003", &["worker"], "billing", "", Some("9999-01-01T00:00:00Z")),
    ];
    let file = serde_json::json!({ "version": 1, "keys": entries });
    fs::write(place.path().join("data/keys.json"), file.to_string()).unwrap();
    let (out, _) = success(keys(place.path(), &["list", "--dir", "data"]));
    let expected = "\
ID            ROLE           HUB      CREATED               EXPIRES                      NOTE
000000000001  client,worker  orders   2026-01-31T12:00:00Z  never                        of the shop, since spring
000000000002  admin          *        2026-01-31T12:00:00Z  2026-02-01T00:00:00Z (over)
000000000003  worker         billing  2026-01-31T12:00:00Z  9999-01-01T00:00:00Z
";
    assert_eq!(out, expected);
    let (out, _) = success(keys(place.path(), &["list", "--keys", "data/keys.json", "-o", "id"]));
    assert_eq!(out, "000000000001\n000000000002\n000000000003\n");
    let (out, _) = success(keys(place.path(), &["--dir", "data", "list", "-o", "json"]));
    let listed: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        listed[1],
        serde_json::json!({
            "id": "000000000002", "roles": ["admin"], "hub": "*", "note": "", "created": "2026-01-31T12:00:00Z",
            "expires": "2026-02-01T00:00:00Z", "expired": true,
        })
    );
    let (out, _) = success(keys(place.path(), &["list", "--dir", "data", "-o", "jsonl"]));
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, *listed.as_array().unwrap());
}

#[test]
fn keys_are_made_for_scripts() {
    let place = place();
    let arguments = [
        "create",
        "--keys",
        "k.json",
        "--role",
        "client",
        "--role",
        "worker",
        "--expires",
        "90d",
        "-o",
        "json",
    ];
    let (out, _) = success(keys(place.path(), &arguments));
    let made: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(made["roles"], serde_json::json!(["client", "worker"]));
    assert_eq!(made["hub"], "*");
    assert!(made["key"].as_str().unwrap().contains(made["id"].as_str().unwrap()));
    assert_eq!(made["expired"], false);
    assert!(made["expires"].as_str().unwrap() > made["created"].as_str().unwrap());
    assert!(!place.path().join(".strandline").exists());
}

#[test]
fn keys_are_revoked_by_id_or_by_themselves() {
    let place = place();
    let place = place.path();
    let (_, first) = create(place, &["--role", "client"]);
    let (second_key, second) = create(place, &["--role", "admin", "--note", "left in a log"]);
    let (_, third) = create(place, &["--role", "worker"]);

    let err = failure(keys(place, &["revoke", &first]), 2);
    assert!(err.contains(&first) && err.contains("say -y"), "{err}");
    let err = failure(keys(place, &["revoke", "-y", &first, "000000000000"]), 6);
    assert!(err.contains("no key 000000000000"), "{err}");
    failure(keys(place, &["revoke", "000000000000"]), 6);
    assert_eq!(success(keys(place, &["list", "-o", "id"])).0.lines().count(), 3);

    let (out, err) = success(keys(place, &["revoke", "-y", &second_key, &third]));
    assert_eq!(out, "");
    assert!(err.contains(&format!("revoked key {second} for admin of all hubs (left in a log)")), "{err}");
    assert!(!err.contains(&second_key), "{err}");
    assert_eq!(success(keys(place, &["list", "-o", "id"])).0, format!("{first}\n"));
}

#[test]
fn a_key_is_rotated_into_one_like_it() {
    let place = place();
    let place = place.path();
    let scope = ["--role", "client", "--hub", "orders", "--function", "Order,Cart", "--note", "Ann's"];
    let (first_key, first) = create(place, &scope);
    let (out, err) = success(keys(place, &["rotate", &first_key, "-o", "json"]));
    let made: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&made["replaces"], &made["hub"]), (&Value::from(first.as_str()), &Value::from("orders")));
    assert_eq!(made["functions"], serde_json::json!(["Cart", "Order"]));
    assert!(err.contains(&format!("strandline keys revoke {first}")) && err.contains("Ann's"), "{err}");
    let second = made["id"].as_str().unwrap();
    // Two of a line are enough.
    for id in [&first, second] {
        let err = failure(keys(place, &["rotate", id]), 1);
        assert!(err.contains("revoke the one that nobody uses"), "{err}");
    }
    failure(keys(place, &["rotate", "000000000000"]), 6);
    success(keys(place, &["revoke", "-y", &first]));
    let (_, err) = success(keys(place, &["rotate", second, "--keep", "7d", "--expires", "1y"]));
    assert!(err.contains("it ends at 20") && err.contains("good until 20"), "{err}");
    let (table, _) = success(keys(place, &["list"]));
    assert_eq!(table.matches("client:Cart,Order").count(), 2, "{table}");
}

#[test]
fn secrets_of_urls_are_rotated() {
    let place = place();
    let file = place.path().join(".strandline/url-secrets.json");
    success(keys(place.path(), &["rotate-urls"]));
    let first = fs::read_to_string(&file).unwrap();
    let (out, err) = success(keys(place.path(), &["rotate-urls"]));
    let second = fs::read_to_string(&file).unwrap();
    let secret = |text: &str, name: &str| serde_json::from_str::<Value>(text).unwrap()[name].clone();
    assert_eq!(secret(&second, "older"), secret(&first, "newest"));
    let shown = format!("{out}{err}");
    assert!(err.contains("url-secrets.json") && !shown.contains(secret(&second, "newest").as_str().unwrap()));
}

#[test]
fn what_makes_no_sense_is_refused_with_what_would() {
    let place = place();
    for (arguments, hint) in [
        (&["create"][..], "--role"),
        (&["create", "--role", "owner"], "client, reader, worker, admin"),
        (&["create", "--role", "client", "--hub", "a/b"], "1 to 64 letters"),
        (&["create", "--role", "client", "--expires", "soon"], "90d"),
        (&["create", "--role", "client", "--expires", "2020-01-01"], "over already"),
        (&["create", "--role", "client", "--note", "a\nb"], "control characters"),
        (&["create", "--role", "client", "-o", "id"], "jsonl"),
        (&["create", "--role", "worker", "--function", "Order"], "the role client alone"),
        (&["create", "--role", "client", "--function", ""], "1 to 64 functions"),
        (&["rotate", "first"], "12 hex digits"),
        (&["revoke"], "ID"),
        (&["revoke", "first"], "12 hex digits"),
    ] {
        let err = failure(keys(place.path(), arguments), 2);
        assert!(err.contains(hint), "{arguments:?}: {err}");
    }
    assert!(fs::read_dir(place.path()).unwrap().next().is_none(), "nothing was made");
}

#[test]
fn a_damaged_file_is_named_and_left_alone() {
    let place = place();
    fs::write(place.path().join("keys.json"), "{\"version\": 7}").unwrap();
    for arguments in [&["list"][..], &["create", "--role", "client"], &["revoke", "-y", "000000000000"]] {
        let err = failure(keys(place.path(), &[arguments, &["--dir", "."]].concat()), 1);
        assert!(err.contains("keys.json has version 7") && err.lines().count() == 1, "{err}");
    }
    assert_eq!(fs::read_to_string(place.path().join("keys.json")).unwrap(), "{\"version\": 7}");
}

#[test]
fn what_the_file_system_says_is_said_once() {
    let place = place();
    fs::create_dir(place.path().join("keys.json")).unwrap();
    let err = failure(keys(place.path(), &["list", "--dir", "."]), 1);
    assert!(err.starts_with("error: reading ./keys.json: "), "{err}");
    assert_eq!(err.matches("os error").count(), 1, "{err}");
}

#[test]
fn help_teaches() {
    let place = place();
    let (help, _) = success(keys(place.path(), &["--help"]));
    for part in
        ["authorization: Bearer KEY", "x-functions-key", "Examples:", "--expires 90d", "within a second"]
    {
        assert!(help.contains(part), "{part}: {help}");
    }
    let (help, _) = success(keys(place.path(), &["create", "--help"]));
    for part in ["can't be shown again", "Takes work and returns it", "--hub", "all", "2027-01-31"] {
        assert!(help.contains(part), "{part}: {help}");
    }
}
