//! What clients ask of a hub, in this process or behind a server.

mod embedded;

use std::sync::Arc;

use futures::future::BoxFuture;
use strandline_engine::maintenance::{PurgeOptions, PurgeScope};
use strandline_engine::pipeline::HistoryPage;
use strandline_engine::runtime::{InstancePage, RunningActivity};
use strandline_hub::query::{EntityQuery, InstanceQuery};
use strandline_hub::{InstanceStatus, Start};
use strandline_model::{EntityId, EntityOperation, InstanceId, Timestamp};

pub(crate) use embedded::{Embedded, refused};

use crate::entity::{CleanedEntities, EntityPage, EntityStatus};
use crate::error::Result;
use crate::maintenance::Purged;

/// What a backend answers, later.
pub(crate) type Answer<'a, T> = BoxFuture<'a, Result<T>>;

/// A hub as clients reach it. Errors are the same wherever it is.
pub(crate) trait Backend: Send + Sync + 'static {
    /// The name of the hub.
    fn name(&self) -> &str;

    /// Orchestrators that are served, if no others can be.
    fn served(&self) -> Option<Vec<String>>;

    /// Activities of this process that run now.
    fn running_activities(&self) -> Vec<RunningActivity>;

    fn now(&self) -> Answer<'_, Timestamp>;

    fn start(&self, start: Start) -> Answer<'_, ()>;

    fn order<'a>(&'a self, id: &'a InstanceId, order: Order) -> Answer<'a, ()>;

    fn status<'a>(&'a self, id: &'a InstanceId, when: When) -> Answer<'a, Option<InstanceStatus>>;

    /// `None`: there is no such instance.
    fn history<'a>(&'a self, id: &'a InstanceId, from: usize, max: usize) -> Answer<'a, Option<HistoryPage>>;

    fn list<'a>(&'a self, query: &'a Arc<InstanceQuery>, page: PageOf<'a>) -> Answer<'a, InstancePage>;

    fn count<'a>(&'a self, query: &'a Arc<InstanceQuery>) -> Answer<'a, u64>;

    /// Says how many instances are gone.
    fn purge<'a>(&'a self, id: &'a InstanceId, scope: PurgeScope) -> Answer<'a, u64>;

    fn purge_where(&self, query: InstanceQuery, options: PurgeOptions) -> Answer<'_, Purged>;

    fn purge_ids(&self, ids: Vec<InstanceId>) -> Answer<'_, Purged>;

    /// Answers with the id of the instance that begins anew.
    fn restart<'a>(&'a self, id: &'a InstanceId, into: Restart) -> Answer<'a, InstanceId>;

    fn signal<'a>(&'a self, entity: &'a EntityId, operation: EntityOperation) -> Answer<'a, ()>;

    /// `None`: there is nothing of this entity.
    fn entity<'a>(&'a self, entity: &'a EntityId) -> Answer<'a, Option<EntityStatus>>;

    fn list_entities<'a>(&'a self, query: &'a Arc<EntityQuery>, page: PageOf<'a>) -> Answer<'a, EntityPage>;

    fn clean_entities(&self) -> Answer<'_, CleanedEntities>;
}

/// An order to an instance.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    Raise { name: String, input: Option<String> },
    Terminate { reason: String, recursive: bool },
    Suspend { reason: String },
    Resume { reason: String },
    Rewind { reason: String },
}

/// When the status of an instance is of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    Now,
    /// Once it is no longer pending.
    Started,
    /// Once it is over.
    Ended,
}

/// Part of a list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageOf<'a> {
    /// Where it begins.
    pub(crate) token: Option<&'a str>,
    pub(crate) size: usize,
    /// Whether inputs, outputs, custom statuses and states come along.
    pub(crate) payloads: bool,
}

/// What an instance that is started again becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Restart {
    Itself,
    NewInstance,
}
