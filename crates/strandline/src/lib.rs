//! Durable functions: orchestrators that survive crashes, activities they call, one process or many.
//!
//! An *activity* does work: anything at all, at least once. An *orchestrator* decides what is done in
//! which order. It is an ordinary async function whose every step is recorded; after a crash it is
//! run again over the record and goes on where it was.
//!
//! ```
//! use strandline::prelude::*;
//!
//! /// Says hello to one city.
//! #[activity]
//! async fn greet(city: String) -> Result<String> {
//!     Ok(format!("Hello {city}!"))
//! }
//!
//! #[orchestrator]
//! async fn hello_cities(ctx: OrchestrationContext, cities: Vec<String>) -> Result<Vec<String>> {
//!     try_join_all(cities.into_iter().map(|city| ctx.call(greet, city))).await
//! }
//! ```
//!
//! Reading order: [`OrchestrationContext`] (what orchestrators can do), [`Task`], [`Callable`] (what
//! can be said about a call), [`Error`], [`RetryPolicy`], [`ActivityContext`], [`Entity`] (state with
//! operations), [`Registry`].
//!
//! # Payloads
//!
//! Inputs, outputs and events are JSON. `()` and `None` are written as `null`; a payload that is
//! absent, as other languages leave it, reads as `null`.
//!
//! # Features of the crate
//!
//! | feature | what it adds |
//! |---|---|
//! | none (the default) | hubs in this process, no network |
//! | `remote` | [`RemoteHub`](https://docs.rs/strandline): client and worker of a server, over gRPC, with the same functions and the same [`Client`] |
//! | `tls` | `remote`, and `https://` addresses |
//! | `http` | the activity behind [`call_http`](OrchestrationContext::call_http); see [`http`] |
//!
//! # Testing
//!
//! [`TestHub`] runs durable functions in virtual time; [`testing::History`] tells whether changed code
//! still fits instances that run.
//!
//! # Panics
//!
//! A panic in an activity or an orchestrator is caught and fails it with the error type `panic`. This
//! needs `panic = "unwind"`, which is the default.

#![deny(missing_docs)]

mod activity;
mod backend;
mod client;
mod context;
mod durations;
mod entity;
mod error;
mod handle;
pub mod http;
mod hub;
mod instance;
mod join;
mod json;
mod maintenance;
pub mod metrics;
pub mod prelude;
mod query;
mod quiet;
mod register;
mod registry;
#[cfg(feature = "remote")]
mod remote;
mod retry;
mod runner;
mod task;
pub mod testing;
#[cfg(feature = "otel")]
pub mod trace;
#[cfg(not(feature = "otel"))]
#[path = "trace/off.rs"]
mod trace;
mod type_name;
mod versioning;
mod worker;

pub use activity::{ActivityContext, ActivityRequest, FromActivity, Need, State};
pub use client::{
    Client, CriticalSectionError, HistoryChanged, HubClosed, HubOverloaded, InstanceExists,
    InstanceNotFailed, InstanceNotFound, InstanceNotOver, InstanceOver, InvalidRequest, OperationNotFound,
    OutcomeUnknown, StartInstance, VersionMismatch,
};
pub use context::{ContinueAsNew, OrchestrationContext, Parent};
pub use durations::{days, hours, millis, minutes, secs};
pub use entity::{
    AnyEntity, AnyProxy, Calls, Channel, CleanedEntities, ClientSignals, Entity, EntityClient, EntityContext,
    EntityFn, EntityHandle, EntityId, EntityMethods, EntityPage, EntityStatus, FromEntity, Lock, LockSet,
    Locked, OfSelf, OneWay, Operation, OperationFuture, Outbox, QueryEntities, SendSignal, Signals,
    entity_fn,
};
pub use error::{Context, Error, Result, TaskCanceledError, TimeoutError};
pub use handle::{Activity, AnActivity, AnOrchestration, Call, Callable, Event, Kind, Named, Orchestration};
pub use http::{HttpRequest, HttpResponse, HttpRetryOptions};
pub use hub::{DataDirectory, DataDirectoryBuilder, TaskHub, WorkerBuilder};
pub use instance::{Instance, Terminate};
pub use join::{TryJoinAll, try_join_all};
pub use maintenance::{Purge, PurgeWhere, Purged};
pub use query::QueryInstances;
pub use register::{ActivityFn, OrchestratorFn, Outcome, Register, activity_fn, orchestrator_fn};
pub use registry::Registry;
#[cfg(feature = "remote")]
pub use remote::{Connect, RemoteHub, RemoteWork};
pub use retry::{RetryContext, RetryPolicy};
pub use task::{Task, Timeout};
pub use testing::TestHub;
pub use versioning::Versioning;
pub use worker::RustWorker;

/// Waits for the first of several tasks; the history decides which it is. Of several that were done
/// before, the one written first wins.
///
/// ```
/// # use strandline::prelude::*;
/// # const APPROVED: Event<bool> = Event::named("Approved");
/// # async fn f(ctx: OrchestrationContext) -> Result<()> {
/// select! {
///     granted = ctx.wait_for(APPROVED) => ensure!(granted?, "rejected"),
///     _ = ctx.timer(hours(72)) => bail!("nobody answered"),
/// }
/// # Ok(()) }
/// ```
///
/// Futures that are not tasks must be fused and pinned, as in the `futures` crate.
pub use futures::select_biased as select;

/// Random number generators: what [`OrchestrationContext::rng`] returns, and its traits.
pub use rand_chacha;
/// Any JSON value: `Activity<Json, Json>` leaves the types of an activity open.
pub use serde_json::Value as Json;
/// Part of a list of instances.
pub use strandline_engine::runtime::InstancePage;
/// An activity that runs now: [`Client::running_activities`].
pub use strandline_engine::runtime::RunningActivity;
/// What a client learns of an instance, and what it may replace.
pub use strandline_hub::{InstanceStatus, ReusePolicy};
pub use strandline_macros::{activity, entity, orchestrator};
/// The words of histories and failures.
pub use strandline_model::{
    EventKind, ExecutionId, FailureDetails, HistoryEvent, InstanceId, RuntimeStatus, Timestamp,
};
/// GUIDs.
pub use uuid::Uuid;

/// Compiles the code in the README.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// Compiles and runs the code in the page on determinism.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/determinism.md")]
struct Determinism;
