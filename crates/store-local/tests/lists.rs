//! Lists against a model that looks at everything, over random changes, openings and deletions of hubs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use strandline_hub::Instance;
use strandline_hub::query::{Cursor, InstanceQuery, Order};
use strandline_hub::row::{InstanceRow, InstanceRows, PartitionRow, PartitionRows};
use strandline_model::{
    EventKind, ExecutionStarted, HistoryEvent, InstanceId, RuntimeStatus, Timestamp, partition_of,
};
use strandline_store::disk::MemoryDisk;
use strandline_store::{Batch, Budget, PartitionRef, Scan, Store};
use strandline_store_local::{LocalOptions, LocalStore};

const PARTITIONS: u16 = 3;
const NAMES: [&str; 3] = ["Order", "Orders", ""];
const STATUSES: [RuntimeStatus; 4] =
    [RuntimeStatus::Completed, RuntimeStatus::Running, RuntimeStatus::Failed, RuntimeStatus::Pending];

/// One instance: status, name and creation time.
type Facts = (usize, usize, i64);

#[derive(Clone, Debug)]
enum Step {
    /// Instances by number; `None` removes the row.
    Flush(Vec<(u8, Option<Facts>)>),
    Reopen,
    /// The hub goes, and another takes its name.
    Renew,
    Idle,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let facts = prop::option::weighted(0.8, (0..STATUSES.len(), 0..NAMES.len(), -2..3i64));
    let flush = prop::collection::vec((0..24u8, facts), 1..12).prop_map(Step::Flush);
    prop::collection::vec(
        prop_oneof![8 => flush, 2 => Just(Step::Reopen), 1 => Just(Step::Renew), 1 => Just(Step::Idle)],
        1..16,
    )
}

fn queries() -> impl Strategy<Value = InstanceQuery> {
    let time = || prop::option::of((-2..4i64).prop_map(|s| Timestamp { seconds: s, nanos: 0 }));
    let statuses = prop::collection::btree_set(prop::sample::select(STATUSES.to_vec()), 0..3);
    let name = prop::option::of(prop::sample::select(NAMES.map(str::to_owned).to_vec()));
    let prefix = prop::option::weighted(0.3, prop::sample::select(vec!["", "i", "i-1", "x"]));
    let order = prop::option::of(prop::sample::select(vec![Order::Created, Order::Id, Order::Completed]));
    // Of a list in the order of completion, both times are about that.
    (statuses, name, time(), time(), prefix, order).prop_map(
        |(statuses, name, from, to, prefix, order_by)| {
            let id_prefix = prefix.map(str::to_owned);
            let query = InstanceQuery { statuses, name, id_prefix, order_by, ..InstanceQuery::default() };
            match order_by {
                Some(Order::Completed) => InstanceQuery { completed_from: from, completed_to: to, ..query },
                _ => InstanceQuery { created_from: from, created_to: to, ..query },
            }
        },
    )
}

fn row(id: &str, (status, name, created): Facts) -> InstanceRow {
    let created = Timestamp { seconds: created, nanos: 0 };
    let started = ExecutionStarted { name: NAMES[name].into(), ..ExecutionStarted::default() };
    let over = STATUSES[status].is_terminal().then(|| {
        use strandline_model::ExecutionCompleted;
        let end = ExecutionCompleted { status: STATUSES[status].into(), ..ExecutionCompleted::default() };
        // Not in the order of creation.
        let ended = Timestamp { seconds: created.seconds + name as i64, nanos: 0 };
        HistoryEvent::new(ended, EventKind::ExecutionCompleted(Box::new(end)))
    });
    InstanceRow {
        id: id.into(),
        execution_id: vec![0; 16],
        status: STATUSES[status].into(),
        created,
        started: HistoryEvent::new(created, EventKind::ExecutionStarted(Box::new(started))),
        ended: over,
        pending: STATUSES[status] == RuntimeStatus::Pending,
        ..InstanceRow::default()
    }
}

struct World {
    disk: MemoryDisk,
    store: Option<LocalStore>,
    hub: u32,
    position: u64,
    model: BTreeMap<String, Facts>,
}

impl World {
    fn new() -> Self {
        let disk = MemoryDisk::new();
        let mut world = Self { disk, store: None, hub: 0, position: 0, model: BTreeMap::new() };
        world.open();
        world.hub = world.store().create_hub("h", PARTITIONS).unwrap().number;
        world
    }

    fn open(&mut self) {
        self.store = None;
        let options = LocalOptions::simulated(1);
        self.store = Some(LocalStore::open_on(Arc::new(self.disk.clone()), options).unwrap());
    }

