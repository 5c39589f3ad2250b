//! Histories as streams.

use std::pin::Pin;

use futures::stream::{self, Stream};
use prost::Message as _;
use strandline_engine::pipeline::{Answer, Read};
use strandline_engine::runtime::Hub;
use strandline_hub::Refusal;
use strandline_model::{EventKind, ExecutionId, InstanceId};
use strandline_proto::{Execution, history, ids, wire};
use tonic::{Request, Response, Status};

use super::TaskHubService;
use super::error::status;
use super::instances::instance_id;
use crate::access::Caller;
use crate::keys::Permission;

pub(super) type HistoryChunks = Pin<Box<dyn Stream<Item = Result<wire::HistoryChunk, Status>> + Send>>;

/// Events read at a time, and the bytes of events after which a chunk is closed.
const EVENTS: usize = 1_000;
const CHUNK_BYTES: usize = 256 * 1024;

/// Who reads a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    /// Sees every event, as a work item shows them.
    Worker,
    /// Sees no ends of turns: the protocol's own server does not write them.
    Client,
}

/// Where a stream is in a history.
struct Progress {
    hub: Hub,
    id: InstanceId,
    /// Known after the first page: another one that takes its place ends the stream.
    execution: Option<ExecutionId>,
    reader: Reader,
    from: usize,
}

impl TaskHubService {
    pub(super) async fn history(
        &self,
        request: Request<wire::StreamInstanceHistoryRequest>,
    ) -> Result<Response<HistoryChunks>, Status> {
        let hub = self.hub_of(&request).await?;
        let caller = Caller::of(request.extensions())?.clone();
        let request = request.into_inner();
        if !request.for_work_item_processing {
            caller.principal().require(Permission::Read, "reading a history")?;
        }
        let id = instance_id(&request.instance_id, "StreamInstanceHistoryRequest.instanceId")?;
        let execution = match request.execution_id.as_deref().filter(|text| !text.is_empty()) {
            Some(text) => {
                Some(ids::from_wire(text, "StreamInstanceHistoryRequest.executionId").map_err(status)?)
            }
            None => None,
        };
        let reader = if request.for_work_item_processing { Reader::Worker } else { Reader::Client };
        // While a turn is out the history stays what it was, so a worker sees what its turn began with.
        let mut progress = Progress { hub, id, execution, reader, from: 0 };
        let first = progress.next().await?;
        let state = first.map(|chunk| (chunk, progress));
        let chunks = stream::unfold(state.map(Ok), |state: Option<Result<_, Status>>| async move {
            match state? {
                Ok((chunk, mut progress)) => {
                    let next = match progress.next().await {
                        Ok(next) => next.map(|chunk| Ok((chunk, progress))),
                        Err(error) => Some(Err(error)),
                    };
                    Some((Ok(chunk), next))
                }
                Err(error) => Some((Err(error), None)),
            }
        });
        Ok(Response::new(caller.guard(chunks)))
    }
}

impl Progress {
    /// The next chunk; `None` after the last one.
    async fn next(&mut self) -> Result<Option<wire::HistoryChunk>, Status> {
        let read = Read::History { from: self.from, max: EVENTS };
        let Answer::History(Some(page)) = self.hub.read(&self.id, read).await.map_err(status)? else {
            return Err(status(Refusal::NotFound));
        };
        if *self.execution.get_or_insert(page.execution) != page.execution {
            return Err(Status::not_found("this execution is not the instance's current one any more"));
        }
        let of = Execution { instance_id: self.id.as_str(), execution_id: page.execution };
        let mut events = Vec::new();
        let mut bytes = 0;
        for event in &page.events {
            if bytes >= CHUNK_BYTES {
                break;
            }
            self.from += 1;
            let is_turn_end = matches!(event.kind(), EventKind::OrchestratorCompleted(_));
            if self.reader == Reader::Client && is_turn_end {
                continue;
            }
            let event = history::to_wire(event, of);
            bytes += event.encoded_len();
            events.push(event);
        }
        let over = page.events.is_empty();
        Ok((!over).then_some(wire::HistoryChunk { events }))
    }
}
