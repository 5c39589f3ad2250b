//! The hub of a server, as clients reach it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use strandline_engine::maintenance::{PurgeOptions, PurgeScope};
use strandline_engine::pipeline::HistoryPage;
use strandline_engine::runtime::{InstancePage, RunningActivity};
use strandline_hub::query::{EntityQuery, InstanceQuery};
use strandline_hub::{InstanceStatus, Start};
use strandline_model::{EntityId, EntityOperation, ExecutionId, InstanceId, RuntimeStatus, Timestamp};
use strandline_proto::{entity, ids, time, trace, wire};
use tokio::time::Instant;
use tonic::{Code, Response, Status};
use uuid::Uuid;

use super::backoff::Backoff;
use super::connection::{Connection, Repeat};
use super::convert;
use super::error::{ERROR_TYPE, Failed, Subject, is_passing, unreadable, was_not_sent};
use super::running::RunningActivities;
use super::worker::Serving;
use crate::backend::{Answer, Backend, Order, PageOf, Restart, When};
use crate::entity::{CleanedEntities, EntityPage, EntityStatus};
use crate::error::{Error, Result};
use crate::maintenance::Purged;

/// Longest pause before a wait is taken up again.
const WAIT_PAUSE_MAX: Duration = Duration::from_secs(5);

/// A hub of a server.
pub(super) struct Remote {
    pub(super) connection: Arc<Connection>,
    pub(super) hub: String,
    pub(super) running: Arc<RunningActivities>,
    /// Of this program.
    pub(super) worker: Mutex<Option<Serving>>,
}

impl Remote {
    /// An error of a call that asks no state of its subject.
    pub(super) fn error(&self, failed: Failed, subject: Subject<'_>) -> Error {
        failed.into_error(subject, "InvalidRequest", &self.connection.address)
    }

