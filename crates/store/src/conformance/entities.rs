//! Rows of entities.

use strandline_hub::message::LockOwner;
use strandline_hub::row::{
    EntityRow, EntityRows, InstanceRows, LockRow, PartitionRows, QueuedKind, QueuedRow, ScheduledRow,
};
use strandline_model::{EntityCaller, EntityOperation, ExecutionId, InstanceId, Timestamp, TraceContext};

use super::{batch, hub, instance_row, own, rows_at};
use crate::{PartitionRef, Store};

fn owner() -> LockOwner {
    LockOwner { instance_id: "größe".into(), execution_id: vec![0xff; 16], section_id: "s".into() }
}

fn operation(name: &str) -> EntityOperation {
    let caller = EntityCaller {
        instance_id: "größe".into(),
        execution_id: vec![7; 16],
        task_id: 3,
        section_id: Some(String::new()),
    };
    EntityOperation {
        request_id: "r".into(),
        name: name.into(),
        input: Some(String::new()),
        caller: Some(caller),
        scheduled_time: Some(Timestamp { seconds: -1, nanos: 999_999_999 }),
        trace: Some(Box::new(TraceContext { parent: "00-a-b-01".into(), state: Some(String::new()) })),
    }
}

/// A row with something in every field.
fn full_row(id: &str) -> EntityRow {
    EntityRow {
        id: id.into(),
        state: Some("größer 😀".into()),
        modified: Timestamp { seconds: 5, nanos: 7 },
        lock: Some(LockRow { owner: owner(), releasing: true }),
        queue: vec![
            QueuedRow { number: 8, kind: Some(QueuedKind::Operation(operation("o"))) },
            QueuedRow { number: u64::MAX, kind: Some(QueuedKind::Lock(owner())) },
        ],
        scheduled: vec![ScheduledRow { timer: -5, operation: operation("later") }],
        next_number: 9,
    }
}

fn change(id: &str, row: Option<EntityRow>, active: bool) -> EntityRows {
    EntityRows { id: InstanceId::trusted(id), row, active }
}

fn rows(position: u64, entities: Vec<EntityRows>) -> PartitionRows {
    PartitionRows { entities, ..rows_at(position) }
}

/// Rows come back as they were, to their own partition, and are none of instances.
pub fn entity_rows_survive<S: Store>(open: impl Fn() -> S) {
    const IDS: [&str; 4] = ["@e@", "@e@größe/ü", "@e@a@b", "@eé@\u{1f600}"];
    let store = open();
    let number = hub(&store);
    let (at, owned) = own(&store, number, 2);
    store.append(&[batch(at, owned.epoch, 1, b"one")]).unwrap();
    let empty = EntityRow { id: IDS[0].into(), state: Some(String::new()), ..EntityRow::default() };
    let entities = vec![
        change(IDS[0], Some(empty.clone()), false),
        change(IDS[1], Some(full_row(IDS[1])), true),
        change(IDS[2], Some(full_row(IDS[2])), false),
        change(IDS[3], Some(full_row(IDS[3])), true),
    ];
    store.flush(&[(at, rows(1, entities))]).unwrap();
    let check = |store: &S| {
        assert_eq!(store.entity(at, IDS[0]).unwrap(), Some(empty.clone()));
        for id in &IDS[1..] {
            assert_eq!(store.entity(at, id).unwrap(), Some(full_row(id)));
            assert_eq!(store.instance(at, id).unwrap(), None);
            assert_eq!(store.entity(PartitionRef { partition: 1, ..at }, id).unwrap(), None);
        }
        assert_eq!(store.entity(at, "@e").unwrap(), None);
        assert_eq!(store.acquire(at).unwrap().active, [IDS[1], IDS[3]].map(InstanceId::trusted));
    };
    check(&store);
    drop(store);
    check(&open());
}

/// Rows and active marks follow the newest change; entities and instances don't touch each other.
pub fn entities_can_go<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let number = hub(&store);
    let (at, owned) = own(&store, number, 0);
    let batches: Vec<_> = (1..=5).map(|position| batch(at, owned.epoch, position, b"x")).collect();
    store.append(&batches).unwrap();
    let instance = InstanceRows {
        id: InstanceId::trusted("e"),
        row: Some(instance_row("e", ExecutionId(1))),
        chunks: Vec::new(),
        dropped: Vec::new(),
        active: true,
    };
    let first = PartitionRows { instances: vec![instance], ..rows(1, Vec::new()) };
    store.flush(&[(at, first)]).unwrap();
    let row = EntityRow { id: "@e@1".into(), ..EntityRow::default() };
    // Each step: the row, whether it is marked active; and which ids are then.
    let steps: [(Option<EntityRow>, bool, &[&str]); 4] = [
        (Some(full_row("@e@1")), true, &["@e@1", "e"]),
        (Some(row), false, &["e"]),
        (Some(full_row("@e@1")), true, &["@e@1", "e"]),
        (None, false, &["e"]),
    ];
    for (position, (row, active, expected)) in (2..).zip(steps) {
        store.flush(&[(at, rows(position, vec![change("@e@1", row.clone(), active)]))]).unwrap();
        assert_eq!(store.entity(at, "@e@1").unwrap(), row);
        let active = store.acquire(at).unwrap().active;
        assert_eq!(active.iter().map(InstanceId::as_str).collect::<Vec<_>>(), expected);
    }
    drop(store);
    let store = open();
    assert_eq!(store.entity(at, "@e@1").unwrap(), None);
    assert!(store.instance(at, "e").unwrap().is_some());
}

/// A hub takes its entities with it, and leaves those of others alone.
pub fn deleted_hubs_leave_no_entities<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let numbers = ["default", "other"].map(|name| store.create_hub(name, 4).unwrap().number);
    for number in numbers {
        let (at, owned) = own(&store, number, 1);
        store.append(&[batch(at, owned.epoch, 1, b"one")]).unwrap();
        store.flush(&[(at, rows(1, vec![change("@e@1", Some(full_row("@e@1")), true)]))]).unwrap();
    }
    store.delete_hub("default").unwrap();
    let [gone, other] = numbers.map(|hub| PartitionRef { hub, partition: 1 });
    assert!(!matches!(store.entity(gone, "@e@1"), Ok(Some(_))));
    let again = store.create_hub("default", 4).unwrap().number;
    let new = PartitionRef { hub: again, partition: 1 };
    drop(store);
    let store = open();
    for _ in 0..10 {
        store.idle().unwrap();
    }
    assert_eq!((store.entity(new, "@e@1").unwrap(), store.acquire(new).unwrap().active), (None, Vec::new()));
    assert_eq!(store.entity(other, "@e@1").unwrap(), Some(full_row("@e@1")));
    assert_eq!(store.acquire(other).unwrap().active.len(), 1);
}
