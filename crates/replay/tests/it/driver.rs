//! Plays the hub: turns actions into history events, and runs every turn twice — on the execution
//! kept since the first turn, and on one built anew from the whole history — which must agree.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use strandline_model::*;
use strandline_replay::*;

pub(crate) type Program = Rc<dyn Fn(ContextHandle) -> Pin<Box<dyn Future<Output = Ending>>>>;

/// Makes a program of an async closure that returns text or an error.
pub(crate) fn program<F, Fut>(code: F) -> Program
where
    F: Fn(ContextHandle) -> Fut + 'static,
    Fut: Future<Output = Result<String, TaskError>> + 'static,
{
    endings(move |ctx| {
        let result = code(ctx);
        async move {
            match result.await {
                Ok(text) => Ending::Completed(Some(text)),
                Err(error) => Ending::Failed { failure: error.failure, origin: error.task_id },
            }
        }
    })
}

pub(crate) fn endings<F, Fut>(code: F) -> Program
where
    F: Fn(ContextHandle) -> Fut + 'static,
    Fut: Future<Output = Ending> + 'static,
{
    Rc::new(move |ctx| Box::pin(code(ctx)))
}

pub(crate) fn activity(ctx: &ContextHandle, name: &str) -> TaskHandle {
    ctx.call_activity(ActivityCall { name: name.into(), ..Default::default() }, None)
}

pub(crate) fn text(result: TaskResult) -> String {
    match result {
        Ok(value) => value.unwrap_or_default(),
        Err(error) => format!("!{}", error.failure.message),
    }
}

/// An error that no task caused.
pub(crate) fn broken(failure: FailureDetails) -> TaskError {
    TaskError { failure, task_id: None }
}

pub(crate) struct Hub {
    program: Program,
    pub(crate) history: Vec<Arc<HistoryEvent>>,
    kept: Option<Execution>,
    pub(crate) now: Timestamp,
    pub(crate) actions_max: usize,
    pub(crate) execution: ExecutionId,
    /// What is open, by sequence id.
    pub(crate) open: BTreeMap<i32, ActionKind>,
    pub(crate) cancelled: Vec<i32>,
    pub(crate) status: Option<String>,
    pub(crate) ended: Option<Completion>,
    /// Compare with a full replay after every turn; off for speed tests.
    pub(crate) double: bool,
}

impl Hub {
    pub(crate) fn new(program: Program) -> Self {
        Self {
            program,
            history: Vec::new(),
            kept: None,
            now: Timestamp { seconds: 1_704_164_645, nanos: 0 },
            actions_max: limits::ACTIONS_MAX,
            execution: ExecutionId(0xe),
            open: BTreeMap::new(),
            cancelled: Vec::new(),
            status: None,
            ended: None,
            double: true,
        }
    }

    /// Runs the first turn.
    pub(crate) fn started(program: Program) -> Self {
        let mut hub = Self::new(program);
        hub.start();
        hub
    }

    pub(crate) fn start(&mut self) -> Outcome {
        let started = ExecutionStarted {
            instance_id: "abc".into(),
            execution_id: vec![0; 16],
            name: "test".into(),
            seed: 7,
            ..Default::default()
        };
        self.turn(vec![EventKind::ExecutionStarted(Box::new(started))])
    }

    pub(crate) fn build(&self) -> Execution {
        let program = self.program.clone();
        let identity = Identity {
            instance: InstanceId::trusted("abc"),
            execution: self.execution,
            actions_max: self.actions_max,
        };
        Execution::new(identity, Box::new(move |ctx, _| program(ctx)))
    }

    /// Another version of the code from now on; the kept execution is evicted.
    pub(crate) fn deploy(&mut self, program: Program) {
        self.program = program;
        self.kept = None;
    }

    pub(crate) fn evict(&mut self) {
        self.kept = None;
    }

