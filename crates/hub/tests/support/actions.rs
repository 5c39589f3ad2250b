//! What turns do.

use strandline_model::{ActionKind, Completion, FailureDetails, Origin, Timestamp};

pub(crate) fn activity(name: &str) -> ActionKind {
    ActionKind::ScheduleTask {
        name: name.to_owned(),
        version: None,
        input: Some("1".to_owned()),
        tags: Default::default(),
        timeout: None,
        trace: None,
    }
}

pub(crate) fn child(id: &str) -> ActionKind {
    ActionKind::CreateSubOrchestration {
        instance_id: id.to_owned(),
        name: "Child".to_owned(),
        version: None,
        input: None,
        tags: Default::default(),
        fire_and_forget: false,
        trace: None,
    }
}

pub(crate) fn timer(fire_at: Timestamp) -> ActionKind {
    ActionKind::CreateTimer { fire_at }
}

pub(crate) fn call(entity: &str, operation: &str) -> ActionKind {
    ActionKind::CallEntity {
        target: entity.to_owned(),
        request_id: format!("call-{operation}"),
        operation: operation.to_owned(),
        input: Some("2".to_owned()),
        scheduled_time: None,
    }
}

pub(crate) fn signal(entity: &str, operation: &str) -> ActionKind {
    ActionKind::SignalEntity {
        target: entity.to_owned(),
        request_id: format!("signal-{operation}"),
        operation: operation.to_owned(),
        input: None,
        scheduled_time: None,
    }
}

pub(crate) fn lock(section: &str, entities: &[&str]) -> ActionKind {
    let lock_set = entities.iter().map(|&entity| entity.to_owned()).collect();
    ActionKind::LockEntities { section_id: section.to_owned(), lock_set }
}

pub(crate) fn unlock(section: &str, entity: &str) -> ActionKind {
    ActionKind::UnlockEntity { section_id: section.to_owned(), target: entity.to_owned() }
}

pub(crate) fn complete() -> ActionKind {
    ActionKind::Complete(Completion::Completed { result: Some("done".to_owned()) })
}

pub(crate) fn fail() -> ActionKind {
    fail_of(Origin::Task(3))
}

pub(crate) fn fail_of(origin: Origin) -> ActionKind {
    ActionKind::Complete(Completion::Failed { failure: FailureDetails::new("Oops", "it broke"), origin })
}

pub(crate) fn again() -> ActionKind {
    ActionKind::Complete(Completion::ContinuedAsNew {
        input: Some("2".to_owned()),
        version: None,
        carryover: Vec::new(),
    })
}
