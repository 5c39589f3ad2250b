//! Limits that hold everywhere, checked before anything is recorded.

/// Longest payload (input, output, event, failure text) in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest instance id in bytes of UTF-8.
pub const INSTANCE_ID_BYTES_MAX: usize = 256;
/// Longest name (orchestrator, activity, event) in bytes of UTF-8.
pub const NAME_BYTES_MAX: usize = 256;
/// Longest custom status in bytes of UTF-8.
pub const CUSTOM_STATUS_BYTES_MAX: usize = 16 * 1024;
/// Longest reason of a terminate, suspend or resume in bytes of UTF-8.
pub const REASON_BYTES_MAX: usize = 4 * 1024;
/// Most tags on one instance, and the longest key and value of a tag in bytes.
pub const TAGS_MAX: usize = 64;
pub const TAG_KEY_BYTES_MAX: usize = 128;
pub const TAG_VALUE_BYTES_MAX: usize = 1024;
/// Most actions one execution may take unless configured otherwise.
pub const ACTIONS_MAX: usize = 100_000;
/// Most events accepted for one instance and not yet seen by a turn; and their bytes.
pub const PENDING_EVENTS_MAX: usize = 10_000;
pub const PENDING_EVENT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Deepest nesting of sub-orchestrations.
pub const SUB_ORCHESTRATION_DEPTH_MAX: u32 = 100;
/// Most operations that wait for one entity before signals of clients are refused; and their bytes.
pub const PENDING_OPERATIONS_MAX: usize = 100_000;
pub const PENDING_OPERATION_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most operations handed to a worker in one batch unless configured otherwise.
pub const OPERATIONS_PER_BATCH: usize = 5_000;
/// Most entities in one critical section.
pub const LOCK_SET_MAX: usize = 1_000;