    pub(crate) fn turn(&mut self, events: Vec<EventKind>) -> Outcome {
        assert!(self.ended.is_none(), "no turn follows the end");
        let mut new = vec![HistoryEvent::new(self.now, EventKind::OrchestratorStarted(Empty {}))];
        new.extend(events.into_iter().map(|kind| HistoryEvent::new(self.now, kind)));
        let new: Vec<_> = new.into_iter().map(Arc::new).collect();
        let fresh = (self.double || self.kept.is_none()).then(|| {
            let mut execution = self.build();
            execution.replay(&self.history);
            let outcome = execution.turn(&new);
            (execution, outcome)
        });
        let outcome = match (&mut self.kept, fresh) {
            (Some(kept), fresh) => {
                let outcome = kept.turn(&new);
                if let Some((_, fresh)) = fresh {
                    assert_eq!(outcome, fresh, "kept and rebuilt executions agree");
                }
                outcome
            }
            (None, Some((execution, outcome))) => {
                self.kept = Some(execution);
                outcome
            }
            (None, None) => unreachable!("one of the two is always there"),
        };
        // Nothing of a turn that parts from the history is recorded.
        if !outcome.actions.iter().any(|action| matches!(action.kind, ActionKind::Part { .. })) {
            self.history.extend(new);
            self.record(&outcome);
        }
        outcome
    }

    fn record(&mut self, outcome: &Outcome) {
        if let Some(status) = &outcome.custom_status {
            self.status = status.clone();
        }
        for action in &outcome.actions {
            if let Some(kind) = self.event_of(action) {
                self.history.push(Arc::new(HistoryEvent::of_action(action.id, self.now, kind)));
            }
        }
        let done = HistoryEvent::new(self.now, EventKind::OrchestratorCompleted(Empty {}));
        self.history.push(Arc::new(done));
        if self.ended.is_none() {
            let kept = self.kept.as_ref().expect("kept after a turn");
            assert_eq!(kept.seen(), self.history.len(), "counts what the history holds");
        }
    }

    fn event_of(&mut self, action: &Action) -> Option<EventKind> {
        match action.kind.clone().into_event().map_err(|kind| *kind) {
            Ok(event) => {
                if !matches!(
                    action.kind,
                    ActionKind::SendEvent { .. }
                        | ActionKind::SignalEntity { .. }
                        | ActionKind::UnlockEntity { .. }
                ) {
                    self.open.insert(action.id, action.kind.clone());
                }
                Some(event)
            }
            Err(ActionKind::Complete(completion)) => {
                let (status, result, failure, origin) = match completion.clone() {
                    Completion::Completed { result } => (RuntimeStatus::Completed, result, None, None),
                    Completion::Failed { failure, origin } => {
                        (RuntimeStatus::Failed, None, Some(failure), origin.stored())
                    }
                    Completion::ContinuedAsNew { input, .. } => {
                        (RuntimeStatus::ContinuedAsNew, input, None, None)
                    }
                };
                self.ended = Some(completion);
                Some(EventKind::ExecutionCompleted(Box::new(ExecutionCompleted {
                    status: status.into(),
                    result,
                    failure,
                    origin,
                })))
            }
            Err(_) => {
                let ActionKind::Cancel { target } = action.kind else { return None };
                assert_eq!(action.id, -1);
                self.cancelled.push(target);
                if matches!(self.open.get(&target), Some(ActionKind::CreateTimer { .. })) {
                    self.open.remove(&target);
                }
                None
            }
        }
    }

    /// Lets time pass.
    pub(crate) fn advance(&mut self, millis: u64) {
        self.now = self.now.saturating_add(std::time::Duration::from_millis(millis));
    }

    pub(crate) fn names(&self) -> Vec<(i32, String)> {
        let name = |kind: &ActionKind| match kind {
            ActionKind::ScheduleTask { name, .. } | ActionKind::CreateSubOrchestration { name, .. } => {
                name.clone()
            }
            ActionKind::CreateTimer { fire_at } => {
                format!("timer+{}", fire_at.saturating_since(self.now).as_millis())
            }
            other => format!("{other:?}"),
        };
        self.open.iter().map(|(id, kind)| (*id, name(kind))).collect()
    }

