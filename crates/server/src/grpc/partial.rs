//! Turns that come back in parts: some workers cut what is larger than a message may be.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use strandline_engine::dispatch::Token;
use strandline_engine::runtime::Hub;
use strandline_proto::wire;
use tonic::Status;

use super::error::status;

/// Most bytes of actions of one turn.
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// Turns in parts above which those nobody will finish are looked for.
const KEPT: usize = 64;

/// The parts of turns that are not complete.
#[derive(Default)]
pub(super) struct Partials {
    turns: Mutex<BTreeMap<Token, Partial>>,
}

#[derive(Default)]
struct Partial {
    actions: Vec<wire::OrchestratorAction>,
    bytes: usize,
    /// Comes with the first part.
    span: Option<wire::OrchestrationTraceContext>,
    custom_status: Option<String>,
}

impl Partials {
    /// Keeps a part until the last one comes.
    pub(super) async fn add(
        &self,
        hub: &Hub,
        token: Token,
        response: wire::OrchestratorResponse,
    ) -> Result<(), Status> {
        if hub.lease(token).await.map_err(status)?.is_none() {
            self.forget(token);
            return Err(Status::not_found("no such turn is out under this completion token"));
        }
        self.sweep(hub).await?;
        let bytes: usize = response.actions.iter().map(prost::Message::encoded_len).sum();
        let mut turns = self.turns.lock();
        let partial = turns.entry(token).or_default();
        if partial.bytes + bytes > BYTES_MAX {
            turns.remove(&token);
            return Err(Status::resource_exhausted(format!(
                "the actions of one turn have more than {BYTES_MAX} bytes: schedule less in one turn"
            )));
        }
        partial.bytes += bytes;
        partial.actions.extend(response.actions);
        partial.span = partial.span.take().or(response.orchestration_trace_context);
        partial.custom_status = response.custom_status.or(partial.custom_status.take());
        Ok(())
    }

    /// Puts what came before in front of the last part.
    pub(super) fn complete(&self, token: Token, last: &mut wire::OrchestratorResponse) {
        let Some(partial) = self.turns.lock().remove(&token) else { return };
        let rest = std::mem::replace(&mut last.actions, partial.actions);
        last.actions.extend(rest);
        last.orchestration_trace_context = last.orchestration_trace_context.take().or(partial.span);
        last.custom_status = last.custom_status.take().or(partial.custom_status);
    }

    pub(super) fn forget(&self, token: Token) {
        self.turns.lock().remove(&token);
    }

    /// Drops the parts of turns that went to somebody else meanwhile.
    async fn sweep(&self, hub: &Hub) -> Result<(), Status> {
        let tokens: Vec<_> = {
            let turns = self.turns.lock();
            if turns.len() < KEPT {
                return Ok(());
            }
            turns.keys().copied().collect()
        };
        for token in tokens {
            if hub.lease(token).await.map_err(status)?.is_none() {
                self.forget(token);
            }
        }
        Ok(())
    }
}
