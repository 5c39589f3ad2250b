//! What is in force, and why.

use serde_json::{Value, json};

use crate::place::{Place, found, packaging, said};

#[test]
fn the_stronger_says_what_counts() {
    let place = Place::new()
        .with("strandline.toml", "[hub]\nname = 'here'\npartitions = 3\n\n[limits]\njson_depth_max = 10\n")
        .with("named.toml", "[hub]\nname = 'named'\nmax_entity_operation_batch_size = 7\n")
        .with(
            "host.json",
            r#"{"extensions":{"durableTask":{"hubName":"host","maxConcurrentActivityFunctions":5}}}"#,
        );
    let arguments = ["--config", "named.toml", "--host-json", "host.json", "--set", "hub.cache_bytes=4096"];
    let mut command = place.command(&["config", "show", "--sources", "-o", "json"]);
    command.args(arguments).env("STRANDLINE__HUB__MAX_ENTITY_OPERATION_BATCH_SIZE", "9");
    command.env("STRANDLINE__HUB__CACHE_BYTES", "1").env("STRANDLINE__SERVER__INSECURE", "");
    let out = said(&mut command).ok();
    for (key, value, source) in [
        ("hub.cache_bytes", json!(4096), "--set hub.cache_bytes"),
        (
            "hub.max_entity_operation_batch_size",
            json!(9),
            "environment variable STRANDLINE__HUB__MAX_ENTITY_OPERATION_BATCH_SIZE",
        ),
        ("hub.name", json!("named"), "named.toml:2"),
        ("hub.max_concurrent_activities", json!(5), "host.json: maxConcurrentActivityFunctions"),
        ("hub.partitions", json!(3), "strandline.toml:3"),
        ("limits.json_depth_max", json!(10), "strandline.toml:6"),
        ("hub.max_concurrent_entities", Value::Null, "default"),
        ("limits.body_timeout", json!("30s"), "default"),
        // A variable without a value says nothing.
        ("server.insecure", json!(false), "default"),
    ] {
        assert_eq!(found(&out, key), (value, source.to_owned()), "{key}");
    }
}

#[test]
fn flags_and_variables_of_old_are_sources_too() {
    let place = Place::new();
    let mut command =
        place.command(&["config", "show", "--sources", "-o", "json", "--dir", "d", "--insecure"]);
    command.env("STRANDLINE_DIR", "other").env("STRANDLINE_KEYS", "k.json");
    command.env("STRANDLINE_LISTEN", "127.0.0.1:1, [::1]:2");
    let out = said(&mut command).ok();
    assert_eq!(found(&out, "server.dir"), (json!("d"), "--dir".to_owned()));
    assert_eq!(found(&out, "server.insecure"), (json!(true), "--insecure".to_owned()));
    let variable = |name: &str| format!("environment variable {name}");
    assert_eq!(found(&out, "server.keys"), (json!("k.json"), variable("STRANDLINE_KEYS")));
    let addresses = json!(["127.0.0.1:1", "[::1]:2"]);
    assert_eq!(found(&out, "server.listen"), (addresses, variable("STRANDLINE_LISTEN")));
    let listen = place.setting(&["--listen", "127.0.0.1:1", "--listen", "127.0.0.1:2"], "server.listen");
    assert_eq!(listen, (json!(["127.0.0.1:1", "127.0.0.1:2"]), "--listen".to_owned()));
}

#[test]
fn every_kind_of_value_can_be_said_in_a_variable() {
    let place = Place::new();
    for (variable, text, key, value) in [
        ("HUB__NAME", "12", "hub.name", json!("12")),
        ("HUB__PARTITIONS", "12", "hub.partitions", json!(12)),
        ("HUB__MAX_CONCURRENT_ENTITIES", "12", "hub.max_concurrent_entities", json!(12)),
        ("HTTP__USE_FORWARDED_HOST", "true", "http.use_forwarded_host", json!(true)),
        (
            "HTTP__ALLOWED_HOSTS",
            "a.example, b.example:80",
            "http.allowed_hosts",
            json!(["a.example", "b.example:80"]),
        ),
        ("HTTP__ALLOWED_HOSTS", "[\"a.example\"]", "http.allowed_hosts", json!(["a.example"])),
        ("HTTP__PUBLIC_URL", "https://a.example/x", "http.public_url", json!("https://a.example/x")),
        ("LIMITS__BODY_TIMEOUT", "1m 30s", "limits.body_timeout", json!("1m 30s")),
        (
            "HUB__OVERRIDABLE_EXISTING_INSTANCE_STATES",
            "any",
            "hub.overridable_existing_instance_states",
            json!("any"),
        ),
    ] {
        let mut command = place.command(&["config", "show", "--sources", "-o", "json"]);
        let out = said(command.env(format!("STRANDLINE__{variable}"), text)).ok();
        assert_eq!(found(&out, key).0, value, "{variable}={text}");
    }
}

