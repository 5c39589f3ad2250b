//! Lists of instances and of entities: which ones, in which order, from where on.
//!
//! A query looks at the same few facts whether an instance is in memory or a row of the tables, so that
//! both answer alike.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use strandline_model::limits::{
    INSTANCE_ID_BYTES_MAX, NAME_BYTES_MAX, TAG_KEY_BYTES_MAX, TAG_VALUE_BYTES_MAX, TAGS_MAX,
};
use strandline_model::{InstanceId, RuntimeStatus, Timestamp};

use crate::entity::EntityStatus;
use crate::instance::Instance;
use crate::partition::Partition;
use crate::reply::InstanceStatus;
use crate::row::InstanceHead;

/// Most instances on one page.
pub const PAGE_SIZE_MAX: usize = 1000;
/// Instances on one page unless said otherwise.
pub const PAGE_SIZE_DEFAULT: usize = 100;

/// Which instances are meant: those that meet every condition. The default means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceQuery {
    /// In one of these; none given means any.
    pub statuses: BTreeSet<RuntimeStatus>,
    /// The orchestrator's name, exactly.
    pub name: Option<String>,
    /// Inclusive, like every `from`.
    pub created_from: Option<Timestamp>,
    /// Exclusive, like every `to`.
    pub created_to: Option<Timestamp>,
    /// An instance that is not over was never completed.
    pub completed_from: Option<Timestamp>,
    pub completed_to: Option<Timestamp>,
    pub id_prefix: Option<String>,
    /// All of these, with these values.
    pub tags: BTreeMap<String, String>,
    /// Its direct sub-orchestrations.
    pub parent: Option<InstanceId>,
    /// The order of the list; by default by id when there is a prefix, else by creation.
    /// [`Order::Completed`] leaves out what is not over.
    pub order_by: Option<Order>,
}

/// Which entities are meant: those that meet every condition. They are listed in the order of their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntityQuery {
    /// Of the whole id, `@name@key`.
    pub id_prefix: Option<String>,
    /// Inclusive: when the last operations were committed.
    pub modified_from: Option<Timestamp>,
    /// Exclusive.
    pub modified_to: Option<Timestamp>,
    /// Also those without a state, of which only waiting operations or a lock are there.
    pub transient: bool,
}

/// What a list is made from.
pub trait Query {
    /// What it lists.
    type Item;

    /// Refuses what nothing can match because of its length.
    fn check(&self) -> Result<(), InvalidQuery>;

    /// Where an item stands in the list.
    fn place(&self, item: &Self::Item) -> Cursor;

    /// The query as bytes, the same for the same query only.
    fn canonical(&self) -> Vec<u8>;
}

/// What is wrong with a query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidQuery {
    #[error("a page of {0} entries is not possible: ask for 1 to {PAGE_SIZE_MAX}")]
    PageSize(usize),
    #[error("the query's {field} has {bytes} bytes: the limit is {limit}, so nothing can match")]
    TooLong { field: &'static str, bytes: usize, limit: usize },
    #[error("the query has {0} tags: the limit is {TAGS_MAX}, so no instance can match")]
    TooManyTags(usize),
}

/// Checks the size of a page.
pub fn check_page_size(size: usize) -> Result<(), InvalidQuery> {
    if (1..=PAGE_SIZE_MAX).contains(&size) { Ok(()) } else { Err(InvalidQuery::PageSize(size)) }
}

/// The order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The newest first, then by id.
    Created,
    /// By id.
    Id,
    /// What ended first comes first, then by id.
    Completed,
}

/// Where a page ends: the next one begins after it. Cursors of one order compare as the list does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cursor {
    Created { created: Timestamp, id: InstanceId },
    Id(InstanceId),
    Completed { completed: Timestamp, id: InstanceId },
}

impl Cursor {
    pub fn order(&self) -> Order {
        match self {
            Self::Created { .. } => Order::Created,
            Self::Id(_) => Order::Id,
            Self::Completed { .. } => Order::Completed,
        }
    }

    fn key(&self) -> (Option<Reverse<Timestamp>>, Option<Timestamp>, &InstanceId) {
        match self {
            Self::Created { created, id } => (Some(Reverse(*created)), None, id),
            Self::Id(id) => (None, None, id),
            Self::Completed { completed, id } => (None, Some(*completed), id),
        }
    }
}

impl PartialOrd for Cursor {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Cursor {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// What queries ask of an instance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Facts<'a> {
    pub id: &'a str,
    pub status: RuntimeStatus,
    pub name: &'a str,
    pub created: Timestamp,
    /// When it ended.
    pub completed: Option<Timestamp>,
    pub tags: &'a BTreeMap<String, String>,
    /// The instance that called it.
    pub parent: Option<&'a str>,
}

impl Instance {
    pub fn facts(&self) -> Facts<'_> {
        let start = self.start();
        Facts {
            id: self.id.as_str(),
            status: self.status(),
            name: &start.name,
            created: self.created,
            completed: self.ended.as_ref().map(|e| e.timestamp),
            tags: &start.tags,
            parent: start.parent.as_ref().map(|p| p.instance_id.as_str()),
        }
    }
}

