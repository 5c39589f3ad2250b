use std::collections::BTreeMap;

use strandline_model::{
    Action, ActionKind, EntityAction, EntityOperation, EntityOutcome, ExecutionId, FailureDetails,
    InstanceId, NewState, OrchestrationSpan, RuntimeStatus, Timestamp,
};

use crate::message::{LockOwner, Message, MessageBody};
use crate::row::TimerKey;

/// An input to a partition. Whatever it needs of chance or of the world comes in with it.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Start(Box<Start>),
    RaiseEvent {
        id: InstanceId,
        name: String,
        input: Option<String>,
    },
    Terminate {
        id: InstanceId,
        reason: Option<String>,
        /// Also its running sub-orchestrations, and theirs.
        recursive: bool,
    },
    Suspend {
        id: InstanceId,
        reason: Option<String>,
    },
    Resume {
        id: InstanceId,
        reason: Option<String>,
    },
    /// Does what failed again: the instance goes on where it failed.
    Rewind {
        id: InstanceId,
        reason: Option<String>,
        /// Of the execution that goes on.
        execution: ExecutionId,
    },
    /// Removes an instance that is over.
    Purge {
        id: InstanceId,
        /// Only this execution of it.
        execution: Option<ExecutionId>,
    },
    /// A signal of a client.
    SignalEntity {
        /// The entity: `@name@key`.
        id: InstanceId,
        operation: EntityOperation,
    },
    /// Frees an entity whose lock belongs to an execution that is over or gone.
    ReleaseLock {
        id: InstanceId,
        owner: LockOwner,
    },
    /// Takes an entity's state away, and what waits for it: callers are told that their operations failed.
    /// Sections that wait for its lock get it. The caller sees to it that none of its operations run.
    PurgeEntity {
        id: InstanceId,
    },
    EntityFinished(Box<EntityFinished>),
    TurnFinished(Box<TurnFinished>),
    ActivityFinished {
        id: InstanceId,
        execution: ExecutionId,
        task_id: i32,
        result: Result<Option<String>, FailureDetails>,
    },
    /// These timers are due.
    TimersDue(Vec<TimerKey>),
    /// From a partition of the same hub.
    Message {
        message: Box<Message>,
        /// For the execution it may start.
        execution: ExecutionId,
        seed: u64,
    },
    /// Partition `by` has taken all messages up to `sequence`.
    Acknowledged {
        by: u16,
        sequence: u64,
    },
}

impl Command {
    /// The instances and entities it touches.
    pub fn keys(&self) -> Vec<InstanceId> {
        match self {
            Self::Start(start) => vec![start.id.clone()],
            Self::RaiseEvent { id, .. }
            | Self::Terminate { id, .. }
            | Self::Suspend { id, .. }
            | Self::Resume { id, .. }
            | Self::Rewind { id, .. }
            | Self::Purge { id, .. }
            | Self::SignalEntity { id, .. }
            | Self::ReleaseLock { id, .. }
            | Self::PurgeEntity { id }
            | Self::ActivityFinished { id, .. } => vec![id.clone()],
            Self::TurnFinished(turn) => vec![turn.id.clone()],
            Self::EntityFinished(batch) => vec![batch.id.clone()],
            Self::TimersDue(timers) => {
                let mut keys: Vec<_> = timers.iter().map(|t| t.instance.clone()).collect();
                keys.dedup();
                keys
            }
            Self::Message { message, .. } => vec![InstanceId::trusted(message.instance_id.as_str())],
            Self::Acknowledged { .. } => Vec::new(),
        }
    }

    /// About how many bytes its records take.
    pub fn weight(&self) -> usize {
        const SMALL: usize = 256;
        let text = |t: &Option<String>| t.as_ref().map_or(0, String::len);
        SMALL
            + match self {
                Self::Start(start) => text(&start.input),
                Self::RaiseEvent { input, .. } => text(input),
                Self::TurnFinished(turn) => turn.actions.iter().map(action_weight).sum(),
                Self::SignalEntity { operation, .. } => text(&operation.input),
                Self::EntityFinished(batch) => batch.weight(),
                Self::ActivityFinished { result: Ok(result), .. } => text(result),
                Self::ActivityFinished { result: Err(failure), .. } => failure.text_bytes(),
                Self::Message { message, .. } => prost::Message::encoded_len(&**message),
                Self::TimersDue(timers) => timers.len() * SMALL,
                _ => 0,
            }
    }

    /// It looks at, or rewrites, the whole history of the instance it is for.
    pub fn needs_history(&self) -> bool {
        match self {
            Self::Rewind { .. } => true,
            Self::TurnFinished(turn) => {
                matches!(turn.actions[..], [Action { kind: ActionKind::Part { .. }, .. }])
            }
            Self::Message { message, .. } => matches!(message.body, Some(MessageBody::Rewind(_))),
            _ => false,
        }
    }

