//! Random lives of a store on a disk that crashes, fails and fills up.
//!
//! Audited after every crash: each acknowledged batch is there with its content, positions are dense, what
//! was never acknowledged is there whole or not at all and only at the end, and tables never show more
//! than the log held durably.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{COUNTER, Random, batch, rows};
use strandline_store::disk::LossyDisk;
use strandline_store::{Batch, PartitionRef, Store, StoreError};
use strandline_store_local::{LocalOptions, LocalStore, Sabotage};

#[derive(Default)]
struct Model {
    epoch: u64,
    /// Records of every batch that must be there.
    durable: Vec<Vec<u8>>,
    /// Records that were being appended when something failed.
    hoped: Vec<Vec<u8>>,
    flushed: u64,
    /// A flush whose outcome is unknown.
    hoped_flush: u64,
}

struct World {
    random: Random,
    disk: LossyDisk,
    options: LocalOptions,
    hubs: BTreeMap<String, u32>,
    /// A hub whose creation or deletion has an unknown outcome.
    hub_in_doubt: Option<String>,
    partitions: BTreeMap<PartitionRef, Model>,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    lives: u64,
    appended: u64,
    flushes: u64,
    crashes_in_open: u64,
    full: u64,
    refused: u64,
    kept_unacknowledged: u64,
}

impl World {
    fn new(seed: u64, sabotage: Sabotage) -> Self {
        let mut random = Random(seed);
        let options = LocalOptions {
            segment_min: 4096 << random.below(3),
            segment_max: 16384 << random.below(2),
            frame_bytes: 256 << random.below(5),
            sabotage,
            ..LocalOptions::simulated(seed)
        };
        Self {
            disk: LossyDisk::new(random.next()),
            random,
            options,
            hubs: BTreeMap::new(),
            hub_in_doubt: None,
            partitions: BTreeMap::new(),
            counts: Counts::default(),
        }
    }

