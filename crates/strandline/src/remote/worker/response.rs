//! What a turn decided, as a server hears it.

use prost::Message as _;
use strandline_engine::worker::TurnOutcome;
use strandline_model::{
    Action, ActionKind, Completion, ExecutionId, FailureDetails, InstanceId, OrchestrationSpan, Origin,
};
use strandline_proto::{Execution, action, trace, wire};

use super::session::Server;

/// Bytes of actions in one message: servers take 4 MiB unless they are told otherwise.
const PART_BYTES: usize = 3_900_000;

/// Whose turn it was.
pub(super) struct Answer<'a> {
    pub(super) instance: &'a InstanceId,
    pub(super) execution: ExecutionId,
    pub(super) token: &'a str,
    pub(super) server: Server,
}

impl Answer<'_> {
    /// The messages to send, in order: several for a large turn.
    pub(super) fn parts(
        &self,
        outcome: TurnOutcome,
        custom_status: Option<Option<String>>,
        span: Option<&OrchestrationSpan>,
    ) -> Vec<wire::OrchestratorResponse> {
        let of = Execution { instance_id: self.instance.as_str(), execution_id: self.execution };
        let actions = outcome.actions.into_iter().filter_map(|action| self.understood(action));
        let mut parts = vec![Vec::new()];
        let mut bytes = 0;
        for action in actions.map(|action| action::to_wire(action, of)) {
            // With tag and length.
            let size = action.encoded_len() + 8;
            if bytes > 0 && bytes + size > PART_BYTES {
                parts.push(Vec::new());
                bytes = 0;
            }
            bytes += size;
            if let Some(part) = parts.last_mut() {
                part.push(action);
            }
        }
        let last = parts.len() - 1;
        let response = |(index, actions): (usize, Vec<_>)| wire::OrchestratorResponse {
            instance_id: self.instance.to_string(),
            completion_token: self.token.to_owned(),
            actions,
            is_partial: index < last,
            chunk_index: (last > 0).then(|| i32::try_from(index).unwrap_or(i32::MAX)),
            num_events_processed: (index > 0).then_some(0),
            custom_status_unchanged: outcome.custom_status.is_none(),
            ..wire::OrchestratorResponse::default()
        };
        let mut parts: Vec<_> = parts.into_iter().enumerate().map(response).collect();
        // Servers that don't know the flag overwrite it each time.
        let custom_status = outcome.custom_status.or(custom_status).flatten();
        let span = outcome.span.as_ref().or(span).map(trace::span_to_wire);
        // The last one has them, too: servers differ in which they read.
        for index in [0, last] {
            parts[index].custom_status.clone_from(&custom_status);
            parts[index].orchestration_trace_context.clone_from(&span);
        }
        parts[last].awaited_events = outcome.awaits;
        parts
    }

    /// The action in words the server knows; what has none is left out.
    fn understood(&self, action: Action) -> Option<Action> {
        match (self.server, action.kind) {
            // Timers fire, activities run to their end: nobody listens.
            (Server::Other, ActionKind::Cancel { .. }) => None,
            (Server::Other, ActionKind::Part { from }) => {
                let text = format!(
                    "the code parts from its history at sequence id {from}, and this server can't cut it: start the instance again"
                );
                let failure = FailureDetails::new("Nondeterminism", text).non_retriable();
                let completion = Completion::Failed { failure, origin: Origin::Code };
                Some(Action { id: action.id, kind: ActionKind::Complete(completion) })
            }
            (_, kind) => Some(Action { id: action.id, kind }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn schedule(id: i32, bytes: usize) -> Action {
        let kind = ActionKind::ScheduleTask {
            name: "A".to_owned(),
            version: None,
            input: Some("x".repeat(bytes)),
            tags: BTreeMap::new(),
            timeout: None,
            trace: None,
        };
        Action { id, kind }
    }

    fn parts(server: Server, actions: Vec<Action>) -> Vec<wire::OrchestratorResponse> {
        let instance = InstanceId::trusted("i");
        let answer = Answer { instance: &instance, execution: ExecutionId(1), token: "t", server };
        let outcome = TurnOutcome { actions, ..TurnOutcome::default() };
        answer.parts(outcome, Some(Some("at work".to_owned())), None)
    }

    #[test]
    fn a_large_turn_is_cut_in_order() {
        let actions = (0..10).map(|id| schedule(id, 1_000_000)).collect();
        let parts = parts(Server::Strandline, actions);
        assert_eq!(parts.iter().map(|p| p.is_partial).collect::<Vec<_>>(), [true, true, true, false]);
        assert_eq!(
            parts.iter().map(|p| p.chunk_index).collect::<Vec<_>>(),
            [Some(0), Some(1), Some(2), Some(3)]
        );
        assert_eq!(
            parts.iter().map(|p| p.num_events_processed).collect::<Vec<_>>(),
            [None, Some(0), Some(0), Some(0)]
        );
        let ids: Vec<i32> = parts.iter().flat_map(|p| p.actions.iter().map(|a| a.id)).collect();
        assert_eq!(ids, (0..10).collect::<Vec<_>>());
        assert!(parts.iter().all(|p| p.encoded_len() < 4 * 1024 * 1024 && p.completion_token == "t"));
    }

    #[test]
    fn a_turn_of_one_part_says_nothing_of_parts() {
        let parts = parts(Server::Strandline, vec![schedule(0, 5_000_000)]);
        assert_eq!(parts.len(), 1);
        assert!(!parts[0].is_partial && parts[0].chunk_index.is_none());
        // A status that this turn did not set stays, also where the flag is not known.
        assert!(parts[0].custom_status_unchanged);
        assert_eq!(parts[0].custom_status.as_deref(), Some("at work"));
    }

    #[test]
    fn servers_without_our_actions_are_not_told_them() {
        let cancel = || Action { id: -1, kind: ActionKind::Cancel { target: 3 } };
        assert_eq!(parts(Server::Strandline, vec![cancel()])[0].actions.len(), 1);
        assert_eq!(parts(Server::Other, vec![cancel()])[0].actions.len(), 0);
    }
}
