//! Finding instances by what they are.

use std::fmt;
use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use strandline_engine::runtime::InstancePage;
use strandline_hub::InstanceStatus;
use strandline_hub::query::{InstanceQuery, PAGE_SIZE_DEFAULT};
use strandline_model::{InstanceId, RuntimeStatus, Timestamp};

use crate::backend::{PageOf, When};
use crate::client::Client;
use crate::error::{Error, Result};

/// Statuses asked for at the same time by [`Client::statuses`].
const AT_ONCE: usize = 256;

/// Which instances are meant: those that meet every condition given. Made by [`Client::query`].
///
/// Lists come with the newest instance first, then by id; with [`QueryInstances::id_prefix`], by id. What a
/// client was told before it asks, it finds. An instance that nothing changes while pages are read is on
/// exactly one of them.
#[derive(Clone)]
#[must_use = "nothing is read until pages, a stream or a count is asked for"]
pub struct QueryInstances {
    client: Client,
    query: InstanceQuery,
    parent: Option<String>,
    pub(crate) page_size: usize,
    payloads: bool,
}

impl Client {
    /// Asks for instances: all of the hub, unless conditions say otherwise. Entities are no instances.
    ///
    /// ```
    /// # use strandline::prelude::*;
    /// # async fn f(client: Client) -> Result<()> {
    /// use strandline::RuntimeStatus;
    ///
    /// let failed = client.query().status(RuntimeStatus::Failed).name("Order").tag("tenant", "acme");
    /// println!("{} orders failed", failed.clone().count().await?);
    /// let mut failed = failed.stream();
    /// while let Some(order) = failed.try_next().await? {
    ///     println!("{}: {:?}", order.id, order.failure());
    /// }
    /// # Ok(()) }
    /// ```
    pub fn query(&self) -> QueryInstances {
        QueryInstances {
            client: self.clone(),
            query: InstanceQuery::default(),
            parent: None,
            page_size: PAGE_SIZE_DEFAULT,
            payloads: true,
        }
    }

    /// What is known of several instances, in the order of their ids; `None` where there is none.
    ///
    /// # Errors
    /// When a text can't be an instance id.
    pub async fn statuses<I>(&self, ids: I) -> Result<Vec<Option<InstanceStatus>>>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let parse =
            |id: I::Item| InstanceId::new(id.as_ref()).map_err(|e| Error::new("InvalidInstanceId", e));
        let ids: Vec<InstanceId> = ids.into_iter().map(parse).collect::<Result<_>>()?;
        let status = |id: InstanceId| async move { self.backend.status(&id, When::Now).await };
        stream::iter(ids).map(status).buffered(AT_ONCE).try_collect().await
    }
}

impl QueryInstances {
    /// In this state; said several times, in one of these.
    pub fn status(mut self, status: RuntimeStatus) -> Self {
        self.query.statuses.insert(status);
        self
    }

    /// Of the orchestrator with exactly this name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.query.name = Some(name.into());
        self
    }

    /// Created then or later.
    pub fn created_from(mut self, time: Timestamp) -> Self {
        self.query.created_from = Some(time);
        self
    }

    /// Created before then.
    pub fn created_to(mut self, time: Timestamp) -> Self {
        self.query.created_to = Some(time);
        self
    }

    /// Over since then or later.
    pub fn completed_from(mut self, time: Timestamp) -> Self {
        self.query.completed_from = Some(time);
        self
    }

    /// Over before then.
    pub fn completed_to(mut self, time: Timestamp) -> Self {
        self.query.completed_to = Some(time);
        self
    }

    /// Ids that begin so. The list is in the order of ids then.
    pub fn id_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.query.id_prefix = Some(prefix.into());
        self
    }

    /// With this tag; said several times, with all of them.
    pub fn tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.query.tags.insert(key.into(), value.into());
        self
    }

    /// The direct sub-orchestrations of this instance.
    pub fn parent(mut self, id: impl Into<String>) -> Self {
        self.parent = Some(id.into());
        self
    }

    /// Instances on one page: 100 by default, at most 1,000.
    pub fn page_size(mut self, instances: usize) -> Self {
        self.page_size = instances;
        self
    }

    /// Whether inputs, outputs and custom statuses come along; they do by default.
    pub fn with_payloads(mut self, payloads: bool) -> Self {
        self.payloads = payloads;
        self
    }

    /// One page: the first, or the one a continuation token stands for. It may hold fewer instances than
    /// asked for, even none, and still have a token: then more were looked at than one page allows.
    ///
    /// # Errors
    /// `InvalidRequest` for a token that is not from a page of the same query, for a page size out of
    /// bounds, and for conditions that no instance can meet because of their length.
    pub async fn page(&self, token: Option<&str>) -> Result<InstancePage> {
        let query = Arc::new(self.build()?);
        self.read_page(&query, token).await
    }

    /// All pages, one after the other.
    pub fn pages(self) -> BoxStream<'static, Result<InstancePage>> {
        let query = match self.build() {
            Ok(query) => Arc::new(query),
            Err(error) => return stream::once(async { Err(error) }).boxed(),
        };
        let next = |state: Option<(Self, Arc<InstanceQuery>, Option<String>)>| async move {
            let Some((asked, query, token)) = state else { return Ok(None) };
            let page = asked.read_page(&query, token.as_deref()).await?;
            let more = page.continuation_token.clone();
            Ok(Some((page, more.map(|token| (asked, query, Some(token))))))
        };
        stream::try_unfold(Some((self, query, None)), next).boxed()
    }

    /// All instances, read a page at a time.
    pub fn stream(self) -> BoxStream<'static, Result<InstanceStatus>> {
        self.pages().map_ok(|page| stream::iter(page.instances.into_iter().map(Ok))).try_flatten().boxed()
    }

    /// How many instances there are. Those that change meanwhile may count or not.
    ///
    /// # Errors
    /// As for [`QueryInstances::page`].
    pub async fn count(&self) -> Result<u64> {
        self.client.backend.count(&Arc::new(self.build()?)).await
    }

    async fn read_page(&self, query: &Arc<InstanceQuery>, token: Option<&str>) -> Result<InstancePage> {
        let page = PageOf { token, size: self.page_size, payloads: self.payloads };
        self.client.backend.list(query, page).await
    }

    pub(crate) fn build(&self) -> Result<InstanceQuery> {
        let parent = self.parent.as_deref().map(InstanceId::new).transpose();
        let parent = parent.map_err(|e| Error::new("InvalidInstanceId", e).context("the query's parent"))?;
        Ok(InstanceQuery { parent, ..self.query.clone() })
    }
}

impl fmt::Debug for QueryInstances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryInstances")
            .field("query", &self.query)
            .field("parent", &self.parent)
            .finish_non_exhaustive()
    }
}
