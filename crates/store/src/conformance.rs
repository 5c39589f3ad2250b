//! What every store must do, as functions that any store's tests can call.
//!
//! Each function takes an `open` that opens one and the same store, empty at the first call; what an earlier
//! call returned has been dropped by then. They panic when the store does not conform.

mod entities;
mod lists;

pub use entities::{deleted_hubs_leave_no_entities, entities_can_go, entity_rows_survive};
pub use lists::{
    deleted_hubs_are_not_listed, lists_agree_with_the_rows, lists_stay_in_their_hub, secrets_are_kept,
    short_budgets_get_to_the_end,
};
use strandline_hub::message::Message;
use strandline_hub::row::{
    Census, HistoryChunk, InstanceRow, InstanceRows, PartitionRow, PartitionRows, TimerKey,
};
use strandline_model::{EventKind, EventRaised, ExecutionId, HistoryEvent, InstanceId, Timestamp};

use crate::{Batch, HubInfo, PartitionRef, Recovered, Store, StoreError};

/// Runs everything, each function on a store of its own from `fresh`.
pub fn all<S: Store, O: Fn() -> S>(fresh: impl Fn() -> O) {
    hubs_are_kept(fresh());
    hubs_with_bad_names_are_refused(fresh());
    deleted_hubs_are_gone(fresh());
    batches_survive(fresh());
    long_batches_survive(fresh());
    empty_groups_and_batches(fresh());
    stale_appends_are_refused_whole(fresh());
    epochs_grow(fresh());
    rows_survive(fresh());
    rows_can_go(fresh());
    entity_rows_survive(fresh());
    entities_can_go(fresh());
    deleted_hubs_leave_no_entities(fresh());
    timers_are_ordered(fresh());
    flushes_shorten_the_tail(fresh());
    flushes_must_follow_the_log(fresh());
    flushed_logs_are_trimmed(fresh());
    one_sync_for_each_group(fresh());
    closed_stores_refuse(fresh());
    lists_agree_with_the_rows(fresh());
    short_budgets_get_to_the_end(fresh());
    lists_stay_in_their_hub(fresh());
    deleted_hubs_are_not_listed(fresh());
    secrets_are_kept(fresh());
}

fn batch(at: PartitionRef, epoch: u64, position: u64, records: &[u8]) -> Batch {
    let time = Timestamp { seconds: position as i64, nanos: 7 };
    Batch { at, epoch, position, time, records: records.to_vec() }
}

fn hub(store: &impl Store) -> u32 {
    store.create_hub("default", 4).expect("a hub").number
}

fn own(store: &impl Store, hub: u32, partition: u16) -> (PartitionRef, Recovered) {
    let at = PartitionRef { hub, partition };
    (at, store.acquire(at).expect("a partition"))
}

fn rows_at(position: u64) -> PartitionRows {
    PartitionRows {
        partition: PartitionRow { position, ..PartitionRow::default() },
        instances: Vec::new(),
        entities: Vec::new(),
        timers_added: Vec::new(),
        timers_removed: Vec::new(),
    }
}

fn event(name: &str) -> HistoryEvent {
    let raised = EventRaised { name: name.into(), input: Some(String::new()), undelivered: true };
    HistoryEvent::new(Timestamp::from_millis(5), EventKind::EventRaised(raised))
}

fn instance_row(id: &str, execution: ExecutionId) -> InstanceRow {
    InstanceRow {
        id: id.into(),
        execution_id: execution.0.to_be_bytes().to_vec(),
        custom_status: Some("größer 😀".into()),
        started: event("started"),
        tail: vec![event("a"), event("b")],
        history_len: 4,
        ..InstanceRow::default()
    }
}

fn is_stale(result: Result<(), StoreError>, at: PartitionRef) {
    match result {
        Err(StoreError::Stale { at: blamed, .. }) => assert_eq!(blamed, at),
        other => panic!("expected a stale partition {at:?}, got {other:?}"),
    }
}

/// Hubs survive with their numbers, and names are unique.
pub fn hubs_are_kept<S: Store>(open: impl Fn() -> S) {
    let store = open();
    assert_eq!(store.hubs().unwrap(), []);
    let b = store.create_hub("b-2", 32).unwrap();
    let a = store.create_hub("A_1", 1).unwrap();
    assert_ne!(a.number, b.number);
    assert_eq!(b, HubInfo { name: "b-2".into(), number: b.number, partitions: 32 });
    assert!(matches!(store.create_hub("b-2", 8), Err(StoreError::HubExists(name)) if name == "b-2"));
    drop(store);
    let mut hubs = open().hubs().unwrap();
    hubs.sort_by_key(|h| h.number);
    assert_eq!(hubs, [b, a]);
}

