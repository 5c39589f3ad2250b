use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use strandline_model::{
    EventKind, ExecutionId, ExecutionStarted, HistoryEvent, InstanceId, OrchestrationSpan, RuntimeStatus,
    Timestamp,
};

use crate::reply::InstanceStatus;
use crate::row::{InstanceRow, OpenTaskKind, OpenTaskRow};
use crate::section::Section;

/// One orchestration.
#[derive(Clone, Debug)]
pub struct Instance {
    pub id: InstanceId,
    pub execution: ExecutionId,
    /// When the first generation was started.
    pub created: Timestamp,
    pub updated: Timestamp,
    /// The execution's `ExecutionStarted`.
    pub started: Arc<HistoryEvent>,
    /// Its `ExecutionCompleted`, once it is over.
    pub ended: Option<Arc<HistoryEvent>>,
    pub custom_status: Option<Arc<str>>,
    pub history: History,
    /// Accepted events that no turn has seen.
    pub inbox: VecDeque<Arc<HistoryEvent>>,
    pub open: BTreeMap<i32, OpenTask>,
    /// Critical sections it is in or waits for, by their ids.
    pub sections: BTreeMap<String, Section>,
    pub suspended: bool,
    /// No turn was ever committed.
    pub pending: bool,
    /// Its scheduled start has not come.
    pub before_start: bool,
    /// Actions this execution has taken.
    pub actions: u32,
    /// What its last turn said of the execution's span.
    pub span: Option<OrchestrationSpan>,
    pub(crate) inbox_bytes: usize,
    pub(crate) flushed: Flushed,
}

/// A task without a result.
#[derive(Clone, Debug, PartialEq)]
pub enum OpenTask {
    /// An activity: where its `TaskScheduled` stands in the history.
    Activity {
        index: usize,
    },
    Timer {
        fire_at: Timestamp,
    },
    SubOrchestration {
        instance: InstanceId,
    },
    /// A call of an entity.
    EntityCall {
        entity: InstanceId,
    },
}

/// The history of an execution, of which only the newest part need be in memory.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Events before those in memory; they are in chunk rows.
    base: usize,
    events: Vec<Arc<HistoryEvent>>,
    /// Bytes of payload in `events`.
    bytes: usize,
}

impl History {
    /// Events of the whole history.
    pub fn len(&self) -> usize {
        self.base + self.events.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many events are not in memory.
    pub fn base(&self) -> usize {
        self.base
    }

    /// The events in memory.
    pub fn in_memory(&self) -> &[Arc<HistoryEvent>] {
        &self.events
    }

    /// The event at `index`, if it is in memory.
    pub fn get(&self, index: usize) -> Option<&Arc<HistoryEvent>> {
        self.events.get(index.checked_sub(self.base)?)
    }

    /// The events from `index` on, which must be in memory.
    pub fn since(&self, index: usize) -> &[Arc<HistoryEvent>] {
        &self.events[index.saturating_sub(self.base).min(self.events.len())..]
    }

    pub(crate) fn push(&mut self, event: Arc<HistoryEvent>) {
        self.bytes += payload_bytes(&event);
        self.events.push(event);
    }

    /// Puts the events that were missing before those in memory.
    pub fn restore(&mut self, mut missing: Vec<Arc<HistoryEvent>>) {
        if missing.len() != self.base {
            return;
        }
        self.bytes += missing.iter().map(|e| payload_bytes(e)).sum::<usize>();
        missing.append(&mut self.events);
        self.events = missing;
        self.base = 0;
    }

    /// Counts `events` that are in chunk rows, not in memory. For an empty history.
    pub(crate) fn skip(&mut self, events: usize) {
        self.base = events;
    }

    /// Forgets the events before `index`, which are in chunk rows.
    pub(crate) fn trim(&mut self, index: usize) {
        let gone = index.saturating_sub(self.base).min(self.events.len());
        self.bytes -= self.events.drain(..gone).map(|e| payload_bytes(&e)).sum::<usize>();
        self.base += gone;
    }
}

/// What the tables hold of an instance, or will once the flush under way is done.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flushed {
    /// Events of the current execution in chunk rows.
    pub in_chunks: usize,
    pub chunks: u32,
    /// Executions with chunk rows that are over.
    pub dropped: Vec<ExecutionId>,
}

/// Memory an instance takes besides its payloads, about.
const INSTANCE_BYTES: usize = 900;
/// The same for an event.
const EVENT_BYTES: usize = 200;

