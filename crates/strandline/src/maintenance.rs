//! Removing what is over, and doing it again.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use futures::stream::{self, StreamExt, TryStreamExt};
use strandline_engine::pipeline::{Answer, Read};
use strandline_hub::{Command, InstanceStatus, Refusal, Reply, ReusePolicy, Start};
use strandline_model::{EventKind, ExecutionId, InstanceId, RuntimeStatus};
use tokio::time::Instant;
use uuid::Uuid;

use crate::client::{Client, call_error, refused};
use crate::error::{Error, Result};
use crate::instance::Instance;
use crate::query::QueryInstances;

/// Instances purged at the same time.
const AT_ONCE: usize = 64;
/// Events of a history read at a time in search of children.
const HISTORY_PAGE: usize = 10_000;

/// What a purge of many instances did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Instances that are gone; with children, if they were asked for.
    pub purged: u64,
    /// Nothing remains of what was asked for. False when something is [not over](Self::not_over), or when
    /// time ran out, which is all that it can be if nothing is not over: then ask again to go on.
    pub complete: bool,
    /// Instances asked for that remain because they are not over or, with children, one below them is
    /// not. To ask again is of use once that is over.
    pub not_over: u64,
}

impl Purged {
    const ALL: Self = Self { purged: 0, complete: true, not_over: 0 };

    /// What both did.
    fn and(self, other: Self) -> Self {
        Self {
            purged: self.purged + other.purged,
            complete: self.complete && other.complete,
            not_over: self.not_over + other.not_over,
        }
    }
}

impl<O> Instance<O> {
    /// Removes the instance, which must be over, with its history; awaiting the result does it and
    /// returns how many instances are gone: 0 when there is none of this id.
    ///
    /// ```
    /// # use strandline::prelude::*;
    /// # async fn f(run: Instance<()>) -> Result<()> {
    /// let purged = run.purge().recursive().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `InstanceNotOver` for an instance that is not over: terminate it first. With
    /// [`Purge::recursive`], also for a child; what was purged by then is gone, and the same purge goes
    /// on once the child is over.
    pub fn purge(&self) -> Purge<'_> {
        Purge { client: self.client(), id: self.instance_id().clone(), recursive: false }
    }

    /// Starts the orchestrator again under the same id, with the input, version and tags the instance
    /// had last. What was there is replaced.
    ///
    /// # Errors
    /// `InstanceNotFound`; `InstanceExists` for an instance that is not over.
    pub async fn restart(&self) -> Result<()> {
        self.start_again(self.instance_id(), ReusePolicy::replace_terminal()).await
    }

    /// Starts the orchestrator again under a new id of 32 hex digits, whatever this instance does.
    ///
    /// # Errors
    /// `InstanceNotFound`.
    pub async fn restart_as_new(&self) -> Result<Self> {
        let id = InstanceId::trusted(Uuid::new_v4().simple().to_string());
        self.start_again(&id, ReusePolicy::refuse()).await?;
        Ok(Self::new(self.client().clone(), id))
    }

    /// Does again what failed: the instance goes on from its last failure, with its history. Failed
    /// sub-orchestrations are rewound, too. Steps that finished before do not run again.
    ///
    /// If the code was mended meanwhile, the instance goes on from the first step that is another one
    /// now; what is recorded from there on is taken out of its history.
    ///
    /// # Errors
    /// `InstanceNotFound`; `InstanceNotFailed` for one that did not fail.
    pub async fn rewind(&self, reason: impl Into<String>) -> Result<()> {
        let reason = Some(reason.into());
        match self.client().hub.rewind(self.instance_id(), reason).await.map_err(call_error)? {
            Reply::Refused(refusal) => Err(refused(refusal, self.id())),
            _ => Ok(()),
        }
    }

    async fn start_again(&self, id: &InstanceId, reuse: ReusePolicy) -> Result<()> {
        let status = self.status().await?;
        let status = status.ok_or_else(|| refused(Refusal::NotFound, self.id()))?;
        self.client().check_served(status.name())?;
        let start = Start {
            id: id.clone(),
            name: status.name().to_owned(),
            version: status.version().map(str::to_owned),
            input: status.input().map(str::to_owned),
            tags: status.tags().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            scheduled_start: None,
            reuse,
            execution: ExecutionId(0),
            seed: 0,
            trace_parent: None,
            trace_state: None,
        };
        match self.client().hub.start(start).await.map_err(call_error)? {
            Reply::Refused(refusal) => Err(refused(refusal, id.as_str())),
            _ => Ok(()),
        }
    }
}