/// Names and partition counts are checked.
pub fn hubs_with_bad_names_are_refused<S: Store>(open: impl Fn() -> S) {
    let store = open();
    for name in ["", "a b", "ä", "a/b", "..", &"x".repeat(65)] {
        assert!(store.create_hub(name, 4).is_err(), "{name:?}");
    }
    for partitions in [0, 1025] {
        assert!(store.create_hub("x", partitions).is_err(), "{partitions}");
    }
    assert_eq!(store.hubs().unwrap(), []);
    store.create_hub(&"x".repeat(64), 1024).unwrap();
}

/// A deleted hub takes everything with it; its name can be used at once, its number never.
pub fn deleted_hubs_are_gone<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let number = hub(&store);
    let (at, owned) = own(&store, number, 1);
    store.append(&[batch(at, owned.epoch, 1, b"one"), batch(at, owned.epoch, 2, b"two")]).unwrap();
    let mut rows = rows_at(1);
    rows.instances.push(InstanceRows {
        id: InstanceId::trusted("i"),
        row: Some(instance_row("i", ExecutionId(1))),
        chunks: vec![(0, HistoryChunk { events: vec![event("x")] })],
        dropped: Vec::new(),
        active: true,
    });
    store.flush(&[(at, rows)]).unwrap();
    store.delete_hub("default").unwrap();
    assert_eq!(store.hubs().unwrap(), []);
    assert!(matches!(store.delete_hub("default"), Err(StoreError::NoSuchHub(name)) if name == "default"));
    assert!(store.acquire(at).is_err());
    assert!(store.append(&[batch(at, owned.epoch, 3, b"three")]).is_err());
    assert!(store.flush(&[(at, rows_at(2))]).is_err());
    assert!(!matches!(store.instance(at, "i"), Ok(Some(_))));
    assert_eq!(store.log_usage().oldest, None);
    let again = store.create_hub("default", 4).unwrap();
    assert!(again.number > number);
    let (new, owned) = own(&store, again.number, 1);
    assert_eq!((owned.row, owned.tail.len(), owned.active.len()), (None, 0, 0));
    store.append(&[batch(new, owned.epoch, 1, b"new")]).unwrap();
    drop(store);
    let store = open();
    assert_eq!(store.hubs().unwrap(), [again]);
    assert!(store.acquire(at).is_err());
    assert_eq!(store.acquire(new).unwrap().tail.len(), 1);
    assert_eq!(store.instance(new, "i").unwrap(), None);
    for _ in 0..10 {
        store.idle().unwrap();
    }
    assert_eq!(store.acquire(new).unwrap().tail.len(), 1);
}

/// Batches come back as they were, in order, to their partitions, also without opening the store anew.
pub fn batches_survive<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let number = hub(&store);
    let mut written: Vec<Vec<Batch>> = vec![Vec::new(); 4];
    let owned: Vec<_> = (0..4).map(|p| own(&store, number, p)).collect();
    for n in 1..=50u64 {
        let group: Vec<Batch> = owned
            .iter()
            .flat_map(|(at, o)| {
                [2 * n - 1, 2 * n].map(|p| batch(*at, o.epoch, p, format!("{at:?}{p}").as_bytes()))
            })
            .collect();
        store.append(&group).unwrap();
        group.into_iter().for_each(|b| written[usize::from(b.at.partition)].push(b));
        if n % 7 == 0 {
            store.idle().unwrap();
        }
    }
    let again = store.acquire(owned[2].0).unwrap();
    assert_eq!(again.tail, written[2]);
    drop(store);
    let store = open();
    for (p, written) in written.iter().enumerate() {
        let (_, found) = own(&store, number, p as u16);
        assert_eq!((&found.tail, found.row), (written, None));
    }
}

/// Batches larger than any frame or segment need not be split by the caller.
pub fn long_batches_survive<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let number = hub(&store);
    let (at, owned) = own(&store, number, 0);
    let mut written = Vec::new();
    for (i, len) in [1, 7, 8, 255, 256, 4095, 4096, 4097, 70_000, 3, 1 << 20, 300_001].into_iter().enumerate()
    {
        let records: Vec<u8> = (0..len).map(|b| (b % 251) as u8).collect();
        written.push(batch(at, owned.epoch, i as u64 + 1, &records));
    }
    store.reserve(2 << 20).unwrap();
    store.append(&written[..5]).unwrap();
    store.append(&written[5..]).unwrap();
    assert!(store.acquire(at).unwrap().tail == written);
    drop(store);
    assert!(open().acquire(at).unwrap().tail == written);
}