/// What is shown as a file says the same when it is read.
#[test]
fn what_is_shown_can_be_read_again() {
    let place = Place::new().with("named.toml", "[hub]\nname = 'a'\n\n[http]\nallowed_hosts = ['x', 'y']\n");
    let show = |arguments: &[&str]| said(place.command(&["config", "show"]).args(arguments)).ok();
    let file = show(&["--config", "named.toml"]);
    let told = show(&["--config", "named.toml", "--sources"]);
    assert!(told.contains("name = \"a\"  # named.toml:2\n"), "{told}");
    let place_2 = Place::new().with("strandline.toml", &file).with("told.toml", &told);
    assert_eq!(place_2.run(&["config", "show"]).ok(), file);
    assert_eq!(place_2.run(&["config", "show", "--config", "told.toml"]).ok(), file);
    let json: Value = serde_json::from_str(&show(&["--config", "named.toml", "-o", "json"])).unwrap();
    assert_eq!((&json["hub"]["name"], &json["http"]["allowed_hosts"]), (&json!("a"), &json!(["x", "y"])));
}

/// `STRANDLINE_PACKAGING=1` writes the files anew.
fn is_packaged(name: &str, made: &str) {
    let path = packaging(name);
    if std::env::var_os("STRANDLINE_PACKAGING").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, made).unwrap();
    }
    let packaged = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        packaged == made,
        "packaging/{name} does not fit the settings any more: \
         STRANDLINE_PACKAGING=1 cargo test -p strandline-server --test config show:: writes it anew"
    );
}

#[test]
fn the_schema_is_the_packaged_one() {
    let schema = Place::new().run(&["config", "schema"]).ok();
    is_packaged("strandline.schema.json", &schema);
    let schema: Value = serde_json::from_str(&schema).unwrap();
    assert_eq!(schema["properties"]["hub"]["properties"]["partitions"]["default"], 32);
    assert_eq!(schema["additionalProperties"], false);
}

/// It says nothing; with its settings uncommented it says the defaults.
#[test]
fn the_example_is_the_packaged_one_and_has_the_defaults() {
    let example = Place::new().run(&["config", "example"]).ok();
    is_packaged("strandline.toml", &example);
    let defaults = Place::new().run(&["config", "show"]).ok();
    let commented = Place::new().with("strandline.toml", &example);
    assert_eq!(commented.run(&["config", "show"]).ok(), defaults);
    let uncomment = |line: &str| match line.strip_prefix('#') {
        Some(setting) if !setting.starts_with(' ') => format!("{setting}\n"),
        _ => format!("{line}\n"),
    };
    let said_all: String = example.lines().map(uncomment).collect();
    let said_all = Place::new().with("strandline.toml", &said_all);
    assert_eq!(said_all.run(&["config", "show"]).ok(), defaults);
    let (name, source) = said_all.setting(&[], "hub.name");
    assert_eq!(name, "default");
    assert!(source.starts_with("strandline.toml:"), "{source}");
}

/// It says where things are, which its own file of variables may say otherwise; the rest is the operator's.
#[test]
fn the_packaged_unit_leaves_the_rest_to_files() {
    let unit = std::fs::read_to_string(packaging("strandline.service")).unwrap();
    let lines = |name: &str| -> Vec<String> {
        unit.lines()
            .filter_map(|line| line.strip_prefix(name)?.strip_prefix('='))
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(lines("ExecStart"), ["/usr/bin/strandline serve"], "flags would go before all");
    assert_eq!(lines("EnvironmentFile"), ["-/etc/strandline/environment"]);
    let place = Place::new().with(
        "strandline.toml",
        "[server]\nlisten = ['127.0.0.1:1']\ncreate_hubs = true\n[log]\nlevel = 'info'\n",
    );
    let mut command = place.command(&["config", "show", "--sources", "-o", "json"]);
    for line in lines("Environment") {
        let (name, value) = line.split_once('=').unwrap();
        command.env(name, value.replace("%S", "/var/lib"));
    }
    let out = said(&mut command).ok();
    let value = |key: &str| found(&out, key).0;
    assert_eq!(value("server.dir"), json!("/var/lib/strandline"));
    let elsewhere: Vec<String> = serde_json::from_str::<Vec<Value>>(&out)
        .unwrap()
        .iter()
        .filter(|setting| setting["source"].as_str().is_some_and(|source| source.starts_with("environment")))
        .map(|setting| setting["key"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(elsewhere, ["server.dir"]);
    assert_eq!(value("server.listen"), json!(["127.0.0.1:1"]));
}
