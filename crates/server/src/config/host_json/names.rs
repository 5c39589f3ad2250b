//! The keys of `extensions.durableTask`, and what they are here.

use serde_json::{Map, Value};

use super::Version;

/// What a key is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The same as this setting.
    Same(&'static str),
    /// This setting, which is a duration.
    Milliseconds(&'static str),
    /// This setting, in other words.
    States(&'static str),
    /// This setting; the default goes by another name.
    Connection(&'static str),
    /// This setting; parts of it may stand for app settings.
    HubName(&'static str),
    /// Nothing, for this reason.
    None(&'static str),
}

use Meaning::{Connection, HubName, Milliseconds, None as Nothing, Same, States};

const STORE: &str = "hubs have a store of their own here: there are no queues, tables and blobs";
const OWNER: &str = "the server alone owns its directory: there are no leases";
const VERSIONS: &str = "which versions are taken is said by workers, when they connect";
const LOGS: &str = "what is logged is said by the section log";
const TRACES: &str = "contexts of traces are always taken and passed on, by W3C Trace Context";
const GRID: &str = "nothing is sent to Event Grid";
const CACHE: &str = "suspended orchestrations always stay in memory, up to hub.cache_bytes";
const ORDERED: &str = "messages between instances arrive once and in order, whenever they arrive";
const LOCAL_RPC: &str = "SDKs connect to the server itself";

/// As they are documented; their case does not matter.
const NAMES: [(&str, Meaning); 52] = [
    ("hubName", HubName("hub.name")),
    ("defaultVersion", Same("hub.default_version")),
    ("versionMatchStrategy", Nothing(VERSIONS)),
    ("versionFailureStrategy", Nothing(VERSIONS)),
    ("storageProvider.type", Nothing(STORE)),
    ("storageProvider.connectionName", Connection("http.connection_name")),
    ("storageProvider.connectionStringName", Connection("http.connection_name")),
    ("storageProvider.controlQueueBatchSize", Nothing(STORE)),
    ("storageProvider.controlQueueBufferThreshold", Nothing(STORE)),
    ("storageProvider.partitionCount", Same("hub.partitions")),
    ("storageProvider.controlQueueVisibilityTimeout", Nothing(STORE)),
    ("storageProvider.workItemQueueVisibilityTimeout", Nothing(STORE)),
    ("storageProvider.maxQueuePollingInterval", Nothing("nothing is polled: work goes out when it is there")),
    ("storageProvider.trackingStoreConnectionName", Nothing(STORE)),
    ("storageProvider.trackingStoreConnectionStringName", Nothing(STORE)),
    ("storageProvider.trackingStoreNamePrefix", Nothing(STORE)),
    (
        "storageProvider.fetchLargeMessagesAutomatically",
        Nothing("payloads of any size come with their instance"),
    ),
    ("storageProvider.useLegacyPartitionManagement", Nothing(OWNER)),
    ("storageProvider.useTablePartitionManagement", Nothing(OWNER)),
    ("storageProvider.queueClientMessageEncoding", Nothing(STORE)),
    ("storageProvider.allowReplayingTerminalInstances", Nothing("an instance that is over is not replayed")),
    ("tracing.traceInputsAndOutputs", Same("log.payloads")),
    ("tracing.traceReplayEvents", Nothing(LOGS)),
    ("tracing.allowVerboseLinuxTelemetry", Nothing(LOGS)),
    ("tracing.distributedTracingEnabled", Nothing(TRACES)),
    ("tracing.distributedTracingProtocol", Nothing(TRACES)),
    ("tracing.version", Nothing(TRACES)),
    (
        "httpSettings.defaultAsyncRequestSleepTimeMilliseconds",
        Milliseconds("call_http.default_async_request_sleep"),
    ),
    ("httpSettings.useForwardedHost", Same("http.use_forwarded_host")),
    ("notifications.eventGrid.topicEndpoint", Nothing(GRID)),
    ("notifications.eventGrid.keySettingName", Nothing(GRID)),
    ("notifications.eventGrid.publishRetryCount", Nothing(GRID)),
    ("notifications.eventGrid.publishRetryInterval", Nothing(GRID)),
    ("notifications.eventGrid.publishRetryHttpStatus", Nothing(GRID)),
    ("notifications.eventGrid.publishEventTypes", Nothing(GRID)),
    ("maxConcurrentActivityFunctions", Same("hub.max_concurrent_activities")),
    ("maxConcurrentOrchestratorFunctions", Same("hub.max_concurrent_orchestrators")),
    ("maxConcurrentEntityFunctions", Same("hub.max_concurrent_entities")),
    ("maxEntityOperationBatchSize", Same("hub.max_entity_operation_batch_size")),
    ("extendedSessionsEnabled", Nothing(CACHE)),
    ("extendedSessionIdleTimeoutInSeconds", Nothing(CACHE)),
    ("maxOrchestrationActions", Nothing("workers count the actions of their orchestrations")),
    ("overridableExistingInstanceStates", States("hub.overridable_existing_instance_states")),
    ("entityMessageReorderWindowInMinutes", Nothing(ORDERED)),
    (
        "rollbackEntityOperationsOnExceptions",
        Nothing("workers decide what an operation that fails leaves of the state"),
    ),
    (
        "throwStatusExceptionsOnRaiseEvent",
        Nothing("an event for an instance that is over or not there is always refused"),
    ),
    ("useAppLease", Nothing(OWNER)),
    ("useGracefulShutdown", Nothing("the server always lets running work finish for a while")),
    ("storeInputsInOrchestrationHistory", Nothing("inputs are always in the history")),
    ("localRpcEndpointEnabled", Nothing(LOCAL_RPC)),
    ("maxGrpcMessageSizeInBytes", Nothing("the server takes messages up to limits.message_bytes_max")),
    ("grpcHttpClientTimeout", Nothing(LOCAL_RPC)),
];

/// Names of version 1 that are not just those of a group without it.
const OLD: [(&str, &str); 9] = [
    ("azureStorageConnectionStringName", "storageProvider.connectionName"),
    ("trackingStoreConnectionStringName", "storageProvider.trackingStoreConnectionName"),
    ("eventGridTopicEndpoint", "notifications.eventGrid.topicEndpoint"),
    ("eventGridKeySettingName", "notifications.eventGrid.keySettingName"),
    ("eventGridPublishRetryCount", "notifications.eventGrid.publishRetryCount"),
    ("eventGridPublishRetryInterval", "notifications.eventGrid.publishRetryInterval"),
    ("eventGridPublishRetryHttpStatus", "notifications.eventGrid.publishRetryHttpStatus"),
    ("eventGridPublishEventTypes", "notifications.eventGrid.publishEventTypes"),
    ("logReplayEvents", "tracing.traceReplayEvents"),
];

/// What a key means; in version 1 there are no groups. `None`: Durable Functions does not have it.
pub(super) fn meaning(key: &str, version: Version) -> Option<Meaning> {
    let known = |key: &str| NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, m)| *m);
    let old = || {
        let renamed = OLD.iter().find(|(old, _)| old.eq_ignore_ascii_case(key)).map(|(_, name)| *name);
        let mut grouped = ["storageProvider", "tracing"].iter().map(|group| known(&format!("{group}.{key}")));
        renamed.and_then(known).or_else(|| grouped.find_map(|found| found))
    };
    let group = key.split('.').next().unwrap_or_default();
    match version {
        _ if group.eq_ignore_ascii_case("appLeaseOptions") => Some(Nothing(OWNER)),
        Version::One => known(key).or_else(old),
        Version::Two => known(key),
    }
}

/// The known key that is most like another one.
pub(super) fn nearest(key: &str) -> Option<String> {
    let known = NAMES.iter().map(|(name, _)| *name);
    strandline_engine::nearest(key, known).map(str::to_owned)
}

/// A member of an object, by its name in any case.
pub(super) fn child<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}