impl Client {
    /// Removes the instances that a query means and that are over; awaiting the result does it. Others
    /// are left alone, and so are entities.
    ///
    /// ```
    /// # use strandline::prelude::*;
    /// # async fn f(client: Client) -> Result<()> {
    /// let old = client.query().completed_to("2026-01-01T00:00:00Z".parse()?);
    /// loop {
    ///     let part = client.purge_where(old.clone()).recursive().timeout(secs(10)).await?;
    ///     // What is not over would be asked for without end.
    ///     if part.complete || part.purged == 0 {
    ///         break;
    ///     }
    ///     println!("{} purged, going on", part.purged);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn purge_where(&self, query: QueryInstances) -> PurgeWhere {
        PurgeWhere { client: self.clone(), query, timeout: None, recursive: false }
    }

    /// Removes those of these instances that are over.
    ///
    /// # Errors
    /// When a text can't be an instance id.
    pub async fn purge_ids<I>(&self, ids: I) -> Result<Purged>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let parse =
            |id: I::Item| InstanceId::new(id.as_ref()).map_err(|e| Error::new("InvalidInstanceId", e));
        let ids: Vec<InstanceId> = ids.into_iter().map(parse).collect::<Result<_>>()?;
        let purges = ids.into_iter().map(|id| self.purge_one(id, None));
        let outcomes: Vec<Outcome> = stream::iter(purges).buffer_unordered(AT_ONCE).try_collect().await?;
        let count = |wanted| outcomes.iter().filter(|o| **o == wanted).count() as u64;
        let (purged, not_over) = (count(Outcome::Gone), count(Outcome::NotOver));
        Ok(Purged { purged, complete: not_over == 0, not_over })
    }

    /// Removes one instance, if it is (still) that execution.
    async fn purge_one(&self, id: InstanceId, execution: Option<ExecutionId>) -> Result<Outcome> {
        let command = Command::Purge { id: id.clone(), execution };
        match self.hub.command(&id, command).await.map_err(call_error)? {
            Reply::Refused(Refusal::NotFound) => Ok(Outcome::Missing),
            Reply::Refused(Refusal::NotOver { .. }) => Ok(Outcome::NotOver),
            Reply::Refused(refusal) => Err(refused(refusal, id.as_str())),
            _ => Ok(Outcome::Gone),
        }
    }

    /// Removes a tree of instances, children before their parents, so that what was not reached is still
    /// found from above. Counts what is gone, also when it stops with an error.
    async fn purge_tree(&self, root: InstanceId, purged: &mut u64) -> Result<()> {
        let mut stack = vec![Visit { id: root, parent: None, execution: None }];
        while let Some(Visit { id, parent, execution }) = stack.pop() {
            if let Some(execution) = execution {
                // Its children are gone.
                let outcome = self.purge_one(id, Some(execution)).await?;
                *purged += u64::from(outcome == Outcome::Gone);
                continue;
            }
            let Some(status) = self.status_of(&id).await? else { continue };
            // The id may have been somebody else's when it was called.
            if parent.is_some_and(|p| status.parent().is_none_or(|of| of.instance_id != p.as_str())) {
                continue;
            }
            if !status.status.is_terminal() {
                return Err(refused(Refusal::NotOver { status: status.status }, id.as_str()));
            }
            let children = self.children(&id).await?;
            stack.push(Visit { id: id.clone(), parent: None, execution: Some(status.execution) });
            let visit = |child| Visit { id: child, parent: Some(id.clone()), execution: None };
            stack.extend(children.into_iter().map(visit));
        }
        Ok(())
    }

    async fn status_of(&self, id: &InstanceId) -> Result<Option<InstanceStatus>> {
        match self.hub.read(id, Read::Status).await.map_err(call_error)? {
            Answer::Status(status) => Ok(status.map(|s| *s)),
            _ => Ok(None),
        }
    }

    /// The sub-orchestrations in the history of an instance, but not those that were just set off.
    async fn children(&self, id: &InstanceId) -> Result<Vec<InstanceId>> {
        let mut children = Vec::new();
        let mut from = 0;
        loop {
            let read = Read::History { from, max: HISTORY_PAGE };
            let Answer::History(Some(page)) = self.hub.read(id, read).await.map_err(call_error)? else {
                return Ok(children);
            };
            for event in &page.events {
                if let EventKind::SubOrchestrationCreated(child) = event.kind()
                    && !child.fire_and_forget
                {
                    children.push(InstanceId::trusted(&*child.instance_id));
                }
            }
            from += page.events.len();
            if page.events.is_empty() || from >= page.total {
                return Ok(children);
            }
        }
    }
}

