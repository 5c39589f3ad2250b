//! A `host.json` of Azure Functions, as far as it means something here.

use serde_json::json;

use crate::place::Place;

/// As a text about Durable Functions prints it, word for word.
const PRINTED: &str = r#"{"version":"2.0","extensions":{"durableTask":{"storageProvider":{"type":"Netherite","EventHubsConnection":"EventHubsConnection","PartitionCount":12,"UseAlternateObjectStore":true},"maxConcurrentActivityFunctions":100,"maxConcurrentOrchestratorFunctions":50}}}"#;

#[test]
fn what_is_printed_is_imported_with_a_report() {
    let place = Place::new().with("host.json", PRINTED);
    let report = place.run(&["config", "import", "host.json", "-o", "strandline.toml"]).ok();
    for line in [
        "  maxConcurrentActivityFunctions: hub.max_concurrent_activities = 100\n",
        "  maxConcurrentOrchestratorFunctions: hub.max_concurrent_orchestrators = 50\n",
        "  storageProvider.PartitionCount: hub.partitions = 12\n",
        "  storageProvider.type: hubs have a store of their own",
        "  storageProvider.EventHubsConnection: it is for the Netherite storage provider",
        "  storageProvider.UseAlternateObjectStore: it is for the Netherite storage provider",
        "  version: it is for the Azure Functions host",
    ] {
        assert!(report.contains(line), "{line}:\n{report}");
    }
    let setting = |key| place.setting(&[], key).0;
    assert_eq!(setting("hub.max_concurrent_activities"), json!(100));
    assert_eq!(setting("hub.max_concurrent_orchestrators"), json!(50));
    assert_eq!(setting("hub.partitions"), json!(12));
    // What is there is left alone.
    let err = place.run(&["config", "import", "host.json", "-o", "strandline.toml"]).failed(7);
    assert!(err.contains("strandline.toml"), "{err}");
    // Without a file the configuration is printed, and the report goes beside it.
    let said = place.run(&["config", "import", "host.json"]);
    assert_eq!((said.exit, said.err), (0, report));
    assert_eq!(said.out, std::fs::read_to_string(place.path().join("strandline.toml")).unwrap());
}

#[test]
fn it_can_be_used_as_it_is() {
    let place = Place::new().with("host.json", PRINTED);
    let (value, source) = place.setting(&["--host-json", "host.json"], "hub.max_concurrent_activities");
    assert_eq!((value, source.as_str()), (json!(100), "host.json: maxConcurrentActivityFunctions"));
}

/// Every key that Durable Functions documents.
#[test]
fn all_keys_are_known_by_name() {
    let host_json = json!({ "version": "2.0", "logging": {}, "extensions": { "durableTask": {
        "hubName": "%Prefix%Orders",
        "defaultVersion": "2.0", "versionMatchStrategy": "CurrentOrOlder", "versionFailureStrategy": "Reject",
        "storageProvider": {
            "type": "AzureStorage", "connectionName": "MyStorage", "connectionStringName": "MyStorage",
            "controlQueueBatchSize": 32, "controlQueueBufferThreshold": 256, "partitionCount": "4",
            "controlQueueVisibilityTimeout": "00:05:00", "workItemQueueVisibilityTimeout": "00:05:00",
            "maxQueuePollingInterval": "00:00:30", "trackingStoreConnectionName": "T",
            "trackingStoreConnectionStringName": "T", "trackingStoreNamePrefix": "DurableTask",
            "fetchLargeMessagesAutomatically": true, "useLegacyPartitionManagement": false,
            "useTablePartitionManagement": true, "queueClientMessageEncoding": "UTF8",
            "allowReplayingTerminalInstances": false },
        "tracing": {
            "traceInputsAndOutputs": false, "traceReplayEvents": false, "allowVerboseLinuxTelemetry": false,
            "distributedTracingEnabled": true, "distributedTracingProtocol": "W3CTraceContext", "version": "V2" },
        "httpSettings": { "defaultAsyncRequestSleepTimeMilliseconds": 5000, "useForwardedHost": true },
        "notifications": { "eventGrid": {
            "topicEndpoint": "https://x", "keySettingName": "K", "publishRetryCount": 3,
            "publishRetryInterval": "00:00:30", "publishRetryHttpStatus": [400], "publishEventTypes": ["Started"] } },
        "maxConcurrentActivityFunctions": 10, "maxConcurrentOrchestratorFunctions": 11,
        "maxConcurrentEntityFunctions": 12, "maxEntityOperationBatchSize": 13,
        "extendedSessionsEnabled": true, "extendedSessionIdleTimeoutInSeconds": 30,
        "maxOrchestrationActions": 100000, "overridableExistingInstanceStates": "AnyState",
        "entityMessageReorderWindowInMinutes": 30, "rollbackEntityOperationsOnExceptions": true,
        "throwStatusExceptionsOnRaiseEvent": true, "useAppLease": true,
        "appLeaseOptions": { "acquireInterval": "00:00:10" }, "useGracefulShutdown": true,
        "storeInputsInOrchestrationHistory": true, "localRpcEndpointEnabled": true,
        "maxGrpcMessageSizeInBytes": 4194304, "grpcHttpClientTimeout": "00:01:40" } } });
    let place = Place::new().with("host.json", &host_json.to_string());
    let mut command = place.command(&["config", "import", "host.json", "-o", "strandline.toml"]);
    let report = crate::place::said(command.env("Prefix", "prod-")).ok();
    assert!(!report.contains("unknown"), "{report}");
    for (key, value) in [
        ("hub.name", json!("prod-Orders")),
        ("hub.default_version", json!("2.0")),
        ("http.connection_name", json!("MyStorage")),
        ("hub.partitions", json!(4)),
        ("log.payloads", json!(false)),
        ("call_http.default_async_request_sleep", json!("5s")),
        ("http.use_forwarded_host", json!(true)),
        ("hub.max_concurrent_activities", json!(10)),
        ("hub.max_concurrent_orchestrators", json!(11)),
        ("hub.max_concurrent_entities", json!(12)),
        ("hub.max_entity_operation_batch_size", json!(13)),
        ("hub.overridable_existing_instance_states", json!("any")),
    ] {
        let (found, source) = place.setting(&[], key);
        assert_eq!(found, value, "{key}");
        assert!(source.starts_with("strandline.toml:"), "{key} from {source}");
    }
    // Nothing that is not used is repeated: it might be a secret.
    assert!(!report.contains("00:05:00") && !report.contains("https://x"), "{report}");
}

