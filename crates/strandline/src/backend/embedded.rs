//! A hub of this process.

use std::sync::Arc;

use strandline_engine::maintenance::{MaintenanceError, PurgeOptions, PurgeScope, PurgedInstance};
use strandline_engine::pipeline::{Answer as Told, HistoryPage, Read};
use strandline_engine::runtime::{CallError, Hub, InstancePage, ListError, RunningActivity};
use strandline_hub::query::{EntityQuery, InstanceQuery};
use strandline_hub::{Command, EntityStatus as HubStatus, InstanceStatus, Refusal, Reply, Start};
use strandline_model::{EntityId, EntityOperation, InstanceId, Timestamp};
use uuid::Uuid;

use super::{Answer, Backend, Order, PageOf, Restart, When};
use crate::entity::{CleanedEntities, EntityPage, EntityStatus};
use crate::error::{Error, Result};
use crate::hub::DataDirectory;
use crate::maintenance::Purged;

pub(crate) struct Embedded {
    hub: Hub,
    /// Keeps the hub running.
    _directory: DataDirectory,
}

impl Embedded {
    pub(crate) fn new(hub: Hub, directory: DataDirectory) -> Self {
        Self { hub, _directory: directory }
    }

    async fn command(&self, id: &InstanceId, command: Command) -> Result<()> {
        accepted(self.hub.command(id, command).await, id)
    }

    async fn status_of(&self, id: &InstanceId, read: Read) -> Result<Option<InstanceStatus>> {
        match self.hub.read(id, read).await.map_err(call_error)? {
            Told::Status(status) => Ok(status.map(|s| *s)),
            _ => Ok(None),
        }
    }

    async fn history_of(&self, id: &InstanceId, from: usize, max: usize) -> Result<Option<HistoryPage>> {
        match self.hub.read(id, Read::History { from, max }).await.map_err(call_error)? {
            Told::History(page) => Ok(page),
            _ => Ok(None),
        }
    }
}

impl Backend for Embedded {
    fn name(&self) -> &str {
        &self.hub.info().name
    }

    fn served(&self) -> Option<Vec<String>> {
        self.hub.served().map(|(orchestrators, _)| orchestrators)
    }

    fn running_activities(&self) -> Vec<RunningActivity> {
        self.hub.running_activities()
    }

