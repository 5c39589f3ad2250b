//! Beginnings and ends of nodes: crashes, faults, recovery, and other owners.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use strandline_engine::dispatch::Dispatcher;
use strandline_engine::pipeline::{Counters, Pipeline, Served};
use strandline_hub::Discard;
use strandline_store::disk::LossyDisk;
use strandline_store::{PartitionRef, Recovered, Store, StoreError};
use strandline_store_local::LocalStore;

use crate::Violation;
use crate::mutants::Mutant;
use crate::node::{Node, Ticket};
use crate::program::ORCHESTRATORS;
use crate::remote::Remote;
use crate::watched_disk::WatchedDisk;
use crate::world::World;

const DAY: u64 = 86_400_000;

impl World {
    /// A power cut, or the end of the process alone.
    pub(crate) fn crash(&mut self) -> Result<(), Violation> {
        let power = !self.chance.one_in(3);
        self.go_down(power);
        self.boot()
    }

    pub(crate) fn start_over_if_broken(&mut self) -> Result<(), Violation> {
        if self.broken { self.crash() } else { Ok(()) }
    }

    fn go_down(&mut self, power: bool) {
        self.trace.tell(|| format!("{} crash, {:?}", if power { "power" } else { "process" }, self.doing));
        self.coverage.hit(if power { "crash/power" } else { "crash/kill" });
        self.disk = if power { self.disk.reboot() } else { self.disk.restart() };
        self.end_node();
        self.ghost.clear();
        self.faulty = false;
        let millis = self.chance.below(DAY) as i128;
        match self.chance.below(4) {
            0 => {
                self.coverage.hit("clock/forward at restart");
                self.wall += millis * 1_000_000;
            }
            1 => {
                self.coverage.hit("clock/back at restart");
                self.wall -= millis * 1_000_000;
            }
            _ => {}
        }
    }

    /// Everything in memory is gone; some workers live elsewhere and go on.
    fn end_node(&mut self) {
        if let Some(node) = self.node.take() {
            for (hub, remote) in &node.remote {
                remote.out().for_each(|token| self.remember_token(*hub, token));
            }
            self.coverage.add("entity/batch lost with the node", node.batches.len() as u64);
            let mut counters = Counters::default();
            node.pipelines.values().for_each(|p| counters.add(p.counters()));
            self.count(&counters);
        }
        self.broken = false;
        self.worker.clear();
        self.waits.clear();
        let chance = &mut self.chance;
        self.activities.retain(|_| chance.one_in(2));
        self.activities.iter_mut().for_each(|work| work.survived = true);
    }

    pub(crate) fn count(&mut self, counters: &Counters) {
        let coverage = &mut self.coverage;
        coverage.add("pipeline/evicted", counters.evicted);
        coverage.add("pipeline/loaded", counters.loaded);
        coverage.add("pipeline/replayed", counters.replays);
        for (discard, count) in &counters.discarded {
            let name = match discard {
                Discard::StaleTurn => "discard/stale turn",
                Discard::LateResult => "discard/late result",
                Discard::UnknownTarget => "discard/unknown target",
                Discard::TargetOver => "discard/target over",
                Discard::DuplicateMessage => "discard/duplicate message",
                // The auditor would have found its timer in the index without an open task.
                Discard::LateTimer => continue,
                Discard::InvalidAction => "discard/invalid action",
                Discard::IdTaken => "discard/id taken",
            };
            coverage.add(name, *count);
        }
        for (name, count) in
            [("log/segment recycled", &self.sightings.recycled), ("log/trimmed", &self.sightings.trimmed)]
        {
            coverage.add(name, count.swap(0, Ordering::Relaxed));
        }
    }

