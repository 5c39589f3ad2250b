//! Every turn twice: on the orchestrator kept since the last one, and on one built anew.

use std::sync::Arc;

use strandline_engine::worker::{Turn, TurnOutcome, TurnRunner};
use strandline_model::{Action, ActionKind, Completion};
use strandline_replay::NON_DETERMINISM;

use crate::quiet::silently;
use crate::runner::Runner;
use crate::worker::Program;

/// Histories up to this length are replayed in every turn, longer ones whenever they have grown by a
/// sixteenth: else the time would grow with the square of the length.
const ALWAYS: usize = 256;

pub(super) struct Turns {
    program: Arc<Program>,
    kept: Runner,
}

impl Turns {
    pub(super) fn new(program: Arc<Program>) -> Self {
        Self { kept: Runner::new(program.clone()), program }
    }

    /// Runs a turn that comes with its past.
    ///
    /// # Panics
    /// When the orchestrator decides differently the second time.
    pub(super) fn run(&mut self, turn: Turn) -> TurnOutcome {
        let held = self.kept.holds(&turn.instance, turn.execution, turn.seen);
        let past = if held { None } else { turn.past.clone() };
        let outcome = self.kept.run(Turn { past, ..turn.clone() });
        let ends = outcome.actions.iter().any(|action| matches!(action.kind, ActionKind::Complete(_)));
        if ends || is_due(turn.seen, turn.new.len() + 1 + outcome.actions.len()) {
            let again = silently(|| Runner::new(self.program.clone()).run(turn.clone()));
            if let Some(report) = difference(&turn, &outcome, &again) {
                panic!("{report}");
            }
        }
        outcome
    }
}

fn is_due(seen: usize, new: usize) -> bool {
    let step = |len: usize| len / (len.next_power_of_two() / 16).max(1);
    seen <= ALWAYS || step(seen) != step(seen + new)
}

fn difference(turn: &Turn, first: &TurnOutcome, again: &TurnOutcome) -> Option<String> {
    if first == again {
        return None;
    }
    let at = first.actions.iter().zip(&again.actions).take_while(|(a, b)| a == b).count();
    let (a, b) = (first.actions.get(at), again.actions.get(at));
    let (mut a, mut b) = (describe(a), describe(b));
    if a == b {
        (a, b) = (format!("{:?}", first.actions.get(at)), format!("{:?}", again.actions.get(at)));
    }
    if first.actions == again.actions {
        (a, b) = (
            format!("custom status {:?}", first.custom_status),
            format!("custom status {:?}", again.custom_status),
        );
    }
    let whole = again.actions.iter().find_map(|action| match &action.kind {
        ActionKind::Complete(Completion::Failed { failure, .. }) if failure.error_type == NON_DETERMINISM => {
            Some(format!("\n  in detail: {}", failure.message))
        }
        _ => None,
    });
    Some(format!(
        "orchestrator '{}' (instance '{}') is not deterministic. Run again over the same history, it \
         decided differently after {} events:\n  the first time: {a}\n  the second time: {b}{}\nAn \
         orchestrator is run again after every crash, so it must not decide by clock, random numbers, hash \
         order, environment or global state. Take time, GUIDs and random numbers from its context, and \
         leave the rest to activities",
        turn.name,
        turn.instance,
        turn.seen + turn.new.len(),
        whole.unwrap_or_default(),
    ))
}

fn describe(action: Option<&Action>) -> String {
    match action {
        None => "nothing more".to_owned(),
        Some(Action { kind: ActionKind::Complete(Completion::Completed { result }), .. }) => {
            format!("the end, with {}", result.as_deref().unwrap_or("no result"))
        }
        Some(Action { kind: ActionKind::Complete(Completion::Failed { failure, .. }), .. }) => {
            format!("the end, with the error {}", failure.error_type)
        }
        Some(action) => strandline_replay::describe(action),
    }
}