/// What became of an instance that was to be purged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Gone,
    Missing,
    NotOver,
}

/// An instance on the way through a tree.
struct Visit {
    id: InstanceId,
    /// Whose child it must be.
    parent: Option<InstanceId>,
    /// Set once its children are gone.
    execution: Option<ExecutionId>,
}

/// A purge before it happens; awaiting it removes the instance.
#[must_use = "nothing is purged until it is awaited"]
pub struct Purge<'a> {
    client: &'a Client,
    id: InstanceId,
    recursive: bool,
}

impl Purge<'_> {
    /// Also removes its sub-orchestrations, and theirs: those its history tells of, which begins with
    /// the last continue-as-new.
    pub fn recursive(mut self) -> Self {
        self.recursive = true;
        self
    }

    async fn purge(self) -> Result<u64> {
        if self.recursive {
            let mut purged = 0;
            self.client.purge_tree(self.id, &mut purged).await?;
            return Ok(purged);
        }
        let command = Command::Purge { id: self.id.clone(), execution: None };
        match self.client.hub.command(&self.id, command).await.map_err(call_error)? {
            Reply::Refused(Refusal::NotFound) => Ok(0),
            Reply::Refused(refusal) => Err(refused(refusal, self.id.as_str())),
            _ => Ok(1),
        }
    }
}

impl<'a> IntoFuture for Purge<'a> {
    type Output = Result<u64>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.purge())
    }
}

impl fmt::Debug for Purge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Purge").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A purge of many instances before it happens; awaiting it removes them.
#[must_use = "nothing is purged until it is awaited"]
pub struct PurgeWhere {
    client: Client,
    query: QueryInstances,
    timeout: Option<Duration>,
    recursive: bool,
}

impl PurgeWhere {
    /// Stops after this time, but not before the end of the first page; the same purge goes on with what
    /// is left.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Also removes the sub-orchestrations of what it removes; see [`Purge::recursive`].
    pub fn recursive(mut self) -> Self {
        self.recursive = true;
        self
    }

    async fn purge(self) -> Result<Purged> {
        let end = self.timeout.map(|timeout| Instant::now() + timeout);
        let Some(query) = self.query.clone().only_over() else {
            return Ok(Purged::ALL);
        };
        let mut done = Purged::ALL;
        let mut pages = query.with_payloads(false).pages();
        while let Some(page) = pages.try_next().await? {
            let purges = page.instances.into_iter().map(|instance| self.purge_listed(instance));
            let outcomes: Vec<Purged> = stream::iter(purges).buffer_unordered(AT_ONCE).try_collect().await?;
            done = outcomes.into_iter().fold(done, Purged::and);
            if page.continuation_token.is_some() && end.is_some_and(|end| Instant::now() >= end) {
                done.complete = false;
                break;
            }
        }
        Ok(done)
    }

    async fn purge_listed(&self, instance: InstanceStatus) -> Result<Purged> {
        if !self.recursive {
            // Another execution may have taken its place: nobody asked for that one.
            let outcome = self.client.purge_one(instance.id, Some(instance.execution)).await?;
            return Ok(Purged { purged: u64::from(outcome == Outcome::Gone), ..Purged::ALL });
        }
        let mut purged = 0;
        match self.client.purge_tree(instance.id, &mut purged).await {
            Ok(()) => Ok(Purged { purged, ..Purged::ALL }),
            Err(error) if error.error_type() == "InstanceNotOver" => {
                Ok(Purged { purged, complete: false, not_over: 1 })
            }
            Err(error) => Err(error),
        }
    }
}

impl IntoFuture for PurgeWhere {
    type Output = Result<Purged>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.purge())
    }
}

impl fmt::Debug for PurgeWhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PurgeWhere").field("query", &self.query).finish_non_exhaustive()
    }
}

/// The states of what can be purged.
pub(crate) const OVER: [RuntimeStatus; 4] =
    [RuntimeStatus::Completed, RuntimeStatus::Failed, RuntimeStatus::Terminated, RuntimeStatus::Canceled];
