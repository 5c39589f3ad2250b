//! What a rewound parent and its children tell each other.

mod support;

use strandline_hub::{Command, Reply, ReusePolicy, TurnFinished};
use strandline_model::{
    Action, ActionKind, Completion, EventKind, ExecutionId, FailureDetails, Origin, RuntimeStatus,
};
use support::{Hub, child, complete, id};

fn fails_with_task(task: i32) -> ActionKind {
    let failure = FailureDetails::new("Oops", "it broke");
    ActionKind::Complete(Completion::Failed { failure, origin: Origin::Task(task) })
}

fn rewind(hub: &mut Hub, name: &str) -> Reply {
    let execution = ExecutionId(hub.entropy() + 1000);
    hub.run(Command::Rewind { id: id(name), reason: None, execution }).reply
}

#[test]
fn a_rewound_parent_leaves_the_child_of_an_older_generation_alone() {
    let mut hub = Hub::new();
    hub.start("parent", ReusePolicy::refuse());
    hub.turn("parent", vec![child("child")]);
    hub.terminate("parent", false);
    hub.start("parent", ReusePolicy::replace_terminal());
    hub.turn("parent", vec![child("child")]);
    hub.turn("parent", vec![fails_with_task(0)]);
    assert_eq!(hub.status("parent"), Some(RuntimeStatus::Failed), "the child of that id was there already");

    assert_eq!(rewind(&mut hub, "parent"), Reply::Accepted);
    let parent = hub.partition.instance("parent").unwrap();
    let told = parent.inbox.iter().any(|e| matches!(e.kind(), EventKind::SubOrchestrationFailed(_)));
    assert!(told, "it still is, so the parent hears so again: {:?}", parent.inbox);
    assert_eq!(hub.status("child"), Some(RuntimeStatus::Pending));
}

/// A turn that fails without having seen the newest event.
fn fails_too_soon(hub: &mut Hub, name: &str, task: i32) {
    let instance = hub.partition.instance(name).unwrap();
    let turn = TurnFinished {
        id: id(name),
        execution: instance.execution,
        seen: instance.history.len(),
        delivered: instance.inbox.len() - 1,
        time: hub.now,
        actions: vec![Action { id: 9, kind: fails_with_task(task) }],
        custom_status: None,
        next_execution: ExecutionId(0),
        next_seed: 0,
        span: None,
    };
    hub.run(Command::TurnFinished(Box::new(turn)));
}

#[test]
fn a_child_that_completed_tells_each_execution_of_its_parent() {
    let mut hub = Hub::new();
    hub.start("parent", ReusePolicy::refuse());
    hub.turn("parent", vec![child("child")]);
    hub.raise("parent", "go");
    hub.turn("child", vec![complete()]);
    for _ in 0..3 {
        let inbox = &hub.partition.instance("parent").unwrap().inbox;
        let told = inbox.iter().any(|e| matches!(e.kind(), EventKind::SubOrchestrationCompleted(_)));
        assert!(told, "the child is done: {inbox:?}");
        fails_too_soon(&mut hub, "parent", 9);
        assert_eq!(hub.status("parent"), Some(RuntimeStatus::Failed));
        assert_eq!(rewind(&mut hub, "parent"), Reply::Accepted);
    }
}
