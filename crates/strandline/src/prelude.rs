//! Everything a file with durable functions needs: `use strandline::prelude::*;`.

pub use std::time::Duration;

pub use futures::future::join_all;
pub use futures::{TryStreamExt, join, try_join};
pub use serde::{Deserialize, Serialize};
pub use strandline_model::Timestamp;

pub use crate::durations::{days, hours, millis, minutes, secs};
pub use crate::{
    Activity, ActivityContext, Callable, Client, Context, ContinueAsNew, Entity, EntityContext, EntityId,
    Error, Event, HttpRequest, HttpResponse, HttpRetryOptions, Instance, Json, Named, Orchestration,
    OrchestrationContext, Registry, Result, RetryPolicy, State, Task, TaskHub, TestHub, TimeoutError,
    activity, activity_fn, bail, ensure, entity, entity_fn, orchestrator, orchestrator_fn, select,
    try_join_all,
};
