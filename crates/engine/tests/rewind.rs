//! A rewind rewrites the whole history, wherever it is.

#[path = "support/pipe.rs"]
#[allow(dead_code, reason = "shared with the tests of entities")]
mod pipe;

use pipe::{Asked, Pipe, id};
use strandline_engine::pipeline::{PipelineConfig, Release};
use strandline_hub::Command;
use strandline_model::{
    ActionKind, Completion, EventKind, ExecutionId, FailureDetails, InstanceId, Origin, RuntimeStatus,
};

const EVENTS: usize = 5_000;

fn activity() -> ActionKind {
    ActionKind::ScheduleTask {
        name: "A".to_owned(),
        version: None,
        input: None,
        tags: Default::default(),
        timeout: None,
        trace: None,
    }
}

fn ends(pipe: &mut Pipe, task_id: i32, fails: bool) {
    let execution = pipe.pipeline.partition().instance("a").unwrap().execution;
    let result = if fails { Err(FailureDetails::new("E", "no")) } else { Ok(None) };
    pipe.run(Command::ActivityFinished { id: id("a"), execution, task_id, result });
}

/// "a" failed with its activity 0, its activity 1 is open, and most of its history is in chunks only.
fn failed() -> Pipe {
    let mut pipe = Pipe::new(PipelineConfig::default());
    pipe.start("a");
    pipe.turn(vec![(0, activity()), (1, activity())]);
    for n in 0..EVENTS {
        pipe.run(Command::RaiseEvent { id: id("a"), name: "E".to_owned(), input: None });
        if n % 1000 == 0 {
            pipe.commit();
        }
    }
    pipe.turn(Vec::new());
    pipe.flush();
    assert!(pipe.pipeline.partition().instance("a").unwrap().history.base() > EVENTS);
    ends(&mut pipe, 0, true);
    let failure = FailureDetails::new("E", "no");
    let failed = Completion::Failed { failure, origin: Origin::Task(0) };
    pipe.turn(vec![(2, ActionKind::Complete(failed))]);
    pipe.commit();
    pipe
}

fn rewind(pipe: &mut Pipe) {
    let execution = ExecutionId(0xf00d);
    pipe.run(Command::Rewind { id: id("a"), reason: None, execution });
}

fn activities(releases: &[Release<Asked>]) -> Vec<(InstanceId, ExecutionId, i32)> {
    let activities = releases.iter().filter_map(|release| match release {
        Release::Activity(a) => Some((a.instance.clone(), a.execution, a.task_id)),
        _ => None,
    });
    activities.collect()
}

/// The code goes on over its whole history, fails no more, and ends.
fn goes_on(pipe: &mut Pipe) {
    let instance = pipe.pipeline.partition().instance("a").unwrap();
    assert_eq!((instance.status(), instance.execution), (RuntimeStatus::Running, ExecutionId(0xf00d)));
    let total = instance.history.len();
    let seen = pipe.turn(vec![(0, activity())]);
    assert_eq!(seen, total);
    assert_eq!(activities(&pipe.commit()), [(id("a"), ExecutionId(0xf00d), 0)]);
    ends(pipe, 0, false);
    pipe.turn(vec![(2, ActionKind::Complete(Completion::Completed { result: None }))]);
    pipe.flush();
    pipe.crash();
    pipe.run(Command::Suspend { id: id("a"), reason: None });
    assert_eq!(pipe.pipeline.partition().instance("a").unwrap().status(), RuntimeStatus::Completed);
}

#[test]
fn in_memory_and_in_chunks() {
    let mut pipe = failed();
    rewind(&mut pipe);
    let instance = pipe.pipeline.partition().instance("a").unwrap();
    assert_eq!(instance.history.base(), 0);
    let is_dropped =
        |e: &&std::sync::Arc<strandline_model::HistoryEvent>| matches!(e.kind(), EventKind::Generic(_));
    assert_eq!(instance.history.in_memory().iter().filter(is_dropped).count(), 1);
    assert_eq!(activities(&pipe.commit()), [(id("a"), ExecutionId(0xf00d), 1)], "what was open runs again");
    goes_on(&mut pipe);
}

#[test]
fn after_the_failed_instance_left_memory() {
    let mut pipe = failed();
    pipe.flush();
    assert!(pipe.pipeline.partition().instance("a").is_none());
    rewind(&mut pipe);
    pipe.commit();
    goes_on(&mut pipe);
}

#[test]
fn from_the_log_after_a_crash() {
    for flushed_before in [false, true] {
        let mut pipe = failed();
        if flushed_before {
            pipe.flush();
        }
        rewind(&mut pipe);
        pipe.commit();
        let before = pipe.pipeline.partition().instance("a").unwrap().clone();
        pipe.crash();
        assert_eq!(pipe.pipeline.partition().instance("a"), Some(&before));
        assert_eq!(activities(&pipe.commit()), [(id("a"), ExecutionId(0xf00d), 1)]);
        goes_on(&mut pipe);
    }
}

#[test]
fn from_the_tables_after_a_crash() {
    let mut pipe = failed();
    rewind(&mut pipe);
    pipe.flush();
    pipe.crash();
    assert_eq!(activities(&pipe.commit()), [(id("a"), ExecutionId(0xf00d), 1)]);
    goes_on(&mut pipe);
}

#[test]
fn nothing_of_it_stays_when_it_was_not_written() {
    let mut pipe = failed();
    pipe.flush();
    rewind(&mut pipe);
    pipe.crash();
    pipe.run(Command::Suspend { id: id("a"), reason: None });
    assert_eq!(pipe.pipeline.partition().instance("a").unwrap().status(), RuntimeStatus::Failed);
    rewind(&mut pipe);
    pipe.commit();
    goes_on(&mut pipe);
}
