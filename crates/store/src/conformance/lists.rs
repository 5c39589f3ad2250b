//! Lists and counts say what the rows say.

use std::collections::{BTreeMap, BTreeSet};

use strandline_hub::Instance;
use strandline_hub::query::{Cursor, InstanceQuery, Order};
use strandline_hub::row::{InstanceRow, InstanceRows, PartitionRows};
use strandline_model::{
    EventKind, ExecutionCompleted, ExecutionStarted, HistoryEvent, InstanceId, ParentInstance, RuntimeStatus,
    Timestamp, partition_of,
};

use super::{batch, own, rows_at};
use crate::{Budget, PartitionRef, Scan, Store};

const PARTITIONS: u16 = 5;

/// What a test says of an instance; everything else of its row follows.
#[derive(Clone, Debug)]
struct Told {
    created: i64,
    status: RuntimeStatus,
    name: &'static str,
    completed: Option<i64>,
    tag: Option<&'static str>,
    parent: Option<&'static str>,
}

fn row(id: &str, told: &Told) -> InstanceRow {
    let parent = told.parent.map(|p| ParentInstance { instance_id: p.into(), ..ParentInstance::default() });
    let started = ExecutionStarted {
        name: told.name.into(),
        input: Some("{}".into()),
        parent,
        tags: told.tag.map(|t| ("team".to_owned(), t.to_owned())).into_iter().collect(),
        ..ExecutionStarted::default()
    };
    let created = Timestamp::from_millis(told.created);
    let ended = told.completed.map(|at| {
        let end = ExecutionCompleted { status: told.status.into(), ..ExecutionCompleted::default() };
        HistoryEvent::new(Timestamp::from_millis(at), EventKind::ExecutionCompleted(Box::new(end)))
    });
    InstanceRow {
        id: id.into(),
        execution_id: vec![0; 16],
        status: told.status.into(),
        created,
        started: HistoryEvent::new(created, EventKind::ExecutionStarted(Box::new(started))),
        ended,
        suspended: told.status == RuntimeStatus::Suspended,
        pending: told.status == RuntimeStatus::Pending,
        ..InstanceRow::default()
    }
}

/// Forty instances of which many share their creation time, in a different state for each `round`.
fn population(round: i64) -> BTreeMap<String, Told> {
    use RuntimeStatus::{Completed, Failed, Pending, Running, Suspended, Terminated};
    let told = |n: i64| {
        let status = [Completed, Running, Failed, Pending, Suspended, Terminated][((n + round) % 6) as usize];
        Told {
            // Before and after the epoch.
            created: (n % 7 - 3) * 1000,
            status,
            name: ["Order", "Orders", "", "größer"][(n % 4) as usize],
            completed: status.is_terminal().then_some((n % 7 - 3) * 1000 + 500 * (n % 3)),
            tag: (n % 2 == 0).then_some(["blue", "red"][(n % 4 / 2) as usize]),
            parent: (n % 5 == 0).then_some("order-1"),
        }
    };
    (0..40).map(|n| (format!("order-{}", n * 7), told(n))).collect()
}