impl InstanceHead {
    pub fn facts<'a>(&'a self, id: &'a str) -> Facts<'a> {
        static NO_TAGS: BTreeMap<String, String> = BTreeMap::new();
        let start = self.started.start.as_ref();
        Facts {
            id,
            status: RuntimeStatus::try_from(self.status).unwrap_or(RuntimeStatus::Failed),
            name: start.map_or("", |s| &s.name),
            created: self.created,
            completed: self.ended.as_ref().map(|e| e.timestamp),
            tags: start.map_or(&NO_TAGS, |s| &s.tags),
            parent: start.and_then(|s| s.parent.as_ref()).map(|p| p.instance_id.as_str()),
        }
    }
}

fn length(field: &'static str, text: &str, limit: usize) -> Result<(), InvalidQuery> {
    let bytes = text.len();
    if bytes > limit { Err(InvalidQuery::TooLong { field, bytes, limit }) } else { Ok(()) }
}

/// Appends a text so that no two lists of texts look alike.
fn put(bytes: &mut Vec<u8>, text: &[u8]) {
    bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
    bytes.extend_from_slice(text);
}

fn within(time: Timestamp, from: Option<Timestamp>, to: Option<Timestamp>) -> bool {
    from.is_none_or(|from| from <= time) && to.is_none_or(|to| time < to)
}

fn put_time(bytes: &mut Vec<u8>, time: Option<Timestamp>) {
    put(bytes, &time.map_or(Vec::new(), |t| t.as_nanos().to_be_bytes().to_vec()));
}

impl Query for EntityQuery {
    type Item = EntityStatus;

    fn check(&self) -> Result<(), InvalidQuery> {
        length("id prefix", self.id_prefix.as_deref().unwrap_or_default(), INSTANCE_ID_BYTES_MAX)
    }

    fn place(&self, entity: &EntityStatus) -> Cursor {
        Cursor::Id(entity.id.clone())
    }

    fn canonical(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        put(&mut bytes, b"entities");
        put(&mut bytes, self.id_prefix.as_deref().unwrap_or_default().as_bytes());
        put_time(&mut bytes, self.modified_from);
        put_time(&mut bytes, self.modified_to);
        put(&mut bytes, &[u8::from(self.transient)]);
        bytes
    }
}

impl EntityQuery {
    pub fn matches(&self, entity: &EntityStatus) -> bool {
        (self.transient || entity.state.is_some())
            && within(entity.modified, self.modified_from, self.modified_to)
            && self.id_prefix.as_deref().is_none_or(|prefix| entity.id.as_str().starts_with(prefix))
    }
}

impl Query for InstanceQuery {
    type Item = InstanceStatus;

    fn check(&self) -> Result<(), InvalidQuery> {
        length("name", self.name.as_deref().unwrap_or_default(), NAME_BYTES_MAX)?;
        length("id prefix", self.id_prefix.as_deref().unwrap_or_default(), INSTANCE_ID_BYTES_MAX)?;
        length("parent", self.parent.as_ref().map_or("", |p| p.as_str()), INSTANCE_ID_BYTES_MAX)?;
        if self.tags.len() > TAGS_MAX {
            return Err(InvalidQuery::TooManyTags(self.tags.len()));
        }
        for (key, value) in &self.tags {
            length("tag key", key, TAG_KEY_BYTES_MAX)?;
            length("tag value", value, TAG_VALUE_BYTES_MAX)?;
        }
        Ok(())
    }

    fn place(&self, instance: &InstanceStatus) -> Cursor {
        self.cursor(&instance.id, instance.created, instance.completed())
    }

    fn canonical(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let statuses: Vec<u8> = self.statuses.iter().map(|s| *s as u8).collect();
        put(&mut bytes, &statuses);
        for time in [self.created_from, self.created_to, self.completed_from, self.completed_to] {
            put_time(&mut bytes, time);
        }
        for text in [&self.name, &self.id_prefix, &self.parent.as_ref().map(ToString::to_string)] {
            put(&mut bytes, &[u8::from(text.is_some())]);
            put(&mut bytes, text.as_deref().unwrap_or_default().as_bytes());
        }
        put(&mut bytes, &[self.order() as u8]);
        for (key, value) in &self.tags {
            put(&mut bytes, key.as_bytes());
            put(&mut bytes, value.as_bytes());
        }
        bytes
    }
}

impl InstanceQuery {
    pub fn order(&self) -> Order {
        let default = if self.id_prefix.is_some() { Order::Id } else { Order::Created };
        self.order_by.unwrap_or(default)
    }

    /// Where an instance stands in the list.
    pub fn place_of(&self, instance: &Instance) -> Cursor {
        self.cursor(&instance.id, instance.created, instance.ended.as_ref().map(|e| e.timestamp))
    }