/// Bytes of text in an event.
pub(crate) fn payload_bytes(event: &HistoryEvent) -> usize {
    let text = |t: &Option<String>| t.as_ref().map_or(0, String::len);
    EVENT_BYTES
        + match event.kind() {
            EventKind::ExecutionStarted(e) => text(&e.input),
            EventKind::ExecutionCompleted(e) => {
                text(&e.result) + e.failure.as_ref().map_or(0, |f| f.text_bytes())
            }
            EventKind::TaskScheduled(e) => text(&e.input),
            EventKind::TaskCompleted(e) => text(&e.result),
            EventKind::TaskFailed(e) => e.failure.text_bytes(),
            EventKind::SubOrchestrationCreated(e) => text(&e.input),
            EventKind::SubOrchestrationCompleted(e) => text(&e.result),
            EventKind::SubOrchestrationFailed(e) => e.failure.text_bytes(),
            EventKind::EventSent(e) => text(&e.input),
            EventKind::EventRaised(e) => text(&e.input),
            EventKind::EntityOperationSignaled(e) => text(&e.input),
            EventKind::EntityOperationCalled(e) => text(&e.input),
            EventKind::EntityOperationCompleted(e) => text(&e.output),
            EventKind::EntityOperationFailed(e) => e.failure.text_bytes(),
            EventKind::EntityLockRequested(e) => e.lock_set.iter().map(String::len).sum(),
            _ => 0,
        }
}

impl Instance {
    pub(crate) fn new(id: InstanceId, started: HistoryEvent) -> Self {
        let start = start_of(&started);
        let execution = execution_of(&start.execution_id);
        let before_start = start.scheduled_start.is_some_and(|at| at > started.timestamp);
        let created = started.timestamp;
        let started = Arc::new(started);
        let mut instance = Self {
            id,
            execution,
            created,
            updated: created,
            started: started.clone(),
            ended: None,
            custom_status: None,
            history: History::default(),
            inbox: VecDeque::new(),
            open: BTreeMap::new(),
            sections: BTreeMap::new(),
            suspended: false,
            pending: true,
            before_start,
            actions: 0,
            span: None,
            inbox_bytes: 0,
            flushed: Flushed::default(),
        };
        instance.accept(started);
        instance
    }

    /// Puts an event where the next turn finds it.
    pub(crate) fn accept(&mut self, event: Arc<HistoryEvent>) {
        self.inbox_bytes += payload_bytes(&event);
        self.inbox.push_back(event);
    }

    /// Takes the oldest event a turn has not seen.
    pub(crate) fn take(&mut self) -> Option<Arc<HistoryEvent>> {
        let event = self.inbox.pop_front()?;
        self.inbox_bytes -= payload_bytes(&event);
        Some(event)
    }

    pub fn start(&self) -> &ExecutionStarted {
        start_of(&self.started)
    }

    pub fn status(&self) -> RuntimeStatus {
        if let Some(EventKind::ExecutionCompleted(end)) = self.ended.as_ref().map(|e| e.kind()) {
            return RuntimeStatus::try_from(end.status).unwrap_or(RuntimeStatus::Failed);
        }
        match (self.suspended, self.pending) {
            (true, _) => RuntimeStatus::Suspended,
            (false, true) => RuntimeStatus::Pending,
            (false, false) => RuntimeStatus::Running,
        }
    }

    pub fn is_over(&self) -> bool {
        self.ended.is_some()
    }

    /// A turn could run now.
    pub fn is_ready(&self) -> bool {
        !self.is_over()
            && !self.suspended
            && !self.before_start
            && !self.inbox.is_empty()
            && !self.regains_locks()
    }

    /// It has something to hand out after a restart.
    pub fn is_active(&self) -> bool {
        !self.is_over()
            && (!self.inbox.is_empty() || self.open.values().any(|t| matches!(t, OpenTask::Activity { .. })))
    }

    /// Raised events that no turn has seen, and the bytes of all such events.
    pub(crate) fn pending_events(&self) -> (usize, usize) {
        (self.inbox.len(), self.inbox_bytes)
    }

    /// About how many bytes of memory it takes.
    pub fn memory_bytes(&self) -> usize {
        // Both are part of the history as long as that part is in memory.
        let started = if self.history.base > 0 { payload_bytes(&self.started) } else { 0 };
        let ended = self.ended.as_ref().filter(|_| self.history.events.is_empty());
        INSTANCE_BYTES
            + self.history.bytes
            + self.inbox_bytes
            + self.open.len() * 64
            + self.sections.values().map(Section::memory_bytes).sum::<usize>()
            + self.custom_status.as_ref().map_or(0, |s| s.len())
            + started
            + ended.map_or(0, |e| payload_bytes(e))
    }

    pub fn snapshot(&self) -> InstanceStatus {
        InstanceStatus {
            id: self.id.clone(),
            execution: self.execution,
            status: self.status(),
            created: self.created,
            updated: self.updated,
            custom_status: self.custom_status.clone(),
            history_len: self.history.len(),
            started: self.started.clone(),
            ended: self.ended.clone(),
        }
    }