    /// Brings new work into the hub: refused first when room runs short.
    pub fn is_intake(&self) -> bool {
        matches!(self, Self::Start(_) | Self::RaiseEvent { .. } | Self::SignalEntity { .. })
    }
}

fn action_weight(action: &Action) -> usize {
    use strandline_model::Completion;
    let text = |t: &Option<String>| t.as_ref().map_or(0, String::len);
    128 + match &action.kind {
        ActionKind::ScheduleTask { input, .. }
        | ActionKind::CreateSubOrchestration { input, .. }
        | ActionKind::SendEvent { input, .. } => text(input),
        ActionKind::Complete(Completion::Completed { result }) => text(result),
        ActionKind::Complete(Completion::Failed { failure, .. }) => failure.text_bytes(),
        ActionKind::Complete(Completion::ContinuedAsNew { input, carryover, .. }) => {
            text(input) + carryover.iter().map(prost::Message::encoded_len).sum::<usize>()
        }
        ActionKind::SignalEntity { input, .. } | ActionKind::CallEntity { input, .. } => text(input),
        ActionKind::LockEntities { lock_set, .. } => lock_set.iter().map(String::len).sum(),
        ActionKind::CreateTimer { .. }
        | ActionKind::UnlockEntity { .. }
        | ActionKind::Terminate { .. }
        | ActionKind::Cancel { .. }
        | ActionKind::Part { .. } => 0,
    }
}

/// Starts an orchestration.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    pub id: InstanceId,
    pub name: String,
    pub version: Option<String>,
    pub input: Option<String>,
    pub tags: BTreeMap<String, String>,
    /// Stays Pending until then.
    pub scheduled_start: Option<Timestamp>,
    pub reuse: ReusePolicy,
    pub execution: ExecutionId,
    pub seed: u64,
    pub trace_parent: Option<String>,
    pub trace_state: Option<String>,
}

/// Which existing instance of the same id a start may replace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReusePolicy {
    /// In one of these states it is replaced (a running one is terminated in the same commit).
    pub replaceable: Vec<RuntimeStatus>,
}

impl ReusePolicy {
    /// Refuse in any state.
    pub fn refuse() -> Self {
        Self::default()
    }

    /// Replace an instance that is over.
    pub fn replace_terminal() -> Self {
        use RuntimeStatus::{Canceled, Completed, Failed, Terminated};
        Self { replaceable: vec![Completed, Failed, Canceled, Terminated] }
    }

    /// Replace whatever is there.
    pub fn replace_any() -> Self {
        use RuntimeStatus::{Pending, Running, Suspended};
        let mut policy = Self::replace_terminal();
        policy.replaceable.extend([Pending, Running, Suspended]);
        policy
    }

    pub fn allows(&self, status: RuntimeStatus) -> bool {
        self.replaceable.contains(&status)
    }
}

/// The result of a turn. Discarded whole unless it fits the instance exactly.
#[derive(Clone, Debug, PartialEq)]
pub struct TurnFinished {
    pub id: InstanceId,
    pub execution: ExecutionId,
    /// Events in the history when the turn was handed out.
    pub seen: usize,
    /// Events of the inbox it was given.
    pub delivered: usize,
    /// The time of the turn: the timestamp of its `OrchestratorStarted`.
    pub time: Timestamp,
    pub actions: Vec<Action>,
    pub custom_status: Option<Option<String>>,
    /// What it says of the execution's span; `None`: as before.
    pub span: Option<OrchestrationSpan>,
    /// For the execution that continue-as-new begins.
    pub next_execution: ExecutionId,
    pub next_seed: u64,
}

/// The outcome of a batch of operations of an entity.
#[derive(Clone, Debug, PartialEq)]
pub struct EntityFinished {
    /// The entity: `@name@key`.
    pub id: InstanceId,
    /// The numbers of the operations it was given, in order.
    pub given: Vec<u64>,
    pub outcome: EntityOutcome,
    /// For ids of what it sends and starts.
    pub entropy: u128,
}

impl EntityFinished {
    fn weight(&self) -> usize {
        const EACH: usize = 100;
        let text = |t: &Option<String>| EACH + t.as_ref().map_or(0, String::len);
        let results = self.outcome.results.iter().map(|result| match result {
            Ok(output) => text(output),
            Err(failure) => EACH + failure.text_bytes(),
        });
        let actions = self.outcome.actions.iter().map(|action| match action {
            EntityAction::Signal { input, .. } | EntityAction::Start { input, .. } => 2 * EACH + text(input),
        });
        let state = match &self.outcome.state {
            NewState::Set(state) => text(state),
            NewState::Unchanged => 0,
        };
        results.chain(actions).sum::<usize>() + state
    }
}