    fn now(&self) -> Answer<'_, Timestamp> {
        Box::pin(async { self.hub.now().await.map_err(call_error) })
    }

    fn start(&self, start: Start) -> Answer<'_, ()> {
        Box::pin(async move {
            let id = start.id.clone();
            accepted(self.hub.start(start).await, &id)
        })
    }

    fn order<'a>(&'a self, id: &'a InstanceId, order: Order) -> Answer<'a, ()> {
        Box::pin(async move {
            let at = id.clone();
            let command = match order {
                Order::Raise { name, input } => Command::RaiseEvent { id: at, name, input },
                Order::Terminate { reason, recursive } => {
                    Command::Terminate { id: at, reason: Some(reason), recursive }
                }
                Order::Suspend { reason } => Command::Suspend { id: at, reason: Some(reason) },
                Order::Resume { reason } => Command::Resume { id: at, reason: Some(reason) },
                Order::Rewind { reason } => return accepted(self.hub.rewind(id, Some(reason)).await, id),
            };
            self.command(id, command).await
        })
    }

    fn status<'a>(&'a self, id: &'a InstanceId, when: When) -> Answer<'a, Option<InstanceStatus>> {
        let read = match when {
            When::Now => Read::Status,
            When::Started => Read::Started,
            When::Ended => Read::Ended,
        };
        Box::pin(self.status_of(id, read))
    }

    fn history<'a>(&'a self, id: &'a InstanceId, from: usize, max: usize) -> Answer<'a, Option<HistoryPage>> {
        Box::pin(self.history_of(id, from, max))
    }

    fn list<'a>(&'a self, query: &'a Arc<InstanceQuery>, page: PageOf<'a>) -> Answer<'a, InstancePage> {
        Box::pin(async move {
            let mut list = self.hub.list(query, page.token, page.size).await.map_err(list_error)?;
            if !page.payloads {
                list.instances = list.instances.iter().map(InstanceStatus::without_payloads).collect();
            }
            Ok(list)
        })
    }

    fn count<'a>(&'a self, query: &'a Arc<InstanceQuery>) -> Answer<'a, u64> {
        Box::pin(async move { self.hub.count(query).await.map_err(list_error) })
    }

    fn purge<'a>(&'a self, id: &'a InstanceId, scope: PurgeScope) -> Answer<'a, u64> {
        Box::pin(async move {
            match self.hub.purge(id, scope).await.map_err(maintenance_error)? {
                PurgedInstance { not_over: Some((id, status)), .. } => {
                    Err(refused(Refusal::NotOver { status }, id.as_str()))
                }
                PurgedInstance { purged, .. } => Ok(purged),
            }
        })
    }

    fn purge_where(&self, query: InstanceQuery, options: PurgeOptions) -> Answer<'_, Purged> {
        Box::pin(async move {
            let purged = self.hub.purge_where(query, options).await;
            Ok(purged.map_err(maintenance_error)?.into())
        })
    }

    fn purge_ids(&self, ids: Vec<InstanceId>) -> Answer<'_, Purged> {
        Box::pin(async move {
            let purged = self.hub.purge_ids(ids, PurgeScope::Instance).await;
            Ok(purged.map_err(maintenance_error)?.into())
        })
    }

    fn restart<'a>(&'a self, id: &'a InstanceId, into: Restart) -> Answer<'a, InstanceId> {
        Box::pin(async move {
            match into {
                Restart::Itself => {
                    self.hub.restart(id).await.map_err(maintenance_error)?;
                    Ok(id.clone())
                }
                Restart::NewInstance => {
                    let new = InstanceId::trusted(Uuid::new_v4().simple().to_string());
                    self.hub.restart_as_new(id, &new).await.map_err(maintenance_error)?;
                    Ok(new)
                }
            }
        })
    }

    fn signal<'a>(&'a self, entity: &'a EntityId, operation: EntityOperation) -> Answer<'a, ()> {
        Box::pin(async move {
            let id = entity.instance_id();
            self.command(&id, Command::SignalEntity { id: id.clone(), operation }).await
        })
    }

    fn entity<'a>(&'a self, entity: &'a EntityId) -> Answer<'a, Option<EntityStatus>> {
        Box::pin(async move {
            match self.hub.read(&entity.instance_id(), Read::Entity).await.map_err(call_error)? {
                Told::Entity(status) => Ok(status.map(|status| EntityStatus::of(*status))),
                _ => Ok(None),
            }
        })
    }

    fn list_entities<'a>(&'a self, query: &'a Arc<EntityQuery>, page: PageOf<'a>) -> Answer<'a, EntityPage> {
        Box::pin(async move {
            let list = self.hub.list_entities(query, page.token, page.size).await.map_err(list_error)?;
            let status = |entity: HubStatus| {
                let mut status = EntityStatus::of(entity);
                status.state = status.state.filter(|_| page.payloads);
                status
            };
            let entities = list.entities.into_iter().map(status).collect();
            Ok(EntityPage { entities, continuation_token: list.continuation_token })
        })
    }

    fn clean_entities(&self) -> Answer<'_, CleanedEntities> {
        Box::pin(async move {
            let mut cleaned = CleanedEntities::default();
            let mut token: Option<String> = None;
            loop {
                let page = self.hub.release_orphaned_locks(token.as_deref()).await;
                let page = page.map_err(maintenance_error)?;
                cleaned.released_locks += page.released;
                token = page.continuation_token;
                if token.is_none() {
                    return Ok(cleaned);
                }
            }
        })
    }
}

fn accepted(reply: std::result::Result<Reply, CallError>, id: &InstanceId) -> Result<()> {
    match reply.map_err(call_error)? {
        Reply::Refused(refusal) => Err(refused(refusal, id.as_str())),
        _ => Ok(()),
    }
}

fn call_error(error: CallError) -> Error {
    match error {
        CallError::OutcomeUnknown => Error::new("OutcomeUnknown", error),
        CallError::Closed | CallError::NoSuchHub(_) => Error::new("HubClosed", error),
        CallError::TooManyWorkers(_) => Error::new("HubOverloaded", error),
    }
}

fn maintenance_error(error: MaintenanceError) -> Error {
    match error {
        MaintenanceError::Call(error) => call_error(error),
        MaintenanceError::List(error) => list_error(error),
        MaintenanceError::Refused { id, refusal } => refused(refusal, id.as_str()),
    }
}

fn list_error(error: ListError) -> Error {
    match error {
        ListError::Call(error) => call_error(error),
        ListError::Query(error) => Error::new("InvalidRequest", error),
        ListError::Token(error) => Error::new("InvalidRequest", error),
        ListError::Store(error) => Error::new("HubError", error),
    }
}

pub(crate) fn refused(refusal: Refusal, id: &str) -> Error {
    let what = if id.starts_with('@') { "entity" } else { "instance" };
    Error::new(refusal.error_type(), format_args!("{what} '{id}': {refusal}"))
}
