//! Removing what is over, and doing it again.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use strandline_engine::maintenance::{self, PurgeOptions, PurgeScope};
use strandline_hub::Refusal;
use strandline_model::InstanceId;

use crate::backend::{Order, Restart, refused};
use crate::client::Client;
use crate::error::{Error, Result};
use crate::instance::Instance;
use crate::query::QueryInstances;

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

impl From<maintenance::Purged> for Purged {
    fn from(purged: maintenance::Purged) -> Self {
        let maintenance::Purged { purged, complete, not_over } = purged;
        Self { purged, complete, not_over }
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
        Purge { client: self.client(), id: self.instance_id().clone(), scope: PurgeScope::Instance }
    }

    /// Starts the orchestrator again under the same id, with the input, version and tags the instance
    /// had last. What was there is replaced.
    ///
    /// # Errors
    /// `InstanceNotFound`; `InstanceExists` for an instance that is not over.
    pub async fn restart(&self) -> Result<()> {
        self.restarted(Restart::Itself).await?;
        Ok(())
    }

    /// Starts the orchestrator again under a new id of 32 hex digits, whatever this instance does.
    ///
    /// # Errors
    /// `InstanceNotFound`.
    pub async fn restart_as_new(&self) -> Result<Self> {
        let id = self.restarted(Restart::NewInstance).await?;
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
        let order = Order::Rewind { reason: reason.into() };
        self.client().backend.order(self.instance_id(), order).await
    }

    /// What nobody serves is not started.
    async fn restarted(&self, into: Restart) -> Result<InstanceId> {
        let status = self.status().await?;
        let status = status.ok_or_else(|| refused(Refusal::NotFound, self.id()))?;
        self.client().check_served(status.name())?;
        self.client().backend.restart(self.instance_id(), into).await
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
        let options = PurgeOptions { page_size: query.page_size, ..PurgeOptions::default() };
        PurgeWhere { client: self.clone(), query, options }
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
        self.backend.purge_ids(ids).await
    }
}

/// A purge before it happens; awaiting it removes the instance.
#[must_use = "nothing is purged until it is awaited"]
pub struct Purge<'a> {
    client: &'a Client,
    id: InstanceId,
    scope: PurgeScope,
}

impl Purge<'_> {
    /// Also removes its sub-orchestrations, and theirs: those its history tells of, which begins with
    /// the last continue-as-new.
    pub fn recursive(mut self) -> Self {
        self.scope = PurgeScope::Tree;
        self
    }

    async fn purge(self) -> Result<u64> {
        self.client.backend.purge(&self.id, self.scope).await
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
    options: PurgeOptions,
}

impl PurgeWhere {
    /// Stops after this time, but not before the end of the first page; the same purge goes on with what
    /// is left.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// Also removes the sub-orchestrations of what it removes; see [`Purge::recursive`].
    pub fn recursive(mut self) -> Self {
        self.options.scope = PurgeScope::Tree;
        self
    }

    async fn purge(self) -> Result<Purged> {
        self.client.backend.purge_where(self.query.build()?, self.options).await
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