/// Nothing is a group too, and a batch may be empty.
pub fn empty_groups_and_batches<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let number = hub(&store);
    let (at, owned) = own(&store, number, 0);
    store.append(&[]).unwrap();
    store.append(&[batch(at, owned.epoch, 1, b"")]).unwrap();
    store.flush(&[]).unwrap();
    drop(store);
    assert_eq!(open().acquire(at).unwrap().tail, [batch(at, owned.epoch, 1, b"")]);
}

/// A group with one bad batch leaves nothing behind.
pub fn stale_appends_are_refused_whole<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let number = hub(&store);
    let (a, old) = own(&store, number, 0);
    let (b, other) = own(&store, number, 1);
    let unowned = PartitionRef { hub: number, partition: 2 };
    is_stale(store.append(&[batch(unowned, 1, 1, b"x")]), unowned);
    is_stale(store.append(&[batch(a, old.epoch, 2, b"gap")]), a);
    is_stale(store.append(&[batch(b, other.epoch, 1, b"fine"), batch(a, old.epoch + 1, 1, b"future")]), a);
    store.append(&[batch(a, old.epoch, 1, b"one")]).unwrap();
    is_stale(store.append(&[batch(b, other.epoch, 1, b"fine"), batch(a, old.epoch, 1, b"again")]), a);
    let new = store.acquire(a).unwrap();
    is_stale(store.append(&[batch(b, other.epoch, 1, b"fine"), batch(a, old.epoch, 2, b"fenced")]), a);
    let group = [
        batch(b, other.epoch, 1, b"fine"),
        batch(a, new.epoch, 2, b"two"),
        batch(b, other.epoch, 2, b"fine"),
        batch(b, other.epoch, 4, b"gap"),
    ];
    is_stale(store.append(&group), b);
    store.append(&group[..3]).unwrap();
    drop(store);
    let store = open();
    assert_eq!(store.acquire(a).unwrap().tail.len(), 2);
    assert_eq!(store.acquire(b).unwrap().tail, [group[0].clone(), group[2].clone()]);
}

/// Every acquisition has a greater epoch than all before it, across openings too.
pub fn epochs_grow<S: Store>(open: impl Fn() -> S) {
    let mut newest = 0;
    let mut number = None;
    for _ in 0..3 {
        let store = open();
        let number = *number.get_or_insert_with(|| hub(&store));
        for _ in 0..3 {
            let (_, owned) = own(&store, number, 3);
            assert!(owned.epoch > newest);
            newest = owned.epoch;
        }
    }
}

/// Rows of all kinds come back as they were.
pub fn rows_survive<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let number = hub(&store);
    let (at, owned) = own(&store, number, 2);
    store.append(&[batch(at, owned.epoch, 1, b"one"), batch(at, owned.epoch, 2, b"two")]).unwrap();
    let (execution, chunk) =
        (ExecutionId(u128::MAX - 1), HistoryChunk { events: vec![event("c"), event("d")] });
    let row = instance_row("größe/ü", execution);
    let partition = PartitionRow {
        position: 1,
        time: Timestamp { seconds: -3, nanos: 999_999_999 },
        received: [(1, 10), (3, 30)].into(),
        sent: [(0, 5)].into(),
        outbox: vec![Message { from: 2, to: 0, sequence: 5, instance_id: "x".into(), body: None }],
        census: Some(Census { by_status: [(0, 2), (1, 1_000_000)].into() }),
    };
    let rows = PartitionRows {
        partition: partition.clone(),
        instances: vec![
            InstanceRows {
                id: InstanceId::trusted("größe/ü"),
                row: Some(row.clone()),
                chunks: vec![(0, chunk.clone()), (1, HistoryChunk::default())],
                dropped: Vec::new(),
                active: true,
            },
            InstanceRows {
                id: InstanceId::trusted("a"),
                row: Some(instance_row("a", ExecutionId(1))),
                chunks: Vec::new(),
                dropped: Vec::new(),
                active: false,
            },
        ],
        entities: Vec::new(),
        timers_added: Vec::new(),
        timers_removed: Vec::new(),
    };
    store.flush(&[(at, rows)]).unwrap();
    let check = |store: &S, found: Recovered| {
        assert_eq!(found.row.as_ref(), Some(&partition));
        assert_eq!(found.active, [InstanceId::trusted("größe/ü")]);
        assert_eq!(found.tail, [batch(at, owned.epoch, 2, b"two")]);
        assert_eq!(store.instance(at, "größe/ü").unwrap().as_ref(), Some(&row));
        assert_eq!(store.instance(at, "größe").unwrap(), None);
        assert_eq!(store.instance(PartitionRef { partition: 1, ..at }, "größe/ü").unwrap(), None);
        assert_eq!(store.chunk(at, execution, 0).unwrap().as_ref(), Some(&chunk));
        assert_eq!(store.chunk(at, execution, 1).unwrap(), Some(HistoryChunk::default()));
        assert_eq!(store.chunk(at, execution, 2).unwrap(), None);
        assert_eq!(store.chunk(at, ExecutionId(1), 0).unwrap(), None);
    };
    check(&store, store.acquire(at).unwrap());
    drop(store);
    let store = open();
    check(&store, store.acquire(at).unwrap());
}

