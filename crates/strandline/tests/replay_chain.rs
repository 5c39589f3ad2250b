//! A chain of activities run by the worker alone: the test plays the engine.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use strandline::prelude::*;
use strandline::{ExecutionId, InstanceId};
use strandline_engine::worker::{ActivityWork, Turn, Worker};
use strandline_model::*;

#[activity]
async fn greet(city: String) -> Result<String> {
    Ok(format!("Hello {city}!"))
}

#[orchestrator]
async fn chain(ctx: OrchestrationContext, cities: Vec<String>) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for city in cities {
        all.push(ctx.call(greet, city).await?);
    }
    Ok(all)
}

#[test]
fn a_chain_completes_by_replay() {
    let worker = Registry::new().register((greet, chain)).build().unwrap();
    let mut runner = worker.turn_runner();
    let input = Some(r#"["Tokyo","Seattle","London"]"#.to_owned());
    let started = ExecutionStarted { name: "chain".into(), input, ..Default::default() };
    let mut history: Vec<Arc<HistoryEvent>> = Vec::new();
    let mut next = EventKind::ExecutionStarted(started);
    let result = 'turns: loop {
        let new = [EventKind::OrchestratorStarted(Empty {}), next];
        let new: Vec<_> = new.map(|kind| Arc::new(HistoryEvent::new(Timestamp::EPOCH, kind))).into();
        let outcome = runner.run(Turn {
            instance: InstanceId::trusted("i"),
            execution: ExecutionId(1),
            name: "chain".into(),
            version: None,
            seen: history.len(),
            past: Some(history.clone()),
            new: new.clone(),
        });
        history.extend(new);
        let mut completed = None;
        for action in outcome.actions {
            match action.kind {
                ActionKind::ScheduleTask { name, version, input, tags, .. } => {
                    let work = ActivityWork {
                        instance: InstanceId::trusted("i"),
                        execution: ExecutionId(1),
                        task_id: action.id,
                        name: name.clone(),
                        version,
                        input: input.clone(),
                        tags,
                        cancelled: Default::default(),
                        progress: Arc::new(Mutex::new(None)),
                    };
                    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                    let result = runtime.block_on(worker.run_activity(work)).unwrap();
                    completed = Some(TaskCompleted { task_id: action.id, result });
                    let scheduled = TaskScheduled {
                        name,
                        input,
                        version: None,
                        tags: BTreeMap::new(),
                        timeout_nanos: None,
                    };
                    let kind = EventKind::TaskScheduled(scheduled);
                    history.push(Arc::new(HistoryEvent::of_action(action.id, Timestamp::EPOCH, kind)));
                }
                ActionKind::Complete(completion) => break 'turns completion,
                other => panic!("{other:?}"),
            }
        }
        let done = EventKind::OrchestratorCompleted(Empty {});
        history.push(Arc::new(HistoryEvent::new(Timestamp::EPOCH, done)));
        next = EventKind::TaskCompleted(completed.unwrap());
    };
    let expected = r#"["Hello Tokyo!","Hello Seattle!","Hello London!"]"#;
    assert_eq!(result, Completion::Completed { result: Some(expected.into()) });
}