    /// Opens the store and takes all partitions over, through as many crashes as it takes.
    pub(crate) fn boot(&mut self) -> Result<(), Violation> {
        for attempt in 0.. {
            if self.knobs.crash_every > 0 && attempt < 4 && self.chance.one_in(4) {
                self.disk.crash_at(1 + self.chance.below(60));
            }
            let opened = self.open().and_then(|store| self.take_over(store));
            match opened {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(violation)) => return Err(violation),
                Err(error) if self.disk.is_crashed() => {
                    self.trace.tell(|| format!("crash in recovery: {error}"));
                    self.coverage.hit("crash/in recovery");
                    self.go_down(true);
                }
                Err(StoreError::Full(_)) => {
                    self.disk.set_capacity(None);
                    self.go_down(false);
                }
                Err(error) => return Err(format!("the store can't be opened: {error}")),
            }
        }
        Ok(())
    }

    fn open(&self) -> Result<Arc<LocalStore>, StoreError> {
        let disk = WatchedDisk { disk: self.disk.clone(), sightings: self.sightings.clone() };
        Ok(Arc::new(LocalStore::open_on(Arc::new(disk), self.knobs.store.clone())?))
    }

    fn take_over(&mut self, store: Arc<LocalStore>) -> Result<Result<(), Violation>, StoreError> {
        for (index, partitions) in self.knobs.hubs.iter().enumerate() {
            let name = format!("hub{index}");
            let known = store.hubs()?.into_iter().find(|hub| hub.name == name);
            let hub = match known {
                Some(hub) => hub,
                None => store.create_hub(&name, *partitions)?,
            };
            self.hubs.insert(hub.number, hub.partitions);
        }
        let found = acquire_all(&*store, &self.hubs)?;
        self.auditor.now = strandline_model::Timestamp::from_nanos(self.engine.max(self.wall));
        if let Err(violation) = self.auditor.recovered(&found) {
            return Ok(Err(violation));
        }
        let mut node = Node::new(store);
        node.remote = self.dispatchers();
        for (at, recovered) in found {
            let pipeline = self.recover(at, recovered, &*node.store)?;
            node.durable.insert(at, self.auditor.reference.books(at).map_or(0, |b| b.position));
            node.pipelines.insert(at, pipeline);
        }
        let last = node.pipelines.values().map(|p| p.time().as_nanos()).max().unwrap_or(0);
        self.engine = self.wall.max(last);
        self.auditor.now = self.now();
        self.trace.tell(|| format!("a node is up at {}", self.auditor.now));
        let overdue = node.pipelines.values().filter_map(Pipeline::next_due_millis).min();
        let due_now = overdue.is_some_and(|due| i128::from(due) * 1_000_000 < self.engine);
        self.coverage.add("timer/overdue at restart", u64::from(due_now));
        for pipeline in node.pipelines.values() {
            if let Err(violation) = self.auditor.compare(pipeline, &*node.store) {
                return Ok(Err(format!("after recovery: {violation}")));
            }
        }
        self.node = Some(node);
        self.serve(true);
        Ok(if self.awkward { Ok(()) } else { self.connect_good_workers() })
    }

    /// Nobody is connected to a node that begins.
    fn dispatchers(&mut self) -> BTreeMap<u32, Remote> {
        let Some(knobs) = &self.knobs.remote else { return BTreeMap::new() };
        self.auditor.lease_terms(knobs.dispatch.turn_lease, knobs.dispatch.deliveries_max);
        let hubs = self.hubs.keys().map(|hub| {
            let mut dispatcher = Dispatcher::new(knobs.dispatch);
            dispatcher.sabotage(self.mutant.map(Mutant::in_dispatcher).unwrap_or_default());
            (*hub, Remote::new(dispatcher))
        });
        hubs.collect()
    }

    fn recover(
        &self,
        at: PartitionRef,
        found: Recovered,
        store: &dyn Store,
    ) -> Result<Pipeline<Ticket>, StoreError> {
        let mut pipeline = Pipeline::recover(at, self.hubs[&at.hub], self.knobs.pipeline, found, store)?;
        if let Some(mutant) = self.mutant {
            pipeline.sabotage(mutant.in_pipeline());
        }
        Ok(pipeline)
    }

    /// A worker comes or goes.
    pub(crate) fn serve(&mut self, served: bool) {
        self.served = served;
        let here = |name: &&&str| {
            self.knobs.remote.as_ref().is_none_or(|remote| !remote.orchestrators.contains(**name))
        };
        let names: Arc<[String]> = ORCHESTRATORS.iter().filter(here).map(|name| (*name).to_owned()).collect();
        let all_entities = self.knobs.remote.as_ref().is_none_or(|remote| !remote.entities);
        let here = || {
            let here = Served::from(names.clone());
            if all_entities { here } else { here.with_entities([].into()) }
        };
        if let Some(node) = &mut self.node {
            for pipeline in node.pipelines.values_mut() {
                let waiting = pipeline.unserved().count();
                self.coverage.add("pipeline/unserved", waiting as u64);
                pipeline.serve(served.then(here));
            }
        }
        self.withdraw();
    }

    /// Something will go wrong with the disk soon.
    pub(crate) fn arm_fault(&mut self) {
        self.trace.tell(|| "a fault is armed".to_owned());
        match self.chance.below(6) {
            0 | 1 => self.disk.crash_at(1 + self.chance.below(12)),
            2 => {
                self.faulty = true;
                self.coverage.hit("fault/failed write");
                self.disk.fail_write_at(1 + self.chance.below(10));
            }
            3 => {
                self.faulty = true;
                self.coverage.hit("fault/failed sync");
                self.disk.fail_sync_at(1 + self.chance.below(5));
            }
            4 => {
                self.coverage.hit("fault/no space");
                self.disk.set_capacity(Some(self.disk.used() + self.chance.below(24 << 10)));
            }
            _ => self.disk.set_capacity(None),
        }
    }

    /// Another node takes the partitions over. The old one does not know: its batches come later.
    pub(crate) fn usurp(&mut self) -> Result<(), Violation> {
        let at_rest: Vec<PartitionRef> =
            self.node.iter().flat_map(|node| node.pipelines.keys().copied()).collect();
        for at in at_rest {
            self.hand_over(at, true);
        }
        let Some(node) = &self.node else { return Ok(()) };
        self.trace.tell(|| "another node takes over".to_owned());
        self.coverage.hit("fault/usurped");
        let store = node.store.clone();
        self.ghost = node.queue.iter().cloned().collect();
        self.end_node();
        self.doing = "take over";
        match self.take_over(store) {
            Ok(result) => result,
            Err(error) => self.store_failed(&error),
        }
    }

    /// Compares a partition with the reference when all of it is durable.
    pub(crate) fn audit(&mut self) -> Result<(), Violation> {
        let Some(node) = &self.node else { return Ok(()) };
        for pipeline in node.pipelines.values().filter(|p| p.is_durable()) {
            self.auditor.compare(pipeline, &*node.store)?;
        }
        Ok(())
    }

    /// What if the power went now: a copy of the disk goes through that, while this world goes on.
    pub(crate) fn rehearse(&mut self) -> Result<(), Violation> {
        self.rehearse_on(&self.disk.fork().reboot())?;
        self.coverage.hit("audit/rehearsed");
        Ok(())
    }

    fn rehearse_on(&mut self, disk: &LossyDisk) -> Result<(), Violation> {
        disk.set_capacity(None);
        let failed = |error: StoreError| format!("after a power cut here: {error}");
        let disk = Arc::new(disk.clone());
        let store = LocalStore::open_on(disk, self.knobs.store.clone()).map_err(failed)?;
        let found = acquire_all(&store, &self.hubs).map_err(failed)?;
        for (at, recovered) in found {
            let last = recovered.row.as_ref().map_or(0, |r| r.position) + recovered.tail.len() as u64;
            let durable = self.auditor.reference.books(at).map_or(0, |b| b.position);
            if last != durable {
                return Err(format!(
                    "a power cut here leaves {last} batches of {at:?}, durable are {durable}"
                ));
            }
            let pipeline = self.recover(at, recovered, &store).map_err(failed)?;
            self.auditor.compare(&pipeline, &store).map_err(|v| format!("after a power cut here: {v}"))?;
        }
        Ok(())
    }
}

fn acquire_all(
    store: &dyn Store,
    hubs: &BTreeMap<u32, u16>,
) -> Result<Vec<(PartitionRef, Recovered)>, StoreError> {
    let mut found = Vec::new();
    for (hub, partitions) in hubs {
        for partition in 0..*partitions {
            let at = PartitionRef { hub: *hub, partition };
            found.push((at, store.acquire(at)?));
        }
    }
    Ok(found)
}
