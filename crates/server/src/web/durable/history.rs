//! `historyEvents`: a history as Durable Functions shows it.
//!
//! Ends of turns are left out. What schedules a task vanishes once its result is there: the result then says
//! by itself what was scheduled, and when. So a history is read twice, window by window: first for which
//! tasks have results, then to show it. An answer holds one window in memory and streams the rest.

mod event;

use std::collections::VecDeque;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use strandline_engine::pipeline::{Answer, HistoryPage, Read};
use strandline_engine::runtime::{CallError, Hub};
use strandline_hub::InstanceStatus;
use strandline_model::{ExecutionId, HistoryEvent, InstanceId};

use self::event::Joiner;
pub(super) use self::event::Show;

/// Events read at a time.
const EVENTS: usize = 250;
/// Bytes after which a part of an answer is sent.
const PART_BYTES: usize = 256 << 10;
/// Bytes up to which an answer is made before it is sent, so that it has a length.
const WHOLE_BYTES: usize = 1 << 20;

/// A history on its way out.
struct Showing {
    hub: Hub,
    id: InstanceId,
    execution: ExecutionId,
    show: Show,
    joiner: Joiner,
    /// Events there were at the first reading. What came later is not shown.
    total: usize,
    /// Those that were read but not shown.
    window: VecDeque<Arc<HistoryEvent>>,
    /// Those that were shown.
    shown: usize,
    /// What follows next: the text before the list, then parts of it.
    part: Vec<u8>,
    ended: bool,
}

/// Why the rest of a history does not come.
#[derive(Debug, thiserror::Error)]
enum BrokenOff {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the instance was purged, or began anew, while its history was read")]
    Replaced,
}

/// A status object with the instance's history as its last member; `None` if the execution it is the status of
/// is not the current one any more.
///
/// `status` is the object without it, as JSON.
pub(super) async fn with_history(
    hub: &Hub,
    instance: &InstanceStatus,
    status: Vec<u8>,
    show: Show,
) -> Result<Option<Body>, CallError> {
    let Some(mut showing) = Showing::begin(hub, instance, status, show).await? else { return Ok(None) };
    let mut whole = Vec::new();
    while whole.len() < WHOLE_BYTES {
        match showing.next().await {
            Ok(Some(part)) => whole.extend_from_slice(&part),
            Ok(None) => return Ok(Some(Body::from(whole))),
            // Nothing was sent yet.
            Err(BrokenOff::Replaced) => return Ok(None),
            Err(BrokenOff::Call(error)) => return Err(error),
        }
    }
    let whole = Bytes::from(whole);
    let rest = stream::try_unfold(showing, |mut showing| async move {
        let part = showing.next().await?;
        Ok::<_, BrokenOff>(part.map(|part| (part, showing)))
    });
    Ok(Some(Body::from_stream(stream::iter([Ok(whole)]).chain(rest))))
}

async fn read(hub: &Hub, id: &InstanceId, from: usize, max: usize) -> Result<Option<HistoryPage>, CallError> {
    match hub.read(id, Read::History { from, max }).await? {
        Answer::History(page) => Ok(page),
        _ => Ok(None),
    }
}

impl Showing {
    /// Reads the history a first time.
    async fn begin(
        hub: &Hub,
        instance: &InstanceStatus,
        mut status: Vec<u8>,
        show: Show,
    ) -> Result<Option<Self>, CallError> {
        status.truncate(status.len().saturating_sub(1));
        status.extend_from_slice(b",\"historyEvents\":[");
        let (id, execution) = (&instance.id, instance.execution);
        let page = read(hub, id, 0, EVENTS).await?.filter(|page| page.execution == execution);
        let Some(HistoryPage { total, events, .. }) = page else { return Ok(None) };
        let mut joiner = Joiner::default();
        events.iter().for_each(|event| joiner.note(event));
        let mut from = events.len();
        // A short history need not be read again.
        let window = if from == total { events.into() } else { VecDeque::new() };
        while from < total {
            let page = read(hub, id, from, EVENTS.min(total - from)).await?;
            let page = page.filter(|page| page.execution == execution && !page.events.is_empty());
            let Some(page) = page else { return Ok(None) };
            page.events.iter().for_each(|event| joiner.note(event));
            from += page.events.len();
        }
        let (hub, id, part, shown, ended) = (hub.clone(), id.clone(), status, 0, false);
        Ok(Some(Self { hub, id, execution, show, joiner, total, window, shown, part, ended }))
    }

    /// The next part of the answer; `None` after the last one.
    async fn next(&mut self) -> Result<Option<Bytes>, BrokenOff> {
        if self.ended {
            return Ok(None);
        }
        while self.shown < self.total && self.part.len() < PART_BYTES {
            let Some(event) = self.window.pop_front() else {
                let left = self.total - self.shown;
                self.window = self.read(self.shown, left.min(EVENTS)).await?.into();
                continue;
            };
            if let Some(number) = self.joiner.lacks(&event) {
                let scheduling = self.read(number, 1).await?.pop();
                self.joiner.provide(scheduling.ok_or(BrokenOff::Replaced)?);
            }
            self.joiner.show(self.shown, &event, self.show, &mut self.part);
            self.shown += 1;
        }
        if self.shown == self.total {
            self.part.extend_from_slice(b"]}");
            self.ended = true;
        }
        Ok(Some(Bytes::from(std::mem::take(&mut self.part))))
    }

    async fn read(&self, from: usize, max: usize) -> Result<Vec<Arc<HistoryEvent>>, BrokenOff> {
        let page = read(&self.hub, &self.id, from, max).await?;
        let page = page.filter(|page| page.execution == self.execution && !page.events.is_empty());
        Ok(page.ok_or(BrokenOff::Replaced)?.events)
    }
}