    async fn start_instance(&self, start: Start) -> Result<()> {
        // By its execution a start is known again, whether its first answer was lost or not.
        let execution = ExecutionId(Uuid::new_v4().as_u128());
        let id = start.id;
        let request = wire::CreateInstanceRequest {
            instance_id: id.to_string(),
            name: start.name,
            version: start.version,
            input: start.input,
            scheduled_start_timestamp: start.scheduled_start.map(time::to_wire),
            orchestration_id_reuse_policy: Some(wire::OrchestrationIdReusePolicy {
                replaceable_status: convert::statuses(&start.reuse.replaceable),
            })
            .filter(|policy| !policy.replaceable_status.is_empty()),
            execution_id: Some(execution.to_string()),
            tags: start.tags,
            parent_trace_context: start
                .trace_parent
                .map(|parent| trace::from_parts(&parent, start.trace_state.as_deref())),
            request_time: None,
        };
        let end = self.connection.end_of_patience();
        let mut backoff = Backoff::up_to(WAIT_PAUSE_MAX);
        let mut in_doubt = false;
        loop {
            let status = match self.connection.stub().start_instance(request.clone()).await {
                Ok(_) => return Ok(()),
                Err(status) => status,
            };
            in_doubt |= is_passing(&status) && !was_not_sent(&status);
            if in_doubt && self.has_execution(&id, execution).await {
                return Ok(());
            }
            let pause = backoff.pause();
            if !is_passing(&status) || end.is_some_and(|end| Instant::now() + pause >= end) {
                return Err(self.error(Failed { status, in_doubt }, Subject::Instance(&id)));
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn has_execution(&self, id: &InstanceId, execution: ExecutionId) -> bool {
        let request = wire::GetInstanceRequest { instance_id: id.to_string(), get_inputs_and_outputs: false };
        let Ok(response) = self.connection.stub().get_instance(request).await else { return false };
        let state = response.into_inner().orchestration_state;
        let found = state.and_then(|state| state.execution_id);
        found.and_then(|text| ids::from_wire(&text, "OrchestrationState.executionId").ok()) == Some(execution)
    }

    async fn give_order(&self, id: &InstanceId, order: Order) -> Result<()> {
        let connection = &*self.connection;
        let to = || id.to_string();
        let (answer, precondition) = match order {
            Order::Raise { name, input } => {
                let request = wire::RaiseEventRequest { instance_id: to(), name, input };
                let call = || {
                    let (mut stub, request) = (connection.stub(), request.clone());
                    async move { stub.raise_event(request).await.map(nothing) }
                };
                (connection.call(Repeat::Unsent, call).await, "InstanceOver")
            }
            Order::Terminate { reason, recursive } => {
                let request = wire::TerminateRequest { instance_id: to(), output: Some(reason), recursive };
                let call = || {
                    let (mut stub, request) = (connection.stub(), request.clone());
                    async move { stub.terminate_instance(request).await.map(nothing) }
                };
                (connection.call(Repeat::Unsent, call).await, "InstanceOver")
            }
            Order::Suspend { reason } => {
                let request = wire::SuspendRequest { instance_id: to(), reason: Some(reason) };
                let call = || {
                    let (mut stub, request) = (connection.stub(), request.clone());
                    async move { stub.suspend_instance(request).await.map(nothing) }
                };
                (connection.call(Repeat::Harmless, call).await, "InstanceOver")
            }
            Order::Resume { reason } => {
                let request = wire::ResumeRequest { instance_id: to(), reason: Some(reason) };
                let call = || {
                    let (mut stub, request) = (connection.stub(), request.clone());
                    async move { stub.resume_instance(request).await.map(nothing) }
                };
                (connection.call(Repeat::Harmless, call).await, "InstanceOver")
            }
            Order::Rewind { reason } => {
                let request = wire::RewindInstanceRequest { instance_id: to(), reason: Some(reason) };
                let call = || {
                    let (mut stub, request) = (connection.stub(), request.clone());
                    async move { stub.rewind_instance(request).await.map(nothing) }
                };
                (connection.call(Repeat::Unsent, call).await, "InstanceNotFailed")
            }
        };
        let subject = Subject::Instance(id);
        let failed = |failed: Failed| failed.into_error(subject, precondition, &connection.address);
        let answer = answer.map_err(failed)?;
        // What is told to an instance that is over is told in vain, not wrongly: so the SDKs want it.
        match answer.metadata().get(ERROR_TYPE) {
            None => Ok(()),
            Some(_) => {
                let metadata = answer.metadata().clone();
                let text = metadata.get(super::error::ERROR_TEXT).and_then(|text| text.to_str().ok());
                let status = Status::with_metadata(
                    Code::FailedPrecondition,
                    text.unwrap_or_default(),
                    metadata.clone(),
                );
                Err(failed(Failed { status, in_doubt: false }))
            }
        }
    }

    async fn status_now(&self, id: &InstanceId) -> Result<Option<InstanceStatus>> {
        let connection = &*self.connection;
        let call = || {
            let mut stub = connection.stub();
            let request =
                wire::GetInstanceRequest { instance_id: id.to_string(), get_inputs_and_outputs: true };
            async move { stub.get_instance(request).await }
        };
        let response = connection.call(Repeat::Harmless, call).await;
        found(response.map_err(|failed| self.error(failed, Subject::Instance(id)))?)
    }

    /// Waits across restarts of the server.
    async fn wait(&self, id: &InstanceId, when: When) -> Result<Option<InstanceStatus>> {
        let mut backoff = Backoff::up_to(WAIT_PAUSE_MAX);
        loop {
            let begin = Instant::now();
            let (mut stub, _place) = self.connection.waiting_stub();
            let request =
                wire::GetInstanceRequest { instance_id: id.to_string(), get_inputs_and_outputs: true };
            let answer = match when {
                When::Ended => stub.wait_for_instance_completion(request).await,
                When::Started | When::Now => stub.wait_for_instance_start(request).await,
            };
            match answer {
                Ok(response) => match found(response)? {
                    Some(status) if is_there(status.status, when) => return Ok(Some(status)),
                    // Servers may end a long wait, or one for an instance that does not exist yet.
                    _ => {}
                },
                Err(status) if is_passing(&status) || status.code() == Code::DeadlineExceeded => {
                    tracing::debug!(instance = %id, error = %status, "a wait is taken up again");
                }
                Err(status) => {
                    return Err(self.error(Failed { status, in_doubt: false }, Subject::Instance(id)));
                }
            }
            if begin.elapsed() > WAIT_PAUSE_MAX {
                backoff.reset();
            }
            backoff.wait().await;
        }
    }

    async fn restart_instance(&self, id: &InstanceId, into: Restart) -> Result<InstanceId> {
        let connection = &*self.connection;
        let call = || {
            let mut stub = connection.stub();
            let request = wire::RestartInstanceRequest {
                instance_id: id.to_string(),
                restart_with_new_instance_id: into == Restart::NewInstance,
            };
            async move { stub.restart_instance(request).await }
        };
        let response = connection.call(Repeat::Unsent, call).await;
        let failed =
            |failed: Failed| failed.into_error(Subject::Instance(id), "InstanceExists", &connection.address);
        let restarted = response.map_err(failed)?.into_inner().instance_id;
        InstanceId::new(&restarted).map_err(unreadable)
    }

    async fn send_signal(&self, target: &EntityId, operation: EntityOperation) -> Result<()> {
        let connection = &*self.connection;
        let request = entity::signal_to_wire(target, operation);
        let call = || {
            let (mut stub, request) = (connection.stub(), request.clone());
            async move { stub.signal_entity(request).await }
        };
        let answer = connection.call(Repeat::Unsent, call).await;
        answer.map(drop).map_err(|failed| self.error(failed, Subject::Entity(target)))
    }
}

fn nothing<T>(response: Response<T>) -> Response<()> {
    response.map(drop)
}

fn is_there(status: RuntimeStatus, when: When) -> bool {
    match when {
        When::Now => true,
        When::Started => status != RuntimeStatus::Pending,
        When::Ended => status.is_terminal(),
    }
}

fn found(response: Response<wire::GetInstanceResponse>) -> Result<Option<InstanceStatus>> {
    let wire::GetInstanceResponse { exists, orchestration_state } = response.into_inner();
    let state = orchestration_state.filter(|_| exists);
    state.map(convert::instance).transpose().map_err(unreadable)
}

impl Backend for Remote {
    fn name(&self) -> &str {
        &self.hub
    }

    fn served(&self) -> Option<Vec<String>> {
        None
    }

    fn running_activities(&self) -> Vec<RunningActivity> {
        self.running.list()
    }

    fn now(&self) -> Answer<'_, Timestamp> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let nanos = now.map_or(0, |since| since.as_nanos());
        Box::pin(async move { Ok(Timestamp::from_nanos(i128::try_from(nanos).unwrap_or(i128::MAX))) })
    }

    fn start(&self, start: Start) -> Answer<'_, ()> {
        Box::pin(self.start_instance(start))
    }

    fn order<'a>(&'a self, id: &'a InstanceId, order: Order) -> Answer<'a, ()> {
        Box::pin(self.give_order(id, order))
    }

    fn status<'a>(&'a self, id: &'a InstanceId, when: When) -> Answer<'a, Option<InstanceStatus>> {
        match when {
            When::Now => Box::pin(self.status_now(id)),
            When::Started | When::Ended => Box::pin(self.wait(id, when)),
        }
    }

    fn history<'a>(&'a self, id: &'a InstanceId, from: usize, max: usize) -> Answer<'a, Option<HistoryPage>> {
        Box::pin(self.history_page(id, from, max))
    }

    fn list<'a>(&'a self, query: &'a Arc<InstanceQuery>, page: PageOf<'a>) -> Answer<'a, InstancePage> {
        Box::pin(self.list_page(query, page))
    }

    fn count<'a>(&'a self, query: &'a Arc<InstanceQuery>) -> Answer<'a, u64> {
        Box::pin(self.count_matching(query))
    }

    fn purge<'a>(&'a self, id: &'a InstanceId, scope: PurgeScope) -> Answer<'a, u64> {
        Box::pin(self.purge_one(id, scope))
    }

    fn purge_where(&self, query: InstanceQuery, options: PurgeOptions) -> Answer<'_, Purged> {
        Box::pin(self.purge_matching(query, options))
    }

    fn purge_ids(&self, ids: Vec<InstanceId>) -> Answer<'_, Purged> {
        Box::pin(self.purge_each(ids))
    }

    fn restart<'a>(&'a self, id: &'a InstanceId, into: Restart) -> Answer<'a, InstanceId> {
        Box::pin(self.restart_instance(id, into))
    }

    fn signal<'a>(&'a self, entity: &'a EntityId, operation: EntityOperation) -> Answer<'a, ()> {
        Box::pin(self.send_signal(entity, operation))
    }

    fn entity<'a>(&'a self, entity: &'a EntityId) -> Answer<'a, Option<EntityStatus>> {
        Box::pin(self.entity_status(entity))
    }

    fn list_entities<'a>(&'a self, query: &'a Arc<EntityQuery>, page: PageOf<'a>) -> Answer<'a, EntityPage> {
        Box::pin(self.entity_page(query, page))
    }

    fn clean_entities(&self) -> Answer<'_, CleanedEntities> {
        Box::pin(self.clean())
    }
}
