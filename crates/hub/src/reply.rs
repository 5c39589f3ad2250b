use std::sync::Arc;

use strandline_model::{
    EventKind, ExecutionId, ExecutionStarted, FailureDetails, HistoryEvent, InstanceId, ParentInstance,
    RuntimeStatus, Timestamp,
};

/// The answer to a command that somebody waits for.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    Started {
        execution: ExecutionId,
    },
    Accepted,
    /// It was so already (suspend of a suspended instance, resume of a running one).
    Unchanged,
    Refused(Refusal),
}

/// Why a command was refused. Nothing changed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    #[error(
        "an instance with this id exists already and is {status}: choose another id, or a reuse policy that replaces it"
    )]
    AlreadyExists { status: RuntimeStatus },
    #[error("there is no instance with this id")]
    NotFound,
    #[error("the instance is over: {status}")]
    Terminal { status: RuntimeStatus },
    #[error(
        "{field} has {bytes} bytes: the limit is {limit}; keep large data elsewhere and pass a reference"
    )]
    TooLarge { field: &'static str, bytes: usize, limit: usize },
    #[error("{field} {problem}")]
    Invalid { field: &'static str, problem: String },
    #[error(
        "the instance already holds {limit_events} events or {limit_bytes} bytes that its code has not seen: raise again once it has taken some"
    )]
    TooManyPendingEvents { limit_events: usize, limit_bytes: usize },
    /// Memory or log are at their bounds.
    #[error("the hub is overloaded ({0}): try again later")]
    Overloaded(&'static str),
    #[error("no space left on the store's device ({0}): make room; it goes on by itself")]
    StorageFull(String),
    /// Only what failed can be done again.
    #[error("the instance is {status}: only one that failed can be rewound")]
    NotFailed { status: RuntimeStatus },
    #[error("the instance is {status}: only one that is over can be purged; terminate it first")]
    NotOver { status: RuntimeStatus },
    #[error(
        "{limit_operations} operations or {limit_bytes} bytes of them wait for this entity already: try again later"
    )]
    TooManyPendingOperations { limit_operations: usize, limit_bytes: usize },
    #[error("the entity is in use ({0}): purge it later")]
    EntityInUse(&'static str),
    /// A result nobody waits for any more: the task is done, or its execution over.
    #[error("the result is stale: {0}")]
    Stale(&'static str),
}

impl Refusal {
    /// The type of the error that users see.
    pub fn error_type(&self) -> &'static str {
        match self {
            Self::AlreadyExists { .. } => "InstanceExists",
            Self::NotFound => "InstanceNotFound",
            Self::Terminal { .. } => "InstanceOver",
            Self::NotFailed { .. } => "InstanceNotFailed",
            Self::NotOver { .. } => "InstanceNotOver",
            Self::Overloaded(_)
            | Self::StorageFull(_)
            | Self::TooManyPendingEvents { .. }
            | Self::TooManyPendingOperations { .. } => "HubOverloaded",
            Self::TooLarge { .. } | Self::Invalid { .. } | Self::EntityInUse(_) | Self::Stale(_) => {
                "InvalidRequest"
            }
        }
    }
}

/// What is known of an instance at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceStatus {
    pub id: InstanceId,
    pub execution: ExecutionId,
    pub status: RuntimeStatus,
    /// When the first generation was started.
    pub created: Timestamp,
    pub updated: Timestamp,
    pub custom_status: Option<Arc<str>>,
    /// Events in the history of the current execution.
    pub history_len: usize,
    pub(crate) started: Arc<HistoryEvent>,
    pub(crate) ended: Option<Arc<HistoryEvent>>,
}

impl InstanceStatus {
    /// What a hub elsewhere told of an instance: how it began, as `ExecutionStarted`, and if it is over how
    /// it ended, as `ExecutionCompleted`. The rest is set by who knows it.
    pub fn told(
        id: InstanceId,
        status: RuntimeStatus,
        started: HistoryEvent,
        ended: Option<HistoryEvent>,
    ) -> Self {
        Self {
            id,
            execution: ExecutionId(0),
            status,
            created: started.timestamp,
            updated: started.timestamp,
            custom_status: None,
            history_len: 0,
            started: Arc::new(started),
            ended: ended.map(Arc::new),
        }
    }

    fn start(&self) -> Option<&ExecutionStarted> {
        match self.started.kind() {
            EventKind::ExecutionStarted(started) => Some(started),
            _ => None,
        }
    }

    pub fn name(&self) -> &str {
        self.start().map_or("", |s| &s.name)
    }

    pub fn version(&self) -> Option<&str> {
        self.start().and_then(|s| s.version.as_deref())
    }

    pub fn input(&self) -> Option<&str> {
        self.start().and_then(|s| s.input.as_deref())
    }

    pub fn tags(&self) -> impl Iterator<Item = (&str, &str)> {
        self.start().into_iter().flat_map(|s| s.tags.iter().map(|(k, v)| (k.as_str(), v.as_str())))
    }

    pub fn parent(&self) -> Option<&ParentInstance> {
        self.start().and_then(|s| s.parent.as_ref())
    }

    pub fn scheduled_start(&self) -> Option<Timestamp> {
        self.start().and_then(|s| s.scheduled_start)
    }

    /// The same without input, output and custom status: what fits a list.
    #[must_use]
    pub fn without_payloads(&self) -> Self {
        let strip = |event: &Arc<HistoryEvent>| {
            let mut event = HistoryEvent::clone(event);
            match event.kind_mut() {
                EventKind::ExecutionStarted(start) => start.input = None,
                EventKind::ExecutionCompleted(end) => end.result = None,
                _ => {}
            }
            Arc::new(event)
        };
        Self {
            started: strip(&self.started),
            ended: self.ended.as_ref().map(strip),
            custom_status: None,
            ..self.clone()
        }
    }

    /// When it ended.
    pub fn completed(&self) -> Option<Timestamp> {
        self.ended.as_ref().map(|e| e.timestamp)
    }

    /// The result, or the reason of a termination.
    pub fn output(&self) -> Option<&str> {
        match self.ended.as_ref()?.kind() {
            EventKind::ExecutionCompleted(end) => end.result.as_deref(),
            _ => None,
        }
    }

    pub fn failure(&self) -> Option<&FailureDetails> {
        match self.ended.as_ref()?.kind() {
            EventKind::ExecutionCompleted(end) => end.failure.as_ref(),
            _ => None,
        }
    }
}