/// Rows, chunks of executions that are over, and active marks can be removed.
pub fn rows_can_go<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let number = hub(&store);
    let (at, owned) = own(&store, number, 0);
    let (first, second) = (ExecutionId(1), ExecutionId(2));
    let chunk = |n: u32| (n, HistoryChunk { events: vec![event(&n.to_string())] });
    let change = |row: Option<InstanceRow>, chunks, dropped: &[ExecutionId], active| InstanceRows {
        id: InstanceId::trusted("i"),
        row,
        chunks,
        dropped: dropped.to_vec(),
        active,
    };
    let steps = [
        change(Some(instance_row("i", first)), vec![chunk(0), chunk(1)], &[], true),
        change(Some(instance_row("i", second)), vec![chunk(0)], &[first], false),
        change(None, Vec::new(), &[second], false),
    ];
    let expected = [(true, 2, 0, 1), (true, 0, 1, 0), (false, 0, 0, 0)];
    for (step, (there, of_first, of_second, active)) in steps.into_iter().zip(expected) {
        let position = store.acquire(at).unwrap().row.map_or(0, |r| r.position) + 1;
        let epoch = store.acquire(at).unwrap().epoch;
        assert!(epoch > owned.epoch);
        store.append(&[batch(at, epoch, position, b"x")]).unwrap();
        store.flush(&[(at, PartitionRows { instances: vec![step], ..rows_at(position) })]).unwrap();
        assert_eq!(store.instance(at, "i").unwrap().is_some(), there);
        let count = |e| (0..5).filter(|n| store.chunk(at, e, *n).unwrap().is_some()).count();
        assert_eq!((count(first), count(second)), (of_first, of_second));
        assert_eq!(store.acquire(at).unwrap().active.len(), active);
    }
}

/// Timers come back in order; added and removed ones don't mix between partitions.
pub fn timers_are_ordered<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let number = hub(&store);
    let mut timers = Vec::new();
    for due_millis in [5, -70, 0, i64::MAX, 1 << 40] {
        for id in ["b", "a", "aa"] {
            for timer_id in [3, TimerKey::START, 70_000] {
                timers.push(TimerKey { due_millis, instance: InstanceId::trusted(id), timer_id });
            }
        }
    }
    for partition in [0, 1] {
        let (at, owned) = own(&store, number, partition);
        store.append(&[batch(at, owned.epoch, 1, b"1"), batch(at, owned.epoch, 2, b"2")]).unwrap();
        store.flush(&[(at, PartitionRows { timers_added: timers.clone(), ..rows_at(1) })]).unwrap();
    }
    let (gone, mut kept): (Vec<_>, Vec<_>) = timers.iter().cloned().partition(|t| t.timer_id == 3);
    let at = PartitionRef { hub: number, partition: 0 };
    store.flush(&[(at, PartitionRows { timers_removed: gone, ..rows_at(2) })]).unwrap();
    kept.sort();
    timers.sort();
    drop(store);
    let store = open();
    assert_eq!(own(&store, number, 0).1.timers, kept);
    assert_eq!(own(&store, number, 1).1.timers, timers);
}