    fn cursor(&self, id: &InstanceId, created: Timestamp, completed: Option<Timestamp>) -> Cursor {
        let id = id.clone();
        match self.order() {
            Order::Created => Cursor::Created { created, id },
            Order::Id => Cursor::Id(id),
            // One that is not over is not in the list.
            Order::Completed => Cursor::Completed { completed: completed.unwrap_or(created), id },
        }
    }

    /// Whether only what is over can match.
    fn asks_for_completed(&self) -> bool {
        self.completed_from.is_some()
            || self.completed_to.is_some()
            || self.order_by == Some(Order::Completed)
    }

    /// The statuses an instance may have; never empty for a query that something can match. Who asks for
    /// completed instances leaves out those that are not over.
    pub fn possible_statuses(&self) -> Vec<RuntimeStatus> {
        use RuntimeStatus::{
            Canceled, Completed, ContinuedAsNew, Failed, Pending, Running, Suspended, Terminated,
        };
        let all = [Running, Completed, ContinuedAsNew, Failed, Canceled, Terminated, Pending, Suspended];
        let over = self.asks_for_completed();
        let wanted = |s: &RuntimeStatus| {
            (self.statuses.is_empty() || self.statuses.contains(s)) && (!over || s.is_terminal())
        };
        all.into_iter().filter(wanted).collect()
    }

    /// Instances created at this time or later can't match: nothing ends before it begins.
    pub fn created_before(&self) -> Option<Timestamp> {
        [self.created_to, self.completed_to].into_iter().flatten().min()
    }

    /// Whether an index may say all that the query asks: its conditions are on creation time and just one
    /// of name and status; or, in the order of completion, on completion time and status.
    pub fn asks_only_indexed(&self) -> bool {
        let created = self.created_from.is_some() || self.created_to.is_some();
        let completed = self.completed_from.is_some() || self.completed_to.is_some();
        let indexed = match self.order() {
            Order::Created => !completed && (self.statuses.is_empty() || self.name.is_none()),
            Order::Completed => !created && self.name.is_none(),
            Order::Id => false,
        };
        indexed && self.id_prefix.is_none() && self.tags.is_empty() && self.parent.is_none()
    }

    pub fn matches(&self, facts: &Facts<'_>) -> bool {
        let completed = match facts.completed {
            Some(time) => within(time, self.completed_from, self.completed_to),
            None => !self.asks_for_completed(),
        };
        completed
            && (self.statuses.is_empty() || self.statuses.contains(&facts.status))
            && self.name.as_deref().is_none_or(|name| name == facts.name)
            && within(facts.created, self.created_from, self.created_to)
            && self.id_prefix.as_deref().is_none_or(|prefix| facts.id.starts_with(prefix))
            && self.parent.as_ref().is_none_or(|parent| facts.parent == Some(parent.as_str()))
            && self.tags.iter().all(|(key, value)| facts.tags.get(key) == Some(value))
    }
}

/// What the tables do not show yet of one partition.
#[derive(Clone, Debug, PartialEq)]
pub struct Overlay<T = InstanceStatus> {
    /// The first that match, in the order of the list.
    pub first: Vec<T>,
    /// How many match in all.
    pub matching: usize,
    /// Those that differ from their rows, and those that are gone, in order: whatever the tables say of
    /// them does not count.
    pub changed: Vec<InstanceId>,
}

impl Partition {
    /// What the tables do not show yet: at most `max` instances that match after a cursor, and the
    /// ids of all that changed.
    pub fn overlay(&self, query: &InstanceQuery, after: Option<&Cursor>, max: usize) -> Overlay {
        // All of these are in memory until their rows are written.
        let changed = self.dirty.union(&self.flushing).filter(|id| !id.is_entity());
        let changed: Vec<InstanceId> = changed.cloned().collect();
        let instances = changed.iter().filter_map(|id| self.instance(id.as_str()));
        let matching = instances.filter(|i| query.matches(&i.facts()));
        let mut matching: Vec<(Cursor, &Instance)> = matching
            .map(|i| (query.place_of(i), i))
            .filter(|(cursor, _)| after.is_none_or(|after| after < cursor))
            .collect();
        matching.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let first = matching.iter().take(max).map(|(_, instance)| instance.snapshot()).collect();
        Overlay { first, matching: matching.len(), changed }
    }

    /// As [`Partition::overlay`], for entities.
    pub fn overlay_entities(
        &self,
        query: &EntityQuery,
        after: Option<&Cursor>,
        max: usize,
    ) -> Overlay<EntityStatus> {
        let changed = self.dirty.union(&self.flushing).filter(|id| id.is_entity());
        let changed: Vec<InstanceId> = changed.cloned().collect();
        let entities = changed.iter().filter_map(|id| self.entity(id.as_str()));
        let matching: Vec<_> = entities
            .map(|entity| entity.snapshot())
            .filter(|entity| query.matches(entity))
            .filter(|entity| after.is_none_or(|after| *after < query.place(entity)))
            .collect();
        let count = matching.len();
        // Ids are in order already.
        Overlay { first: matching.into_iter().take(max).collect(), matching: count, changed }
    }
}
