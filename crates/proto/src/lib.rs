//! The Durable Task protocol: generated messages and services, and total conversions to and from the
//! model.
//!
//! The code under `src/generated` is made from `proto/*.proto` by `cargo xtask protogen` and checked
//! in, so that a build needs neither `protoc` nor a build script.

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