#[test]
fn the_first_version_is_read_too() {
    let host_json = r#"{"durableTask":{"HubName":"old","AzureStorageConnectionStringName":"S","PartitionCount":8,
        "MaxConcurrentActivityFunctions":3,"TraceInputsAndOutputs":true,"EventGridTopicEndpoint":"t","LogReplayEvents":false}}"#;
    let place = Place::new().with("host.json", host_json);
    let report = place.run(&["config", "import", "host.json", "-o", "strandline.toml"]).ok();
    assert!(!report.contains("unknown"), "{report}");
    let setting = |key| place.setting(&[], key).0;
    assert_eq!(setting("hub.name"), json!("old"));
    assert_eq!(setting("hub.partitions"), json!(8));
    assert_eq!(setting("hub.max_concurrent_activities"), json!(3));
    assert_eq!(setting("log.payloads"), json!(true));
}

#[test]
fn what_the_functions_host_forgives_is_forgiven() {
    let host_json = "\u{feff}{ // the hub\n  \"extensions\": { \"durableTask\": { /* ours */ \"HUBNAME\": \"a\", }, },\n}";
    let place = Place::new().with("host.json", host_json);
    assert_eq!(place.setting(&["--host-json", "host.json"], "hub.name").0, json!("a"));
}

#[test]
fn what_is_unknown_or_wrong_is_said() {
    let task = |task: &str| format!("{{\"extensions\":{{\"durableTask\":{{{task}}}}}}}");
    let place = Place::new().with("host.json", &task("\"maxConcurentActivityFunctions\": 3"));
    let said = place.run(&["config", "import", "host.json"]);
    let line = "  maxConcurentActivityFunctions; did you mean maxConcurrentActivityFunctions?";
    assert!(said.exit == 0 && said.err.contains(line), "{said:?}");

    let place = Place::new().with("host.json", &task("\"hubName\": \"%Nowhere%\""));
    let said = place.run(&["config", "import", "host.json"]);
    assert!(said.exit == 0 && said.err.contains("the app setting Nowhere"), "{said:?}");

    for (wrong, text) in [
        (
            "\"maxConcurrentActivityFunctions\": 0",
            "maxConcurrentActivityFunctions must be a whole number, at least 1, not 0",
        ),
        ("\"maxConcurrentEntityFunctions\": \"many\"", "maxConcurrentEntityFunctions must be a whole number"),
        (
            "\"overridableExistingInstanceStates\": \"Some\"",
            "overridableExistingInstanceStates must be \"NonRunningStates\"",
        ),
        (
            "\"httpSettings\": {\"defaultAsyncRequestSleepTimeMilliseconds\": -1}",
            "must be a number of milliseconds",
        ),
        ("nonsense", "host.json:1: "),
    ] {
        let place = Place::new().with("host.json", &task(wrong));
        let err = place.run(&["config", "import", "host.json"]).failed(1);
        assert!(err.contains(text), "{text}:\n{err}");
        let err = place.run(&["serve", "--host-json", "host.json"]).failed(1);
        assert!(err.contains(text), "{text}:\n{err}");
    }
    let err = place.run(&["config", "import", "nowhere.json"]).failed(6);
    assert!(err.contains("nowhere.json can't be read"), "{err}");
}