    fn store(&self) -> &LocalStore {
        self.store.as_ref().unwrap()
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Reopen => self.open(),
            Step::Idle => self.store().idle().unwrap(),
            Step::Renew => {
                self.store().delete_hub("h").unwrap();
                self.hub = self.store().create_hub("h", PARTITIONS).unwrap().number;
                self.position = 0;
                self.model.clear();
            }
            Step::Flush(changes) => self.flush(changes),
        }
    }

    fn flush(&mut self, changes: Vec<(u8, Option<Facts>)>) {
        let changes: BTreeMap<String, Option<Facts>> =
            changes.into_iter().map(|(n, facts)| (format!("i-{n}"), facts)).collect();
        self.position += 1;
        let mut all = Vec::new();
        for partition in 0..PARTITIONS {
            let at = PartitionRef { hub: self.hub, partition };
            let epoch = self.store().acquire(at).unwrap().epoch;
            let time = Timestamp::EPOCH;
            let batch = Batch { at, epoch, position: self.position, time, records: vec![1] };
            self.store().append(&[batch]).unwrap();
            let here = changes.iter().filter(|(id, _)| partition_of(id, PARTITIONS) == partition);
            let instances = here.map(|(id, facts)| InstanceRows {
                id: InstanceId::trusted(id.as_str()),
                row: facts.map(|facts| row(id, facts)),
                chunks: Vec::new(),
                dropped: Vec::new(),
                active: false,
            });
            let partition = PartitionRow { position: self.position, ..PartitionRow::default() };
            let (instances, timers_added, timers_removed) = (instances.collect(), Vec::new(), Vec::new());
            let entities = Vec::new();
            all.push((at, PartitionRows { partition, instances, entities, timers_added, timers_removed }));
        }
        self.store().flush(&all).unwrap();
        for (id, facts) in changes {
            match facts {
                Some(facts) => self.model.insert(id, facts),
                None => self.model.remove(&id),
            };
        }
    }

    /// The ids a query means, by looking at every instance.
    fn expected(&self, query: &InstanceQuery) -> Vec<String> {
        let instances = self.model.iter().map(|(id, facts)| Instance::from_row(row(id, *facts)));
        let mut found: Vec<(Cursor, String)> = instances
            .filter(|i| query.matches(&i.facts()))
            .map(|i| (query.place_of(&i), i.id.to_string()))
            .collect();
        found.sort();
        found.into_iter().map(|(_, id)| id).collect()
    }

    fn check(&self, query: &InstanceQuery, rows: usize, limit: usize) {
        let (hidden, budget) = (BTreeSet::new(), Budget { rows, ..Budget::UNLIMITED });
        let scan = Scan { hub: self.hub, query, after: None, hidden: &hidden, budget };
        let (mut ids, mut after) = (Vec::new(), None);
        loop {
            let page = self.store().list(&Scan { after: after.as_ref(), ..scan }, limit).unwrap();
            ids.extend(page.items.iter().map(|i| i.id.to_string()));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(ids, self.expected(query), "{query:?}");
        let all = Scan { budget: Budget { rows: usize::MAX, ..Budget::UNLIMITED }, ..scan };
        assert_eq!(self.store().count(&all).unwrap().instances, ids.len() as u64, "{query:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn lists_find_what_is_there(
        steps in steps(),
        queries in prop::collection::vec(queries(), 4),
        rows in 1..8usize,
        limit in 1..6usize,
    ) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
            for query in &queries {
                world.check(query, rows, limit);
            }
        }
    }
}

/// A page costs what is on it, however much ended in other ways or before.
#[test]
fn what_ended_is_found_without_looking_at_the_rest() {
    let mut world = World::new();
    let failed = |n: u8| n % 8 == 1;
    let flush = (0..24).map(|n| (n, Some((if failed(n) { 2 } else { 0 }, 0, i64::from(n)))));
    world.step(Step::Flush(flush.collect()));
    let from = Timestamp { seconds: 5, nanos: 0 };
    let query = InstanceQuery {
        statuses: [RuntimeStatus::Failed].into(),
        completed_from: Some(from),
        order_by: Some(Order::Completed),
        ..InstanceQuery::default()
    };
    let (hidden, budget) = (BTreeSet::new(), Budget { rows: 2, ..Budget::UNLIMITED });
    let scan = Scan { hub: world.hub, query: &query, after: None, hidden: &hidden, budget };
    let page = world.store().list(&scan, 2).unwrap();
    let ended: Vec<i64> = page.items.iter().map(|i| i.completed().unwrap().seconds).collect();
    assert_eq!(ended, [9, 17]);
}