    /// Rebuilds an instance from its row.
    pub fn from_row(row: InstanceRow) -> Self {
        let execution = execution_of(&row.execution_id);
        let tail: Vec<_> = row.tail.into_iter().map(Arc::new).collect();
        let base = (row.history_len as usize).saturating_sub(tail.len());
        let bytes = tail.iter().map(|e| payload_bytes(e)).sum();
        let inbox: VecDeque<_> = row.inbox.into_iter().map(Arc::new).collect();
        let inbox_bytes = inbox.iter().map(|e| payload_bytes(e)).sum();
        let open = row.open.into_iter().filter_map(|task| Some((task.task_id, open_from_row(task.kind?))));
        Self {
            id: InstanceId::trusted(row.id),
            execution,
            created: row.created,
            updated: row.updated,
            started: Arc::new(row.started),
            ended: row.ended.map(Arc::new),
            custom_status: row.custom_status.map(Into::into),
            history: History { base, events: tail, bytes },
            inbox,
            open: open.collect(),
            sections: row.sections.into_iter().map(Section::from_row).collect(),
            suspended: row.suspended,
            pending: row.pending,
            before_start: row.before_start,
            actions: row.actions,
            span: row.span,
            inbox_bytes,
            flushed: Flushed { in_chunks: base, chunks: row.chunks, dropped: Vec::new() },
        }
    }

    /// The row that [`Instance::from_row`] reads. `self` holds just the events after the chunks.
    pub(crate) fn to_row(&self) -> InstanceRow {
        let open = self.open.iter().map(|(id, task)| OpenTaskRow {
            task_id: *id,
            kind: Some(match task {
                OpenTask::Activity { index } => {
                    OpenTaskKind::Activity(u32::try_from(*index).unwrap_or(u32::MAX))
                }
                OpenTask::Timer { fire_at } => OpenTaskKind::Timer(*fire_at),
                OpenTask::SubOrchestration { instance } => {
                    OpenTaskKind::SubOrchestration(instance.to_string())
                }
                OpenTask::EntityCall { entity } => OpenTaskKind::EntityCall(entity.to_string()),
            }),
        });
        InstanceRow {
            id: self.id.to_string(),
            execution_id: self.execution.0.to_be_bytes().to_vec(),
            status: self.status() as i32,
            created: self.created,
            updated: self.updated,
            started: HistoryEvent::clone(&self.started),
            ended: self.ended.as_deref().cloned(),
            custom_status: self.custom_status.as_deref().map(str::to_owned),
            history_len: u32::try_from(self.history.len()).unwrap_or(u32::MAX),
            chunks: self.flushed.chunks,
            tail: self.history.since(self.flushed.in_chunks).iter().map(|e| HistoryEvent::clone(e)).collect(),
            inbox: self.inbox.iter().map(|e| HistoryEvent::clone(e)).collect(),
            open: open.collect(),
            suspended: self.suspended,
            actions: self.actions,
            pending: self.pending,
            before_start: self.before_start,
            sections: self.sections.iter().map(|(id, section)| section.to_row(id)).collect(),
            span: self.span.clone(),
        }
    }
}

/// Equal in all that the records determine; how much of the history is in memory does not count.
impl PartialEq for Instance {
    fn eq(&self, other: &Self) -> bool {
        let base = self.history.base.max(other.history.base);
        self.id == other.id
            && self.execution == other.execution
            && self.created == other.created
            && self.updated == other.updated
            && self.started == other.started
            && self.ended == other.ended
            && self.custom_status == other.custom_status
            && self.history.len() == other.history.len()
            && self.history.since(base) == other.history.since(base)
            && self.inbox == other.inbox
            && self.open == other.open
            && self.sections == other.sections
            && self.suspended == other.suspended
            && self.pending == other.pending
            && self.before_start == other.before_start
            && self.actions == other.actions
            && self.span == other.span
    }
}

fn open_from_row(kind: OpenTaskKind) -> OpenTask {
    match kind {
        OpenTaskKind::Activity(index) => OpenTask::Activity { index: index as usize },
        OpenTaskKind::Timer(fire_at) => OpenTask::Timer { fire_at },
        OpenTaskKind::SubOrchestration(id) => {
            OpenTask::SubOrchestration { instance: InstanceId::trusted(id) }
        }
        OpenTaskKind::EntityCall(id) => OpenTask::EntityCall { entity: InstanceId::trusted(id) },
    }
}

/// Reads the 16 bytes of a stored execution id; anything else is the id zero.
pub(crate) fn execution_of(bytes: &[u8]) -> ExecutionId {
    ExecutionId(bytes.try_into().map_or(0, u128::from_be_bytes))
}

/// The body of an `ExecutionStarted` event.
pub(crate) fn start_of(event: &HistoryEvent) -> &ExecutionStarted {
    static NONE: std::sync::OnceLock<ExecutionStarted> = std::sync::OnceLock::new();
    match event.kind() {
        EventKind::ExecutionStarted(start) => start.as_ref(),
        _ => NONE.get_or_init(ExecutionStarted::default),
    }
}