fn queries() -> Vec<InstanceQuery> {
    use RuntimeStatus::{Completed, Failed, Running};
    let all = InstanceQuery::default;
    let by_completed = || InstanceQuery { order_by: Some(Order::Completed), ..all() };
    let at = |millis| Some(Timestamp::from_millis(millis));
    vec![
        all(),
        InstanceQuery { statuses: [Running].into(), ..all() },
        InstanceQuery { statuses: [Running, Failed, Completed].into(), ..all() },
        InstanceQuery { name: Some("Order".into()), ..all() },
        InstanceQuery { name: Some(String::new()), ..all() },
        InstanceQuery { name: Some("Order".into()), statuses: [Failed].into(), ..all() },
        InstanceQuery { name: Some("Order".into()), statuses: [Completed].into(), ..all() },
        InstanceQuery { name: Some("order".into()), ..all() },
        InstanceQuery { created_from: at(-1000), created_to: at(2000), ..all() },
        InstanceQuery { created_from: at(2000), created_to: at(-1000), ..all() },
        InstanceQuery { created_from: at(1001), name: Some("Orders".into()), ..all() },
        InstanceQuery { completed_from: at(0), ..all() },
        InstanceQuery { completed_to: at(500), statuses: [Completed, Running].into(), ..all() },
        InstanceQuery { id_prefix: Some("order-1".into()), ..all() },
        InstanceQuery { id_prefix: Some(String::new()), statuses: [Running].into(), ..all() },
        InstanceQuery { id_prefix: Some("order-7".into()), ..all() },
        InstanceQuery { tags: [("team".to_owned(), "blue".to_owned())].into(), ..all() },
        InstanceQuery { tags: [("Team".to_owned(), "blue".to_owned())].into(), ..all() },
        InstanceQuery { parent: Some(InstanceId::trusted("order-1")), ..all() },
        InstanceQuery { id_prefix: Some("order-1".into()), order_by: Some(Order::Created), ..all() },
        InstanceQuery { statuses: [Failed].into(), order_by: Some(Order::Id), ..all() },
        by_completed(),
        InstanceQuery { statuses: [Failed, Completed].into(), ..by_completed() },
        InstanceQuery { statuses: [Running].into(), ..by_completed() },
        InstanceQuery { completed_from: at(0), completed_to: at(2500), ..by_completed() },
        InstanceQuery { completed_from: at(500), completed_to: at(500), ..by_completed() },
        InstanceQuery { completed_to: at(0), statuses: [Failed].into(), ..by_completed() },
        InstanceQuery { completed_from: at(0), created_to: at(2000), ..by_completed() },
        InstanceQuery { name: Some("Order".into()), ..by_completed() },
        InstanceQuery { id_prefix: Some("order-1".into()), ..by_completed() },
        InstanceQuery { tags: [("team".to_owned(), "blue".to_owned())].into(), ..by_completed() },
    ]
}

/// Ids in the order of the query, by looking at every row.
fn expected(
    query: &InstanceQuery,
    told: &BTreeMap<String, Told>,
    hidden: &BTreeSet<InstanceId>,
) -> Vec<String> {
    let instances = told.iter().map(|(id, told)| Instance::from_row(row(id, told)));
    let mut found: Vec<(Cursor, String)> = instances
        .filter(|i| query.matches(&i.facts()) && !hidden.contains(&i.id))
        .map(|i| (query.place_of(&i), i.id.to_string()))
        .collect();
    found.sort();
    found.into_iter().map(|(_, id)| id).collect()
}

/// Reads a list to its end in pages.
fn listed<S: Store>(store: &S, scan: Scan<'_>, limit: usize) -> Vec<String> {
    let mut ids = Vec::new();
    let mut after: Option<Cursor> = None;
    loop {
        let page = store.list(&Scan { after: after.as_ref(), ..scan }, limit).unwrap();
        assert!(page.items.len() <= limit);
        ids.extend(page.items.iter().map(|i| i.id.to_string()));
        match page.next {
            Some(next) => {
                assert!(after.is_none_or(|after| after < next), "a page gets further");
                after = Some(next);
            }
            None => return ids,
        }
    }
}

fn counted<S: Store>(store: &S, scan: Scan<'_>) -> u64 {
    let mut sum = 0;
    let mut after: Option<Cursor> = None;
    loop {
        let count = store.count(&Scan { after: after.as_ref(), ..scan }).unwrap();
        sum += count.instances;
        match count.next {
            Some(next) => after = Some(next),
            None => return sum,
        }
    }
}

fn check<S: Store>(store: &S, hub: u32, told: &BTreeMap<String, Told>, rows: usize) {
    let some = told.keys().step_by(3).map(|id| InstanceId::trusted(id.as_str())).collect();
    for hidden in [BTreeSet::new(), some] {
        for query in queries() {
            let budget = Budget { rows, ..Budget::UNLIMITED };
            let scan = Scan { hub, query: &query, after: None, hidden: &hidden, budget };
            let expected = expected(&query, told, &hidden);
            for limit in [1, 7, 1000] {
                assert_eq!(listed(store, scan, limit), expected, "{query:?} in pages of {limit}");
            }
            // Each page holds one at least, however large.
            let budget = Budget { bytes: 1, ..budget };
            assert_eq!(listed(store, Scan { budget, ..scan }, 7), expected, "{query:?} in small pages");
            assert_eq!(counted(store, scan), expected.len() as u64, "{query:?}");
        }
    }
}

