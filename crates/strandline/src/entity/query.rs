//! Finding entities, and keeping them tidy.

use std::fmt;
use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use strandline_hub::query::{EntityQuery, PAGE_SIZE_DEFAULT};
use strandline_model::{EntityId as Id, Timestamp};

use super::{Entity, EntityStatus};
use crate::backend::PageOf;
use crate::client::Client;
use crate::error::{Error, Result};

/// Which entities are meant: those that meet every condition given. Made by [`Client::query_entities`].
///
/// They come in the order of their ids. An entity that nothing changes while pages are read is on exactly
/// one of them.
#[derive(Clone)]
#[must_use = "nothing is read until pages or a stream is asked for"]
pub struct QueryEntities {
    client: Client,
    query: EntityQuery,
    /// What is wrong with a condition.
    problem: Option<String>,
    page_size: usize,
    states: bool,
}

/// Part of a list of entities.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EntityPage {
    /// In the order of their ids. There may be fewer than asked for, even none, though more follow.
    pub entities: Vec<EntityStatus>,
    /// Where the next page begins; `None` on the last one.
    pub continuation_token: Option<String>,
}

/// What [`Client::clean_entities`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CleanedEntities {
    /// Locks that nobody would have given back.
    pub released_locks: u64,
}

impl Client {
    /// Asks for entities: all that have a state, unless conditions say otherwise.
    ///
    /// ```
    /// # use strandline::prelude::*;
    /// # async fn f(client: Client) -> Result<()> {
    /// let mut stocks = client.query_entities().name("Stock").stream();
    /// while let Some(stock) = stocks.try_next().await? {
    ///     println!("{}: {:?}", stock.id.key(), stock.state);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn query_entities(&self) -> QueryEntities {
        QueryEntities {
            client: self.clone(),
            query: EntityQuery::default(),
            problem: None,
            page_size: PAGE_SIZE_DEFAULT,
            states: true,
        }
    }

    /// Gives back locks whose orchestration is over or gone. The hub does so by itself when an
    /// orchestration ends, and entities without state, operations and lock vanish by themselves; this is
    /// for hubs that somebody has doubts about.
    pub async fn clean_entities(&self) -> Result<CleanedEntities> {
        self.backend.clean_entities().await
    }
}

impl QueryEntities {
    /// Of this name, in whatever case.
    pub fn name(mut self, name: &str) -> Self {
        match Id::new(name, "") {
            Ok(id) => self.query.id_prefix = Some(id.to_string()),
            Err(error) => self.problem = Some(error.to_string()),
        }
        self
    }

    /// Of this kind, with keys that begin so.
    pub fn keys<E: Entity>(mut self, prefix: &str) -> Self {
        match Id::new(E::NAME, prefix) {
            Ok(id) => self.query.id_prefix = Some(id.to_string()),
            Err(error) => self.problem = Some(error.to_string()),
        }
        self
    }

    /// Ids, written `@name@key`, that begin so.
    pub fn id_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.query.id_prefix = Some(prefix.into());
        self
    }

    /// Whose last operations were committed then or later.
    pub fn modified_from(mut self, time: Timestamp) -> Self {
        self.query.modified_from = Some(time);
        self
    }

    /// Whose last operations were committed before then.
    pub fn modified_to(mut self, time: Timestamp) -> Self {
        self.query.modified_to = Some(time);
        self
    }

    /// Also those without a state, known only because operations wait for them or a lock is held.
    pub fn transient(mut self, transient: bool) -> Self {
        self.query.transient = transient;
        self
    }

    /// Whether states come along; they do by default.
    pub fn with_states(mut self, states: bool) -> Self {
        self.states = states;
        self
    }

    /// Entities on one page: 100 by default, at most 1,000.
    pub fn page_size(mut self, entities: usize) -> Self {
        self.page_size = entities;
        self
    }

    /// One page: the first, or the one a continuation token stands for. It may hold fewer entities than
    /// asked for, even none, and still have a token: then more were looked at than one page allows.
    ///
    /// # Errors
    /// `InvalidRequest` for a token that is not from a page of the same query, for a page size out of
    /// bounds, and for conditions that no entity can meet.
    pub async fn page(&self, token: Option<&str>) -> Result<EntityPage> {
        if let Some(problem) = &self.problem {
            return Err(Error::new("InvalidRequest", problem));
        }
        let query = Arc::new(self.query.clone());
        let page = PageOf { token, size: self.page_size, payloads: self.states };
        self.client.backend.list_entities(&query, page).await
    }

    /// All pages, one after the other.
    pub fn pages(self) -> BoxStream<'static, Result<EntityPage>> {
        let next = |state: Option<(Self, Option<String>)>| async move {
            let Some((asked, token)) = state else { return Ok(None) };
            let page = asked.page(token.as_deref()).await?;
            let more = page.continuation_token.clone();
            Ok(Some((page, more.map(|token| (asked, Some(token))))))
        };
        stream::try_unfold(Some((self, None)), next).boxed()
    }

    /// All entities, read a page at a time.
    pub fn stream(self) -> BoxStream<'static, Result<EntityStatus>> {
        self.pages().map_ok(|page| stream::iter(page.entities.into_iter().map(Ok))).try_flatten().boxed()
    }
}

impl fmt::Debug for QueryEntities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryEntities").field("query", &self.query).finish_non_exhaustive()
    }
}