/// What the tables reflect is no longer in the tail.
pub fn flushes_shorten_the_tail<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let number = hub(&store);
    let owned: Vec<_> = (0..3).map(|p| own(&store, number, p)).collect();
    for n in 1..=10 {
        let group: Vec<_> = owned.iter().map(|(at, o)| batch(*at, o.epoch, n, b"record")).collect();
        store.append(&group).unwrap();
    }
    store.flush(&[(owned[0].0, rows_at(10)), (owned[1].0, rows_at(4))]).unwrap();
    assert!(store.stats().flushes >= 1);
    let tails = |store: &S| {
        owned
            .iter()
            .map(|(at, _)| store.acquire(*at).unwrap().tail.iter().map(|b| b.position).collect())
            .collect()
    };
    let expected: Vec<Vec<u64>> = vec![vec![], (5..=10).collect(), (1..=10).collect()];
    let found: Vec<Vec<u64>> = tails(&store);
    assert_eq!(found, expected);
    drop(store);
    let store = open();
    let found: Vec<Vec<u64>> = tails(&store);
    assert_eq!(found, expected);
    let (at, owned) = own(&store, number, 0);
    is_stale(store.append(&[batch(at, owned.epoch, 1, b"old")]), at);
    store.append(&[batch(at, owned.epoch, 11, b"next")]).unwrap();
}

/// Tables never reflect what the log does not hold, nor go back.
pub fn flushes_must_follow_the_log<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let number = hub(&store);
    let (at, owned) = own(&store, number, 0);
    store.append(&[batch(at, owned.epoch, 1, b"1"), batch(at, owned.epoch, 2, b"2")]).unwrap();
    assert!(store.flush(&[(at, rows_at(3))]).is_err());
    store.flush(&[(at, rows_at(2))]).unwrap();
    assert!(store.flush(&[(at, rows_at(1))]).is_err());
    assert_eq!(store.acquire(at).unwrap().row.unwrap().position, 2);
}

/// A log whose batches are all flushed takes no room; the partition that pins it is named.
pub fn flushed_logs_are_trimmed<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let number = hub(&store);
    let (lazy, lazy_owned) = own(&store, number, 0);
    let (busy, busy_owned) = own(&store, number, 1);
    assert_eq!(store.log_usage().oldest, None);
    store.append(&[batch(lazy, lazy_owned.epoch, 1, &[1; 500])]).unwrap();
    for n in 1..=200 {
        store.append(&[batch(busy, busy_owned.epoch, n, &[2; 5000])]).unwrap();
        store.flush(&[(busy, rows_at(n))]).unwrap();
    }
    let usage = store.log_usage();
    assert_eq!(usage.oldest, Some(lazy));
    assert!(usage.untrimmed_bytes >= 1_000_000, "{usage:?}");
    store.flush(&[(lazy, rows_at(1))]).unwrap();
    let usage = store.log_usage();
    assert_eq!((usage.oldest, usage.untrimmed_bytes), (None, 0));
    drop(store);
    let store = open();
    assert_eq!(store.log_usage().untrimmed_bytes, 0);
    let (busy, owned) = own(&store, number, 1);
    assert_eq!((owned.row.unwrap().position, owned.tail.len()), (200, 0));
    store.append(&[batch(busy, owned.epoch, 201, b"next")]).unwrap();
}

/// One append, one sync, however many batches; trailers and flushes don't count.
pub fn one_sync_for_each_group<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let number = hub(&store);
    let owned: Vec<_> = (0..4).map(|p| own(&store, number, p)).collect();
    let before = store.stats();
    for n in 1..=5 {
        let group: Vec<_> = owned.iter().map(|(at, o)| batch(*at, o.epoch, n, &[0; 100])).collect();
        store.append(&group).unwrap();
        store.idle().unwrap();
        store.idle().unwrap();
        store.flush(&[(owned[0].0, rows_at(n))]).unwrap();
    }
    let after = store.stats();
    assert_eq!(after.log_syncs - before.log_syncs, 5);
    assert!(after.log_bytes - before.log_bytes >= 5 * 4 * 100);
}

/// After closing nothing more is accepted, and everything is there.
pub fn closed_stores_refuse<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let number = hub(&store);
    let (at, owned) = own(&store, number, 0);
    store.append(&[batch(at, owned.epoch, 1, b"1")]).unwrap();
    store.close().unwrap();
    assert!(store.append(&[batch(at, owned.epoch, 2, b"2")]).is_err());
    assert!(store.flush(&[(at, rows_at(1))]).is_err());
    assert!(store.create_hub("more", 1).is_err());
    assert!(store.idle().is_err());
    drop(store);
    let store = open();
    assert_eq!(store.acquire(at).unwrap().tail.len(), 1);
    store.close().unwrap();
}
