//! Plays the engine with a clock of its own: runs turns and activities, fires timers in order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use strandline::{Callable, ExecutionId, InstanceId, Named, Registry, RustWorker, Timestamp};
use strandline_engine::worker::{ActivityResult, ActivityWork, Turn, TurnRunner, Worker};
use strandline_model::*;
use tokio_util::sync::CancellationToken;

pub(crate) struct Engine {
    pub(crate) worker: RustWorker,
    pub(crate) runner: Box<dyn TurnRunner>,
    pub(crate) name: String,
    pub(crate) version: Option<String>,
    pub(crate) history: Vec<Arc<HistoryEvent>>,
    pub(crate) now: Timestamp,
    pub(crate) open: BTreeMap<i32, ActionKind>,
    /// Everything decided, in order.
    pub(crate) actions: Vec<Action>,
    pub(crate) status: Option<String>,
    pub(crate) ended: Option<Completion>,
    /// Rebuild the orchestrator from its history in every turn.
    pub(crate) rebuild: bool,
    inbox: Vec<EventKind>,
}

pub(crate) fn instance() -> InstanceId {
    InstanceId::trusted("i")
}

pub(crate) fn work(name: &str, input: Option<&str>) -> ActivityWork {
    ActivityWork {
        instance: instance(),
        execution: ExecutionId(0xab),
        task_id: 7,
        name: name.to_owned(),
        version: None,
        input: input.map(str::to_owned),
        tags: BTreeMap::from([("gpu".to_owned(), "1".to_owned())]),
        cancelled: CancellationToken::new(),
        progress: Arc::new(Mutex::new(None)),
        metrics: Default::default(),
        trace: None,
    }
}

pub(crate) fn run_activity(worker: &RustWorker, work: ActivityWork) -> ActivityResult {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(worker.run_activity(work))
}

impl Engine {
    /// An engine about to run the first turn of an orchestrator.
    pub(crate) fn new<C: Callable>(registry: Registry, orchestrator: C, input: C::Input) -> Self
    where
        C::Input: Serialize,
    {
        let call = orchestrator.into_call();
        let input = serde_json::to_string(&input).unwrap();
        Self::raw(registry, call.name(), call.requested_version(), Some(input))
    }

    pub(crate) fn raw(registry: Registry, name: &str, version: Option<&str>, input: Option<String>) -> Self {
        let worker = registry.build().unwrap();
        let started = ExecutionStarted {
            instance_id: "i".into(),
            name: name.into(),
            version: version.map(str::to_owned),
            input,
            seed: 42,
            ..Default::default()
        };
        Self {
            runner: worker.turn_runner(),
            worker,
            name: name.into(),
            version: version.map(str::to_owned),
            history: Vec::new(),
            now: Timestamp { seconds: 1_704_164_645, nanos: 0 },
            open: BTreeMap::new(),
            actions: Vec::new(),
            status: None,
            ended: None,
            rebuild: true,
            inbox: vec![EventKind::ExecutionStarted(Box::new(started))],
        }
    }

    pub(crate) fn turn(&mut self) {
        let mut new = vec![HistoryEvent::new(self.now, EventKind::OrchestratorStarted(Empty {}))];
        new.extend(self.inbox.drain(..).map(|kind| HistoryEvent::new(self.now, kind)));
        let new: Vec<_> = new.into_iter().map(Arc::new).collect();
        let seen = self.history.len();
        let held = !self.rebuild && self.runner.holds(&instance(), ExecutionId(1), seen);
        let outcome = self.runner.run(Turn {
            instance: instance(),
            execution: ExecutionId(1),
            name: self.name.clone(),
            version: self.version.clone(),
            seen,
            past: (!held).then(|| self.history.clone()),
            new: new.clone(),
            span: None,
        });
        self.history.extend(new);
        if let Some(status) = outcome.custom_status {
            self.status = status;
        }
        for action in outcome.actions {
            self.record(&action);
            self.actions.push(action);
        }
        let done = EventKind::OrchestratorCompleted(Empty {});
        self.history.push(Arc::new(HistoryEvent::new(self.now, done)));
    }

    fn record(&mut self, action: &Action) {
        let kind = match action.kind.clone().into_event().map_err(|kind| *kind) {
            Ok(kind) => kind,
            Err(ActionKind::Complete(completion)) => {
                self.ended = Some(completion);
                return;
            }
            Err(_) => {
                if let ActionKind::Cancel { target } = action.kind
                    && matches!(self.open.get(&target), Some(ActionKind::CreateTimer { .. }))
                {
                    self.open.remove(&target);
                }
                return;
            }
        };
        self.history.push(Arc::new(HistoryEvent::of_action(action.id, self.now, kind)));
        let one_way = match &action.kind {
            ActionKind::SendEvent { .. }
            | ActionKind::SignalEntity { .. }
            | ActionKind::UnlockEntity { .. } => true,
            ActionKind::CreateSubOrchestration { fire_and_forget, .. } => *fire_and_forget,
            _ => false,
        };
        if !one_way {
            self.open.insert(action.id, action.kind.clone());
        }
    }