    fn open(&mut self) -> Result<LocalStore, StoreError> {
        loop {
            match LocalStore::open_on(Arc::new(self.disk.clone()), self.options.clone()) {
                Ok(store) => return Ok(store),
                Err(_) if self.disk.is_crashed() => {
                    self.counts.crashes_in_open += 1;
                    self.disk = self.disk.reboot();
                    if self.random.below(3) == 0 {
                        self.disk.crash_at(1 + self.random.below(40));
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn audit_hubs(&mut self, store: &LocalStore) -> Result<(), String> {
        let found: BTreeMap<_, _> = store.hubs().unwrap().into_iter().map(|h| (h.name, h.number)).collect();
        if let Some(doubt) = self.hub_in_doubt.take() {
            match found.get(&doubt) {
                Some(number) => drop(self.hubs.insert(doubt, *number)),
                None => {
                    if let Some(number) = self.hubs.remove(&doubt) {
                        self.partitions.retain(|at, _| at.hub != number);
                    }
                }
            }
        }
        if found != self.hubs { Err(format!("hubs {found:?} instead of {:?}", self.hubs)) } else { Ok(()) }
    }

    fn audit_partition(&mut self, store: &LocalStore, at: PartitionRef) -> Result<(), String> {
        let fail = |what: String| Err(format!("{at:?}: {what}"));
        let found = match store.acquire(at) {
            Ok(found) => found,
            // An earlier step did not notice that preparing a segment failed.
            Err(StoreError::Failed(_)) => return Ok(()),
            Err(_) if self.disk.is_crashed() => return Ok(()),
            Err(error) => return fail(format!("cannot be acquired: {error}")),
        };
        let model = self.partitions.entry(at).or_default();
        if found.epoch <= model.epoch {
            return fail(format!("epoch {} after {}", found.epoch, model.epoch));
        }
        model.epoch = found.epoch;
        let flushed = found.row.as_ref().map_or(0, |r| r.position);
        if flushed != model.flushed && flushed != model.hoped_flush {
            return fail(format!("flushed {flushed} instead of {}", model.flushed));
        }
        model.flushed = flushed;
        model.hoped_flush = flushed;
        let counter = store.instance(at, COUNTER);
        match counter {
            Err(_) if self.disk.is_crashed() => return Ok(()),
            Err(error) => return fail(format!("cannot be read: {error}")),
            Ok(row) => {
                let shown = row.and_then(|r| r.custom_status).map_or(0, |s| s.parse().unwrap());
                if shown != flushed {
                    return fail(format!("rows of {shown} with position {flushed}"));
                }
            }
        }
        if found.active.len() as u64 != flushed % 2 {
            return fail("active marks do not match".into());
        }
        let last = flushed + found.tail.len() as u64;
        if last < model.durable.len() as u64 {
            return fail(format!("{} acknowledged batches, {last} found", model.durable.len()));
        }
        let expected: Vec<_> = model.durable.iter().chain(&model.hoped).cloned().collect();
        for (i, batch) in found.tail.iter().enumerate() {
            let position = flushed + i as u64 + 1;
            if batch.position != position || expected.get(position as usize - 1) != Some(&batch.records) {
                return fail(format!(
                    "batch {} at position {position} is not what was written",
                    batch.position
                ));
            }
        }
        self.counts.kept_unacknowledged += last - model.durable.len() as u64;
        model.durable = expected[..last as usize].to_vec();
        model.hoped.clear();
        Ok(())
    }

    /// One life of the store, until it crashes, fails or is closed.
    fn live(&mut self) -> Result<(), String> {
        self.counts.lives += 1;
        let fault = self.random.below(8);
        match fault {
            0 => {}
            1 => self.disk.fail_sync_at(1 + self.random.below(60)),
            2 => self.disk.fail_write_at(1 + self.random.below(200)),
            3 => self.disk.set_capacity(Some(self.disk.used() + self.random.below(60_000))),
            4 => self.disk.crash_at(1 + self.random.below(40)),
            _ => self.disk.crash_at(1 + self.random.below(400)),
        }
        let opened = self.open();
        let store = match opened {
            // An injected failure or a full disk may refuse, but never find fault with the data.
            Err(StoreError::Io { .. } | StoreError::Full(_)) if (1..=3).contains(&fault) => {
                self.counts.refused += 1;
                self.revive();
                return Ok(());
            }
            other => other.map_err(|e| format!("refused to open: {e}"))?,
        };
        self.audit_hubs(&store)?;
        let known: Vec<PartitionRef> =
            self.hubs.values().flat_map(|h| (0..4).map(|p| PartitionRef { hub: *h, partition: p })).collect();
        for at in known {
            self.audit_partition(&store, at)?;
        }
        for _ in 0..self.random.below(150) {
            let result = self.step(&store)?;
            match result {
                Ok(()) => {}
                Err(StoreError::Full(_)) => {
                    self.counts.full += 1;
                    if self.random.below(4) == 0 {
                        self.disk.set_capacity(None);
                    }
                }
                Err(error) => {
                    // From now on nothing but reads.
                    let at = PartitionRef { hub: 1, partition: 0 };
                    if !matches!(store.idle(), Err(StoreError::Failed(_))) {
                        return Err(format!("goes on after {error}"));
                    }
                    if !matches!(store.append(&[batch(at, 1, 1, Vec::new())]), Err(StoreError::Failed(_))) {
                        return Err(format!("appends after {error}"));
                    }
                    break;
                }
            }
        }
        if self.random.below(4) == 0 {
            let _ = store.close();
        }
        drop(store);
        self.revive();
        Ok(())
    }

    fn revive(&mut self) {
        // A process that ends alone leaves what it wrote in the page cache.
        let power_cut = self.disk.is_crashed() || self.random.below(2) == 0;
        self.disk = if power_cut { self.disk.reboot() } else { self.disk.restart() };
        self.disk.set_capacity(None);
    }

    fn step(&mut self, store: &LocalStore) -> Result<Result<(), StoreError>, String> {
        let choice = self.random.below(100);
        if self.hubs.is_empty() || choice < 2 {
            let name = format!("hub{}", self.random.below(3));
            let known = self.hubs.contains_key(&name);
            let result = if known { store.delete_hub(&name) } else { store.create_hub(&name, 4).map(|_| ()) };
            match &result {
                Ok(()) if known => {
                    let number = self.hubs.remove(&name).unwrap();
                    self.partitions.retain(|at, _| at.hub != number);
                }
                Ok(()) => {
                    let number = store.hubs().unwrap().iter().find(|h| h.name == name).unwrap().number;
                    self.hubs.insert(name, number);
                    for partition in 0..4 {
                        self.audit_partition(store, PartitionRef { hub: number, partition })?;
                    }
                }
                Err(StoreError::Full(_)) => {}
                Err(_) => self.hub_in_doubt = Some(name),
            }
            return Ok(result);
        }
        let all: Vec<PartitionRef> = self.partitions.keys().copied().collect();
        let pick = |random: &mut Random| all[random.below(all.len() as u64) as usize];
        Ok(match choice {
            2..70 => {
                let mut group: Vec<Batch> = Vec::new();
                for _ in 0..1 + self.random.below(5) {
                    let at = pick(&mut self.random);
                    let model = &self.partitions[&at];
                    let position =
                        1 + model.durable.len() as u64 + group.iter().filter(|b| b.at == at).count() as u64;
                    let len = match self.random.below(10) {
                        0 => 0,
                        1 => self.random.below(9000),
                        _ => self.random.below(300),
                    };
                    let records = self.random.bytes(len as usize);
                    group.push(batch(at, model.epoch, position, records));
                }
                let result = store.append(&group);
                for batch in group {
                    let model = self.partitions.get_mut(&batch.at).unwrap();
                    match &result {
                        Ok(()) => {
                            model.durable.push(batch.records);
                            self.counts.appended += 1;
                        }
                        Err(StoreError::Full(_)) => {}
                        Err(_) => model.hoped.push(batch.records),
                    }
                }
                result
            }
            70..80 => {
                let mut flush = BTreeMap::new();
                for _ in 0..1 + self.random.below(8) {
                    let at = pick(&mut self.random);
                    let model = &self.partitions[&at];
                    let last = model.durable.len() as u64;
                    let position = if self.random.below(3) == 0 {
                        model.flushed + self.random.below(last - model.flushed + 1)
                    } else {
                        last
                    };
                    flush.insert(at, position);
                }
                let result = store.flush(&flush.iter().map(|(at, p)| (*at, rows(*p))).collect::<Vec<_>>());
                for (at, position) in flush {
                    let model = self.partitions.get_mut(&at).unwrap();
                    match &result {
                        Ok(()) => {
                            (model.flushed, model.hoped_flush) = (position, position);
                            self.counts.flushes += 1;
                        }
                        Err(StoreError::Full(_)) => {}
                        Err(_) => model.hoped_flush = position,
                    }
                }
                result
            }
            80..90 => store.idle(),
            90..95 => store.reserve(self.random.below(20_000)),
            _ => {
                let at = pick(&mut self.random);
                self.audit_partition(store, at)?;
                Ok(())
            }
        })
    }
}

fn run(seed: u64, sabotage: Sabotage, lives: u64) -> Result<Counts, String> {
    let mut world = World::new(seed, sabotage);
    for life in 0..lives {
        world.live().map_err(|e| format!("seed {seed}, life {life}: {e}"))?;
    }
    // In the end everything must be readable.
    world.disk = world.disk.reboot();
    let store = world.open().map_err(|e| format!("seed {seed}, at the end: {e}"))?;
    world.audit_hubs(&store).map_err(|e| format!("seed {seed}, at the end: {e}"))?;
    for at in world.partitions.keys().copied().collect::<Vec<_>>() {
        world.audit_partition(&store, at).map_err(|e| format!("seed {seed}, at the end: {e}"))?;
    }
    Ok(world.counts)
}

fn seeds() -> u64 {
    std::env::var("STRANDLINE_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(60)
}

#[test]
fn nothing_acknowledged_is_ever_lost() {
    let mut sum = Counts::default();
    let first = std::env::var("STRANDLINE_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    for seed in first..first + seeds() {
        match run(seed, Sabotage::None, 12) {
            Ok(counts) => {
                sum.lives += counts.lives;
                sum.appended += counts.appended;
                sum.flushes += counts.flushes;
                sum.crashes_in_open += counts.crashes_in_open;
                sum.full += counts.full;
                sum.refused += counts.refused;
                sum.kept_unacknowledged += counts.kept_unacknowledged;
            }
            Err(error) => panic!("{error}"),
        }
    }
    println!("{sum:?}");
    // A test that never gets anywhere proves nothing.
    assert!(
        sum.appended > sum.lives && sum.crashes_in_open > 0 && sum.full > 0 && sum.kept_unacknowledged > 0
    );
}

#[test]
fn a_store_that_does_not_sync_is_found_out() {
    let caught = (0..20).filter(|seed| run(*seed, Sabotage::DropSync, 12).is_err()).count();
    assert!(caught >= 15, "only {caught} of 20");
}

/// What happens to hubs between two power cuts, one step after the other.
#[derive(Clone, Copy)]
enum Step {
    Create(&'static str),
    Delete(&'static str),
    /// Appends a batch to a hub and flushes it.
    Fill(&'static str),
    Idle,
}

#[test]
fn hubs_are_what_was_acknowledged_whenever_the_power_fails() {
    use Step::{Create, Delete, Fill, Idle};
    let script = [
        Create("a"),
        Fill("a"),
        Create("b"),
        Delete("a"),
        Idle,
        Create("a"),
        Delete("b"),
        Fill("a"),
        Idle,
        Idle,
        Create("b"),
        Delete("b"),
        Create("b"),
    ];
    let mut cuts = 0;
    for n in 1.. {
        let disk = LossyDisk::new(n);
        let options = LocalOptions::simulated(n);
        let store = LocalStore::open_on(Arc::new(disk.clone()), options.clone()).unwrap();
        disk.crash_at(n);
        let mut hubs = BTreeMap::new();
        let mut newest = 0;
        let mut doubt = None;
        for step in script {
            let done = match step {
                Create(name) => store.create_hub(name, 1).map(|hub| {
                    assert!(hub.number > newest);
                    newest = hub.number;
                    hubs.insert(name, newest);
                }),
                Delete(name) => store.delete_hub(name).map(|()| hubs.retain(|hub, _| *hub != name)),
                Fill(name) => fill(&store, hubs[name]),
                Idle => store.idle(),
            };
            if done.is_err() {
                doubt = Some(step);
                break;
            }
        }
        let crashed = disk.is_crashed();
        drop(store);
        let store = LocalStore::open_on(Arc::new(disk.reboot()), options).unwrap();
        let found = store.hubs().unwrap();
        let found: BTreeMap<&str, u32> = found.iter().map(|h| (h.name.as_str(), h.number)).collect();
        if found != hubs {
            match doubt {
                Some(Create(name)) => {
                    hubs.insert(name, newest + 1);
                }
                Some(Delete(name)) => {
                    hubs.remove(name);
                }
                _ => {}
            }
            assert_eq!(found, hubs, "power cut {n}");
        }
        // A new hub finds nothing of those before it, whose numbers are not used again.
        let fresh = store.create_hub("fresh", 1).unwrap().number;
        assert!(fresh > newest && hubs.values().all(|number| *number < fresh));
        let at = PartitionRef { hub: fresh, partition: 0 };
        assert_eq!(store.acquire(at).unwrap().row, None);
        if !crashed {
            break;
        }
        cuts += 1;
    }
    assert!(cuts > 20, "{cuts} operations");
}

fn fill(store: &LocalStore, hub: u32) -> Result<(), StoreError> {
    let at = PartitionRef { hub, partition: 0 };
    let epoch = store.acquire(at)?.epoch;
    store.append(&[batch(at, epoch, 1, vec![7; 100])])?;
    store.flush(&[(at, rows(1))])
}
