//! What is wrong is named, with the place where it stands and what was probably meant.

use crate::place::{Place, said};

fn wrong(file: &str) -> String {
    Place::new().with("f.toml", file).run(&["config", "check", "f.toml"]).failed(1)
}

#[test]
fn a_file_that_is_right_is_in_order() {
    let place =
        Place::new().with("f.toml", "[hub]\nname = 'orders'\n").with("strandline.toml", "[nonsense]\n");
    assert_eq!(place.run(&["config", "check", "f.toml"]).ok(), "f.toml is in order\n");
    let err = place.run(&["config", "check"]).failed(1);
    assert!(err.contains("strandline.toml:1: there is no setting nonsense"), "{err}");
    assert_eq!(Place::new().run(&["config", "check"]).ok(), "the configuration is in order\n");
}

#[test]
fn everything_wrong_is_said_at_once() {
    let err = wrong(
        "[hub]\nnmae = 'a'\npartitions = 'many'\nmax_concurrent_activities = 0\n\n[limits]\nbody_timeout = 30\n\n\
         [hubb]\n\n[http]\npublic_url = 'nowhere'\n",
    );
    let lines = [
        "f.toml:2: there is no setting hub.nmae; did you mean hub.name?",
        "f.toml:3: hub.partitions must be a whole number from 0 to 65535, not \"many\"",
        "f.toml:4: hub.max_concurrent_activities must be a whole number, at least 1, not 0",
        "f.toml:7: limits.body_timeout must be a duration like 30s or 5m, not 30",
        "f.toml:9: there is no setting hubb; did you mean hub?",
        "f.toml:12: http.public_url: ",
    ];
    assert_eq!(err.trim_end().lines().count(), lines.len(), "{err}");
    for (said, line) in err.trim_start_matches("error: ").lines().zip(lines) {
        assert!(said.starts_with(line), "{line}:\n{err}");
    }
}

#[test]
fn a_setting_is_found_in_its_section() {
    assert!(
        wrong("partitions = 3\n")
            .contains("f.toml:1: there is no setting partitions; did you mean hub.partitions?")
    );
    assert!(
        wrong("hub = 3\n")
            .contains("f.toml:1: hub is a section: its settings are written below it, as in [hub]")
    );
}

#[test]
fn what_types_do_not_say_is_checked_too() {
    for (file, said) in [
        ("[hub]\npartitions = 0\n", "f.toml:2: hub.partitions: must be 1 to 1024"),
        ("[hub]\nname = 'a b'\n", "f.toml:2: hub.name: must be 1 to 64 of A-Z a-z 0-9 _ -"),
        ("[tls]\nkey = 'k'\n", "tls.certificate: must be given with tls.key"),
        ("[tls]\nclient_ca = 'c'\n", "f.toml:2: tls.client_ca: must be given with tls.certificate"),
        ("[http]\npublic_url = 'ftp://a.example'\n", "f.toml:2: http.public_url: must begin with http://"),
        ("[http]\npublic_url = 'https://a.example/?x'\n", "f.toml:2: http.public_url: must begin"),
        ("[http]\npublic_url = 'https://a.example/#x'\n", "f.toml:2: http.public_url: must begin"),
        ("[shutdown]\ngrace = '61m'\n", "f.toml:2: shutdown.grace: must be at most 1h"),
        (
            "[auth.jwt]\naudiences = ['a']\nissuer = 'http://id.example'\n",
            "f.toml:3: auth.jwt.issuer: must be an",
        ),
        ("[auth.jwt]\naudiences = ['a']\nissuer = 'x'\n", "f.toml:3: auth.jwt.issuer: must be a URL"),
        ("[limits]\njson_depth_max = 129\n", "f.toml:2: limits.json_depth_max: must be 1 to 128"),
        ("[limits]\nconnections_max = 0\n", "f.toml:2: limits.connections_max: must be at least 1"),
        ("[limits]\nheader_timeout = '0s'\n", "f.toml:2: limits.header_timeout: must be longer than nothing"),
        (
            "[call_http]\ndefault_async_request_sleep = '999ms'\n",
            "f.toml:2: call_http.default_async_request_sleep: must be 1s to 1h",
        ),
        (
            "[call_http]\ndefault_async_request_sleep = '3601s'\n",
            "f.toml:2: call_http.default_async_request_sleep: must be 1s to 1h",
        ),
        ("[limits]\nwaits_max = 0\n", "f.toml:2: limits.waits_max: must be at least 1"),
        ("[call_http]\nrequests_max = 0\n", "f.toml:2: call_http.requests_max: must be at least 1"),
        ("[call_http]\ntimeout = '0s'\n", "f.toml:2: call_http.timeout: must be longer than nothing"),
        ("[auth.jwt]\nrefresh_pause = '0s'\n", "auth.jwt.refresh_pause: must be longer than nothing"),
        ("[server]\nlisten = []\n", "f.toml:2: server.listen: must name at least one address"),
        ("[server]\nlisten = ['here']\n", "f.toml:2: server.listen"),
        ("[hub]\noverridable_existing_instance_states = 'some'\n", "f.toml:2: hub.overridable_existing"),
    ] {
        let err = wrong(file);
        assert!(err.contains(said), "{said}:\n{err}");
    }
}