    /// Runs turns and activities until only timers, children or events are left to wait for.
    pub(crate) fn run(&mut self) -> &mut Self {
        loop {
            if !self.inbox.is_empty() {
                self.turn();
            }
            let next = self.open.iter().find_map(|(id, kind)| match kind {
                ActionKind::ScheduleTask { name, version, input, .. } => {
                    Some((*id, name.clone(), version.clone(), input.clone()))
                }
                _ => None,
            });
            let (None, Some((id, name, version, input))) = (&self.ended, next) else { return self };
            self.open.remove(&id);
            let work = ActivityWork { version, task_id: id, ..work(&name, input.as_deref()) };
            let event = match run_activity(&self.worker, work) {
                Ok(result) => EventKind::TaskCompleted(TaskCompleted { task_id: id, result }),
                Err(failure) => EventKind::TaskFailed(TaskFailed { task_id: id, failure }),
            };
            self.inbox.push(event);
        }
    }

    /// Lets time pass; fires what is due, one turn each, and runs what follows.
    pub(crate) fn advance(&mut self, by: Duration) -> &mut Self {
        let until = self.now.saturating_add(by);
        while self.ended.is_none() {
            let due = self.open.iter().filter_map(|(id, kind)| match kind {
                ActionKind::CreateTimer { fire_at } => Some((*fire_at, *id)),
                _ => None,
            });
            let Some((fire_at, id)) = due.min().filter(|(at, _)| *at <= until) else { break };
            self.open.remove(&id);
            self.now = self.now.max(fire_at);
            self.inbox.push(EventKind::TimerFired(TimerFired { timer_id: id, fire_at }));
            self.run();
        }
        self.now = self.now.max(until);
        self
    }

    pub(crate) fn raise(&mut self, name: &str, input: &str) -> &mut Self {
        let input = Some(input.to_owned());
        self.inbox.push(EventKind::EventRaised(EventRaised { name: name.into(), input, undelivered: false }));
        self.run()
    }

    pub(crate) fn child_done(&mut self, id: i32, result: Option<&str>) -> &mut Self {
        self.open.remove(&id).unwrap();
        let result = result.map(str::to_owned);
        self.inbox
            .push(EventKind::SubOrchestrationCompleted(SubOrchestrationCompleted { task_id: id, result }));
        self.run()
    }

    pub(crate) fn child_failed(&mut self, id: i32, failure: FailureDetails) -> &mut Self {
        self.open.remove(&id).unwrap();
        self.inbox.push(EventKind::SubOrchestrationFailed(SubOrchestrationFailed { task_id: id, failure }));
        self.run()
    }

    /// The result of a called operation.
    pub(crate) fn operation_done(&mut self, id: i32, result: Result<&str, FailureDetails>) -> &mut Self {
        let Some(ActionKind::CallEntity { request_id, .. }) = self.open.remove(&id) else { panic!("{id}") };
        self.inbox.push(match result {
            Ok(output) => EventKind::EntityOperationCompleted(EntityOperationCompleted {
                task_id: id,
                request_id,
                output: Some(output.to_owned()),
            }),
            Err(failure) => {
                EventKind::EntityOperationFailed(EntityOperationFailed { task_id: id, request_id, failure })
            }
        });
        self.run()
    }

    /// All entities of a critical section are locked.
    pub(crate) fn granted(&mut self, id: i32) -> &mut Self {
        let Some(ActionKind::LockEntities { section_id, .. }) = self.open.remove(&id) else { panic!("{id}") };
        self.inbox.push(EventKind::EntityLockGranted(EntityLockGranted { task_id: id, section_id }));
        self.run()
    }

    /// The output as JSON text.
    pub(crate) fn output(&self) -> &str {
        match &self.ended {
            Some(Completion::Completed { result }) => result.as_deref().unwrap(),
            other => panic!("not completed: {other:?}"),
        }
    }

    pub(crate) fn failure(&self) -> &FailureDetails {
        match &self.ended {
            Some(Completion::Failed { failure, .. }) => failure,
            other => panic!("not failed: {other:?}"),
        }
    }

    pub(crate) fn cancelled(&self) -> Vec<i32> {
        let target = |action: &Action| match action.kind {
            ActionKind::Cancel { target } => Some(target),
            _ => None,
        };
        self.actions.iter().filter_map(target).collect()
    }
}