/// Writes the difference between two populations.
fn write<S: Store>(
    store: &S,
    hub: u32,
    position: u64,
    old: &BTreeMap<String, Told>,
    new: &BTreeMap<String, Told>,
) {
    let mut by_partition: BTreeMap<u16, Vec<InstanceRows>> =
        (0..PARTITIONS).map(|p| (p, Vec::new())).collect();
    for id in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
        by_partition.entry(partition_of(id, PARTITIONS)).or_default().push(InstanceRows {
            id: InstanceId::trusted(id.as_str()),
            row: new.get(id).map(|told| row(id, told)),
            chunks: Vec::new(),
            dropped: Vec::new(),
            active: false,
        });
    }
    let mut rows = Vec::new();
    for (partition, instances) in by_partition {
        let (at, owned) = own(store, hub, partition);
        store.append(&[batch(at, owned.epoch, position, b"x")]).unwrap();
        rows.push((at, PartitionRows { instances, ..rows_at(position) }));
    }
    store.flush(&rows).unwrap();
}

fn some_of(population: &BTreeMap<String, Told>) -> BTreeMap<String, Told> {
    population.iter().step_by(2).map(|(id, told)| (id.clone(), told.clone())).collect()
}

/// Whatever is written, changed and removed, lists and counts find what the rows say, also when the store
/// is opened anew.
pub fn lists_agree_with_the_rows<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let hub = store.create_hub("default", PARTITIONS).unwrap().number;
    let nothing = BTreeMap::new();
    check(&store, hub, &nothing, 1000);
    let mut last = nothing;
    let steps = [population(0), population(1), some_of(&population(1)), population(2), BTreeMap::new()];
    for (step, new) in steps.into_iter().enumerate() {
        write(&store, hub, step as u64 + 1, &last, &new);
        check(&store, hub, &new, 1000);
        last = new;
    }
    write(&store, hub, 6, &last, &population(3));
    drop(store);
    check(&open(), hub, &population(3), 1000);
}

/// However little a scan may look at, it gets further, and in the end finds everything.
pub fn short_budgets_get_to_the_end<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let hub = store.create_hub("default", PARTITIONS).unwrap().number;
    write(&store, hub, 1, &BTreeMap::new(), &population(0));
    for rows in [0, 1, 3] {
        check(&store, hub, &population(0), rows);
    }
    let none = InstanceQuery { parent: Some(InstanceId::trusted("nobody")), ..InstanceQuery::default() };
    let (hidden, budget) = (BTreeSet::new(), Budget { rows: 10, ..Budget::UNLIMITED });
    let scan = Scan { hub, query: &none, after: None, hidden: &hidden, budget };
    let page = store.list(&scan, 100).unwrap();
    assert!(page.items.is_empty() && page.next.is_some(), "an empty page says where it stopped");
}

/// Hubs do not see each other's instances.
pub fn lists_stay_in_their_hub<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let hubs = ["a", "b", "c"].map(|name| store.create_hub(name, PARTITIONS).unwrap().number);
    for (round, hub) in hubs.into_iter().enumerate() {
        write(&store, hub, 1, &BTreeMap::new(), &population(round as i64));
    }
    for (round, hub) in hubs.into_iter().enumerate() {
        check(&store, hub, &population(round as i64), 1000);
    }
}

/// A deleted hub has no lists; a new one of its name begins empty, while the rows of the old one go.
pub fn deleted_hubs_are_not_listed<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let (query, hidden) = (InstanceQuery::default(), BTreeSet::new());
    let scan = |hub| Scan { hub, query: &query, after: None, hidden: &hidden, budget: Budget::default() };
    let old = store.create_hub("default", PARTITIONS).unwrap().number;
    let kept = store.create_hub("kept", PARTITIONS).unwrap().number;
    write(&store, old, 1, &BTreeMap::new(), &population(0));
    write(&store, kept, 1, &BTreeMap::new(), &population(1));
    store.delete_hub("default").unwrap();
    assert!(store.list(&scan(old), 10).is_err());
    assert!(store.count(&scan(old)).is_err());
    let new = store.create_hub("default", PARTITIONS).unwrap().number;
    for _ in 0..10 {
        store.idle().unwrap();
        check(&store, new, &BTreeMap::new(), 1000);
    }
    write(&store, new, 1, &BTreeMap::new(), &population(2));
    drop(store);
    let store = open();
    check(&store, new, &population(2), 1000);
    check(&store, kept, &population(1), 1000);
    let at = PartitionRef { hub: new, partition: 0 };
    assert!(store.acquire(at).is_ok());
}

/// The secret stays what it is.
pub fn secrets_are_kept<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let secret = store.secret().unwrap();
    assert_ne!(secret, [0; 32]);
    drop(store);
    assert_eq!(open().secret().unwrap(), secret);
}
