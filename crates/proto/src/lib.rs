//! The Durable Task protocol: generated messages and services, and total conversions to and from the
//! model.
//!
//! The code under `src/generated` is made from `proto/*.proto` by `cargo xtask protogen` and checked
//! in, so that a build needs neither `protoc` nor a build script.
//!
//! Conversions are functions in modules named after what they convert: `to_wire` makes a message,
//! `from_wire` reads one. Reading never panics. What a message lacks is an [`InvalidMessage`] that names the
//! field; absent, empty and `null` payloads stay three different things. From the model to a message and
//! back nothing changes, thanks to the fields that other SDKs ignore.

pub mod action;
pub mod activity;
pub mod entity;
mod error;
pub mod failure;
pub mod history;
pub mod ids;
mod legacy;
pub mod outcome;
pub mod status;
pub mod time;
pub mod trace;

pub use error::InvalidMessage;
use error::required;
pub use ids::Execution;

/// The messages of the Durable Task protocol, and its service `TaskHubSidecarService`.
pub mod wire {
    #![allow(clippy::all, missing_docs, unreachable_pub, rustdoc::all)]
    include!("generated/durable_task.rs");
}

/// The service `strandline.v1.Management`: what the Durable Task protocol has no method for.
pub mod management {
    #![allow(clippy::all, missing_docs, unreachable_pub, rustdoc::all)]
    include!("generated/strandline.v1.rs");
}

/// Both services with their messages as an encoded `google.protobuf.FileDescriptorSet`, for gRPC
/// reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("generated/descriptors.bin");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_have_the_names_that_clients_call() {
        assert_eq!(wire::task_hub_sidecar_service_server::SERVICE_NAME, "TaskHubSidecarService");
        assert_eq!(management::management_server::SERVICE_NAME, "strandline.v1.Management");
    }
}
