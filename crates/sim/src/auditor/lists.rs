//! Lists must show what the reference knows, out of tables and overlay.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use strandline_engine::list::Overlays;
use strandline_engine::pipeline::{Pipeline, Ticket};
use strandline_hub::InstanceStatus;
use strandline_hub::query::{Cursor, InstanceQuery, Order};
use strandline_model::{EventKind, InstanceId, RuntimeStatus, Timestamp};
use strandline_store::{Budget, Page, Scan, Store, StoreError};

use super::reference::{Books, Known};
use crate::Violation;

/// A small page and a small budget: every list takes several of both.
const LIMIT: usize = 5;
const ROWS: usize = 7;

/// Compares lists of one partition's instances with its books. False when the disk did not let them read.
pub(super) fn check<T: Ticket>(
    pipeline: &Pipeline<T>,
    store: &dyn Store,
    books: &Books,
) -> Result<bool, Violation> {
    let all = InstanceQuery::default;
    let status = |status| InstanceQuery { statuses: [status].into(), ..all() };
    let queries = [
        all(),
        status(RuntimeStatus::Pending),
        status(RuntimeStatus::Running),
        status(RuntimeStatus::Completed),
        status(RuntimeStatus::Failed),
        InstanceQuery { name: Some("Child".to_owned()), ..all() },
        InstanceQuery { id_prefix: Some(String::new()), ..all() },
        InstanceQuery { order_by: Some(Order::Completed), ..all() },
        InstanceQuery {
            statuses: [RuntimeStatus::Failed, RuntimeStatus::Terminated].into(),
            order_by: Some(Order::Completed),
            ..all()
        },
    ];
    for query in queries {
        let Ok(listed) = list(pipeline, store, &query) else { return Ok(false) };
        // The tables show all partitions.
        let listed: Vec<_> = listed.into_iter().filter(|(_, id)| books.instances.contains_key(id)).collect();
        let expected = expected(books, &query);
        if listed != expected {
            return Err(format!("{query:?} lists {listed:?} instead of {expected:?}"));
        }
    }
    Ok(true)
}

/// Instances with the time that their order goes by.
type Listed = Vec<(Timestamp, InstanceId)>;

fn list<T: Ticket>(
    pipeline: &Pipeline<T>,
    store: &dyn Store,
    query: &InstanceQuery,
) -> Result<Listed, StoreError> {
    let (mut listed, mut after): (Listed, Option<Cursor>) = (Vec::new(), None);
    loop {
        let overlay = pipeline.partition().overlay(query, after.as_ref(), <Overlays>::wanted(LIMIT));
        let overlays: Overlays = std::iter::once(overlay).collect();
        let scan = Scan {
            hub: pipeline.at().hub,
            query,
            after: after.as_ref(),
            hidden: overlays.hidden(),
            budget: Budget { rows: ROWS, ..Budget::UNLIMITED },
        };
        let tables = store.list(&scan, <Overlays>::wanted(LIMIT))?;
        let Page { items, next } = overlays.merge(query, tables, LIMIT);
        let by_completed = query.order_by == Some(Order::Completed);
        let time = |i: &InstanceStatus| i.completed().filter(|_| by_completed).unwrap_or(i.created);
        listed.extend(items.into_iter().map(|i| (time(&i), i.id)));
        match next {
            Some(next) => after = Some(next),
            None => return Ok(listed),
        }
    }
}

fn expected(books: &Books, query: &InstanceQuery) -> Listed {
    let statuses: BTreeSet<RuntimeStatus> = query.statuses.clone();
    let meant = |known: &Known| {
        let name = match known.started.kind() {
            EventKind::ExecutionStarted(start) => start.name.as_str(),
            _ => "",
        };
        (statuses.is_empty() || statuses.contains(&known.status()))
            && query.name.as_deref().is_none_or(|wanted| wanted == name)
            && (known.ended.is_some() || query.order_by != Some(Order::Completed))
    };
    let mut expected: Listed = books
        .instances
        .iter()
        .filter(|(_, known)| meant(known))
        .map(|(id, known)| match &known.ended {
            Some(ended) if query.order_by.is_some() => (ended.timestamp, id.clone()),
            _ => (known.created, id.clone()),
        })
        .collect();
    // By id they are in order already.
    if query.order_by.is_some() {
        expected.sort();
    } else if query.id_prefix.is_none() {
        expected.sort_by_key(|(created, id)| (Reverse(*created), id.clone()));
    }
    expected
}