/// A line that can't be read may hold a secret.
#[test]
fn what_is_no_toml_is_not_repeated() {
    let err = wrong("[hub]\nname = 'a'\nkey = s3cr3t\n");
    assert!(err.contains("f.toml:3: ") && !err.contains("s3cr3t"), "{err}");
    let err = wrong("[hub]\nname = 'a'\nname = 'b'\n");
    assert!(err.contains("f.toml:3: duplicate key"), "{err}");
}

#[test]
fn what_may_be_a_secret_in_the_wrong_place_is_not_repeated() {
    for section in ["secrets", "tokens"] {
        for file in [
            "api = 's3cr3t'",
            "s3cr3t = 'api'",
            "api.value = 's3cr3t'",
            "api.value.file = ['s3cr3t']",
            "api.value.text = 's3cr3t'",
            "api.s3cr3t = 1",
            "api.value.s3cr3t = 1",
            "api.kind = 's3cr3t'",
            "api = { kind = 'static', value = 's3cr3t', origins = [] }",
            "api = { kind = 'static', value = { env = 'A' }, origins = 's3cr3t' }",
            "api.origins = 's3cr3t'",
        ] {
            let err = wrong(&format!("[call_http.{section}]\n{file}\n"));
            assert!(err.contains(&format!("f.toml:1: call_http.{section}")), "{file}: {err}");
            assert!(!err.contains("s3cr3t"), "{file}: {err}");
        }
        let err = wrong(&format!("[call_http]\n{section} = 's3cr3t'\n"));
        assert!(err.contains("must be a table, not a string") && !err.contains("s3cr3t"), "{err}");
    }
    let err = wrong("[call_http.tokens.api]\nkind = 'static'\nvalue = { env = 'A' }\n");
    assert!(err.contains("call_http.tokens.api: missing field `origins`"), "{err}");
}

#[test]
fn the_environment_is_read_as_strictly() {
    let place = Place::new();
    let check =
        |name: &str, value: &str| said(place.command(&["config", "check"]).env(name, value)).failed(1);
    let err = check("STRANDLINE__HUB__NMAE", "a");
    let said = "environment variable STRANDLINE__HUB__NMAE: there is no setting hub.nmae; did you mean STRANDLINE__HUB__NAME?";
    assert!(err.contains(said), "{err}");
    let err = check("STRANDLINE__HUB__PARTITIONS", "many");
    assert!(err.contains("STRANDLINE__HUB__PARTITIONS: hub.partitions must be a whole number"), "{err}");
    let err = check("STRANDLINE__TLS__KEY", "k");
    assert!(err.contains("tls.certificate: must be given with tls.key"), "{err}");
}

#[test]
fn nothing_is_said_twice_by_the_same_kind() {
    let place = Place::new();
    let mut command = place.command(&["config", "check"]);
    let err =
        crate::place::said(command.env("STRANDLINE_DIR", "a").env("STRANDLINE__SERVER__DIR", "b")).failed(1);
    assert!(err.contains("server.dir is said by environment variable STRANDLINE"), "{err}");
    let err = place.run(&["config", "show", "--dir", "a", "--set", "server.dir=b"]).failed(1);
    assert!(err.contains("--set server.dir: server.dir is said by --dir, too"), "{err}");
}

#[test]
fn commands_end_as_the_others_do() {
    let place = Place::new();
    let err = place.run(&["config", "check", "nowhere.toml"]).failed(6);
    assert!(err.contains("nowhere.toml can't be read"), "{err}");
    let err = place.run(&["serve", "--config", "nowhere.toml"]).failed(6);
    assert!(err.contains("nowhere.toml can't be read"), "{err}");
    let err = place.run(&["serve", "--set", "hub.partitions=x"]).failed(1);
    assert!(err.contains("--set hub.partitions: hub.partitions must be a whole number"), "{err}");
    let err = place.run(&["dev", "--once", "--set", "hub.nmae=x"]).failed(1);
    assert!(err.contains("--set hub.nmae: there is no setting hub.nmae; did you mean hub.name?"), "{err}");
    place.run(&["config", "show", "--set", "hub.name"]).failed(2);
    place.run(&["config", "check", "f.toml", "--config", "g.toml"]).failed(2);
}

#[test]
fn help_teaches() {
    let place = Place::new();
    for (command, parts) in [
        (vec!["serve", "--help"], ["--config", "--set", "strandline config example"]),
        (vec!["config", "--help"], ["show", "host.json", "check"]),
        (vec!["dev", "--help"], ["--config", "--set", "--host-json"]),
    ] {
        let help = place.run(&command).ok();
        assert!(parts.iter().all(|part| help.contains(part)), "{help}");
    }
}