    /// The event that completes open action `id` with a result.
    pub(crate) fn done(&mut self, id: i32, result: &str) -> EventKind {
        let result = Some(result.to_owned());
        match self.open.remove(&id).expect("open") {
            ActionKind::ScheduleTask { .. } => {
                EventKind::TaskCompleted(TaskCompleted { task_id: id, result })
            }
            ActionKind::CreateSubOrchestration { .. } => {
                EventKind::SubOrchestrationCompleted(SubOrchestrationCompleted { task_id: id, result })
            }
            ActionKind::CreateTimer { fire_at } => {
                self.now = self.now.max(fire_at);
                EventKind::TimerFired(TimerFired { timer_id: id, fire_at })
            }
            ActionKind::CallEntity { request_id, .. } => {
                let output = result;
                EventKind::EntityOperationCompleted(EntityOperationCompleted {
                    task_id: id,
                    request_id,
                    output,
                })
            }
            ActionKind::LockEntities { section_id, .. } => {
                EventKind::EntityLockGranted(EntityLockGranted { task_id: id, section_id })
            }
            other => panic!("{other:?} is never open"),
        }
    }

    pub(crate) fn fails(&mut self, id: i32, failure: FailureDetails) -> EventKind {
        match self.open.remove(&id).expect("open") {
            ActionKind::ScheduleTask { .. } => EventKind::TaskFailed(TaskFailed { task_id: id, failure }),
            ActionKind::CreateSubOrchestration { .. } => {
                EventKind::SubOrchestrationFailed(SubOrchestrationFailed { task_id: id, failure })
            }
            ActionKind::CallEntity { request_id, .. } => {
                EventKind::EntityOperationFailed(EntityOperationFailed { task_id: id, request_id, failure })
            }
            other => panic!("{other:?} cannot fail"),
        }
    }

    pub(crate) fn complete(&mut self, id: i32, result: &str) -> Outcome {
        let event = self.done(id, result);
        self.turn(vec![event])
    }

    pub(crate) fn fail(&mut self, id: i32, message: &str) -> Outcome {
        let event = self.fails(id, FailureDetails::new("E", message));
        self.turn(vec![event])
    }

    pub(crate) fn raise(&mut self, name: &str, input: &str) -> Outcome {
        self.turn(vec![raised(name, input)])
    }

    pub(crate) fn result(&self) -> &str {
        match &self.ended {
            Some(Completion::Completed { result }) => result.as_deref().unwrap_or(""),
            other => panic!("not completed: {other:?}"),
        }
    }

    pub(crate) fn failure(&self) -> &FailureDetails {
        match &self.ended {
            Some(Completion::Failed { failure, .. }) => failure,
            other => panic!("not failed: {other:?}"),
        }
    }
}

/// What a rewind does to a history: it takes the end away, and puts a place-holder for each record it takes
/// out.
pub(crate) fn rewind(hub: &mut Hub, dropped: &[i32]) {
    hub.history.retain(|event| !matches!(event.kind(), EventKind::ExecutionCompleted(_)));
    for event in &mut hub.history {
        let takes = match event.kind() {
            EventKind::TaskScheduled(_)
            | EventKind::EntityOperationCalled(_)
            | EventKind::EntityLockRequested(_)
            | EventKind::EntityUnlockSent(_) => dropped.contains(&event.id),
            EventKind::TaskFailed(failed) => dropped.contains(&failed.task_id),
            EventKind::EntityOperationFailed(failed) => dropped.contains(&failed.task_id),
            _ => false,
        };
        if takes {
            let kind = EventKind::Generic(Generic { data: None });
            *event = Arc::new(HistoryEvent::of_action(event.id, event.timestamp, kind));
        }
    }
    for id in dropped {
        hub.open.remove(id);
    }
    hub.ended = None;
    hub.evict();
}

pub(crate) fn raised(name: &str, input: &str) -> EventKind {
    EventKind::EventRaised(EventRaised { name: name.into(), input: Some(input.into()), undelivered: false })
}
