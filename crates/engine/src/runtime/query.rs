//! Lists and counts of a running hub: see [`crate::list`] for how they come about.

use std::sync::Arc;

use strandline_hub::query::{
    Cursor, EntityQuery, InstanceQuery, InvalidQuery, Overlay, Query, check_page_size,
};
use strandline_hub::{EntityStatus, InstanceStatus};
use strandline_store::{Budget, Count, Page, Scan, Store, StoreError};
use tokio::sync::oneshot;

use super::running::Running;
use super::{CallError, Hub};
use crate::list::{InvalidToken, Overlays, TokenKey};
use crate::pipeline::{Answer, Asked, Input};

/// Part of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct InstancePage {
    /// In the order of the query. There may be fewer than asked for, even none, though more follow.
    pub instances: Vec<InstanceStatus>,
    /// Where the next page begins; `None` on the last one.
    pub continuation_token: Option<String>,
}

/// Part of a list of entities.
#[derive(Clone, Debug, PartialEq)]
pub struct EntityPage {
    /// In the order of their ids. There may be fewer than asked for, even none, though more follow.
    pub entities: Vec<EntityStatus>,
    /// Where the next page begins; `None` on the last one.
    pub continuation_token: Option<String>,
}

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Query(#[from] InvalidQuery),
    #[error(transparent)]
    Token(#[from] InvalidToken),
    #[error("the tables can't be read: {0}")]
    Store(#[from] StoreError),
}

impl Hub {
    /// A page of at most `size` instances, from where `token` says on. What a call was told before, the
    /// page shows. It never waits for a flush.
    pub async fn list(
        &self,
        query: &Arc<InstanceQuery>,
        token: Option<&str>,
        size: usize,
    ) -> Result<InstancePage, ListError> {
        query.check()?;
        let key = self.token_key().await?;
        let after = token.map(|token| key.read(&**query, token)).transpose()?;
        let Page { items: instances, next } = self.list_after(query, after, size).await?;
        Ok(InstancePage { instances, continuation_token: next.map(|next| key.write(&**query, &next)) })
    }

    /// As [`Hub::list`], for who keeps places in the list himself: from behind `after`, which must be of
    /// the query's order.
    pub async fn list_after(
        &self,
        query: &Arc<InstanceQuery>,
        after: Option<Cursor>,
        size: usize,
    ) -> Result<Page, ListError> {
        query.check()?;
        check_page_size(size)?;
        let running = self.running().await?;
        let wanted = Overlays::<InstanceStatus>::wanted(size);
        let overlays = running.overlays(query, after.as_ref(), wanted).await;
        let overlays = overlays.map_err(|error| self.explain(error))?;
        let (store, hub, asked) = (running.store.clone(), running.info.number, query.clone());
        // Neither a hub that closes nor one that starts over waits for this.
        drop(running);
        let page = blocking(move || -> Result<Page, StoreError> {
            let (query, after, hidden) = (&*asked, after.as_ref(), overlays.hidden());
            let scan = Scan { hub, query, after, hidden, budget: Budget::default() };
            let tables = store.list(&scan, wanted)?;
            Ok(overlays.merge(query, tables, size))
        });
        page.await.map_err(|error| self.explain(error))
    }

    /// The token for what follows this entry of a list: for who passes on less of a page than there is.
    pub async fn token_after<Q: Query>(&self, query: &Q, entry: &Q::Item) -> Result<String, CallError> {
        Ok(self.token_key().await?.write(query, &query.place(entry)))
    }

    async fn token_key(&self) -> Result<TokenKey, CallError> {
        let running = self.running().await?;
        Ok(TokenKey::new(&running.secret, running.info.number))
    }

    /// As [`Hub::list`], for entities.
    pub async fn list_entities(
        &self,
        query: &Arc<EntityQuery>,
        token: Option<&str>,
        size: usize,
    ) -> Result<EntityPage, ListError> {
        query.check()?;
        check_page_size(size)?;
        let running = self.running().await?;
        let key = TokenKey::new(&running.secret, running.info.number);
        let after = token.map(|token| key.read(&**query, token)).transpose()?;
        let wanted = Overlays::<EntityStatus>::wanted(size);
        let overlays = running.entity_overlays(query, after.as_ref(), wanted).await;
        let overlays = overlays.map_err(|error| self.explain(error))?;
        let (store, hub, asked) = (running.store.clone(), running.info.number, query.clone());
        drop(running);
        let page = blocking(move || {
            let (query, after, hidden) = (&*asked, after.as_ref(), overlays.hidden());
            let scan = Scan { hub, query, after, hidden, budget: Budget::default() };
            let tables = store.list_entities(&scan, wanted)?;
            Ok(overlays.merge(query, tables, size))
        });
        let Page { items: entities, next } = page.await.map_err(|error| self.explain(error))?;
        Ok(EntityPage { entities, continuation_token: next.map(|next| key.write(&**query, &next)) })
    }

    /// How many instances match. Those that change meanwhile may count or not.
    pub async fn count(&self, query: &Arc<InstanceQuery>) -> Result<u64, ListError> {
        query.check()?;
        let running = self.running().await?;
        let overlays = running.overlays(query, None, 0).await;
        let overlays = Arc::new(overlays.map_err(|error| self.explain(error))?);
        let (store, hub) = (running.store.clone(), running.info.number);
        drop(running);
        let mut sum = overlays.matching();
        let mut after: Option<Cursor> = None;
        loop {
            let (store, query, overlays) = (store.clone(), query.clone(), overlays.clone());
            // In slices, so that a count that nobody waits for any more comes to an end.
            let slice = blocking(move || count_slice(&*store, hub, &query, after.as_ref(), &overlays));
            let Count { instances, next } = slice.await.map_err(|error| self.explain(error))?;
            sum += instances;
            match next {
                Some(next) => after = Some(next),
                None => return Ok(sum),
            }
        }
    }
}

fn count_slice(
    store: &dyn Store,
    hub: u32,
    query: &InstanceQuery,
    after: Option<&Cursor>,
    overlays: &Overlays,
) -> Result<Count, StoreError> {
    let budget = Budget { rows: 100_000, ..Budget::default() };
    store.count(&Scan { hub, query, after, hidden: overlays.hidden(), budget })
}

impl Running {
    /// What the tables do not show yet, of all partitions.
    async fn overlays(
        &self,
        query: &Arc<InstanceQuery>,
        after: Option<&Cursor>,
        max: usize,
    ) -> Result<Overlays, CallError> {
        let query = Asked::Instances(query.clone());
        let pick = |answer| if let Answer::Overlay(overlay) = answer { Some(overlay) } else { None };
        self.ask_all(query, after, max, pick).await
    }

    async fn entity_overlays(
        &self,
        query: &Arc<EntityQuery>,
        after: Option<&Cursor>,
        max: usize,
    ) -> Result<Overlays<EntityStatus>, CallError> {
        let query = Asked::Entities(query.clone());
        let pick = |answer| if let Answer::EntityOverlay(overlay) = answer { Some(overlay) } else { None };
        self.ask_all(query, after, max, pick).await
    }

    async fn ask_all<T>(
        &self,
        query: Asked,
        after: Option<&Cursor>,
        max: usize,
        pick: impl Fn(Answer) -> Option<Overlay<T>>,
    ) -> Result<Overlays<T>, CallError> {
        let ask = |partition| {
            let (ticket, answer) = oneshot::channel();
            let (query, after) = (query.clone(), after.cloned());
            self.submit(partition, Input::Overlay { query, after, max, ticket });
            answer
        };
        let answers: Vec<_> = (0..self.info.partitions).map(ask).collect();
        let mut overlays = Vec::with_capacity(answers.len());
        for answer in answers {
            let overlay = answer.await.ok().and_then(&pick);
            overlays.push(overlay.ok_or(CallError::OutcomeUnknown)?);
        }
        Ok(overlays.into_iter().collect())
    }
}

/// Reads tables without holding up the runtime.
async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, ListError> {
    match tokio::task::spawn_blocking(read).await {
        Ok(result) => Ok(result?),
        // The runtime shuts down.
        Err(_) => Err(CallError::Closed.into()),
    }
}
