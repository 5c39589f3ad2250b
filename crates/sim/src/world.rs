//! A world: one disk, the node that runs on it, its clients and its workers.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use strandline_engine::dispatch::Token;
use strandline_engine::pipeline::ActivityDispatch;
use strandline_model::{Timestamp, partition_of};
use strandline_store::disk::LossyDisk;
use strandline_store::{Batch, PartitionRef, Store, StoreError};

use crate::Violation;
use crate::auditor::Auditor;
use crate::chance::Chance;
use crate::coverage::Coverage;
use crate::knobs::Knobs;
use crate::mutants::Mutant;
use crate::node::Node;
use crate::trace::Trace;
use crate::watched_disk::Sightings;
use crate::worker::Worker;

pub(crate) struct World {
    pub(crate) chance: Chance,
    pub(crate) knobs: Knobs,
    pub(crate) mutant: Option<Mutant>,
    pub(crate) trace: Trace,
    pub(crate) auditor: Auditor,
    pub(crate) coverage: Coverage,
    pub(crate) disk: LossyDisk,
    pub(crate) sightings: Arc<Sightings>,
    /// Hub numbers and partition counts.
    pub(crate) hubs: BTreeMap<u32, u16>,
    pub(crate) node: Option<Node>,
    /// The store failed: the node must start over.
    pub(crate) broken: bool,
    /// A fault was injected since the node started, so errors are no surprise.
    pub(crate) faulty: bool,
    /// What the node asks of the disk, for the books.
    pub(crate) doing: &'static str,
    /// Batches of an owner that was usurped and does not know.
    pub(crate) ghost: Vec<Batch>,
    pub(crate) worker: Worker,
    pub(crate) served: bool,
    /// Workers lose, repeat and give back what they were handed.
    pub(crate) awkward: bool,
    pub(crate) activities: Vec<Work>,
    /// What workers elsewhere had, and may still return.
    pub(crate) old_tokens: Vec<(u32, Token)>,
    /// Waits that clients may give up.
    pub(crate) waits: Vec<(usize, Rc<Cell<bool>>)>,
    /// Nanoseconds since the epoch: the wall's clock and the engine's.
    pub(crate) wall: i128,
    pub(crate) engine: i128,
    pub(crate) step: u64,
    /// Counts what must be unique.
    pub(crate) tokens: u64,
}

/// An activity on a worker.
pub(crate) struct Work {
    pub(crate) dispatch: ActivityDispatch,
    pub(crate) reports: u32,
    pub(crate) survived: bool,
}

/// 2024-01-01T00:00:00Z in nanoseconds.
const BEGINNING: i128 = 1_704_067_200 * 1_000_000_000;

impl World {
    pub(crate) fn new(seed: u64, mutant: Option<Mutant>, traced: bool) -> Self {
        let mut chance = Chance::new(seed);
        let knobs = Knobs::of(&mut chance, mutant);
        let mut trace = Trace::new(traced);
        trace.tell(|| format!("seed {seed}: {knobs:?}"));
        Self {
            disk: LossyDisk::new(chance.next()),
            worker: Worker::new(knobs.ids.clone(), knobs.actions_max),
            auditor: Auditor::new(knobs.ids.clone()),
            chance,
            knobs,
            mutant,
            trace,
            coverage: Coverage::default(),
            sightings: Arc::default(),
            hubs: BTreeMap::new(),
            node: None,
            broken: false,
            faulty: false,
            doing: "",
            ghost: Vec::new(),
            served: true,
            awkward: true,
            activities: Vec::new(),
            old_tokens: Vec::new(),
            waits: Vec::new(),
            wall: BEGINNING,
            engine: BEGINNING,
            step: 0,
            tokens: 0,
        }
    }

    pub(crate) fn into_parts(self) -> (Coverage, Vec<String>) {
        let mut coverage = self.coverage;
        coverage.merge(&self.auditor.coverage);
        (coverage, self.trace.into_lines())
    }

    /// Lives, heals, and comes to rest.
    pub(crate) fn run(&mut self) -> Result<(), Violation> {
        self.boot()?;
        while self.step < self.knobs.steps {
            self.step += 1;
            let millis = if self.chance.one_in(8) { self.chance.below(400) } else { self.chance.below(3) };
            let nanos = i128::from(millis) * 1_000_000 + i128::from(self.chance.below(1_000_000));
            self.pass(nanos);
            self.random_step()?;
            self.start_over_if_broken()?;
        }
        self.drain()
    }

    fn random_step(&mut self) -> Result<(), Violation> {
        let knobs = &self.knobs;
        let once_in = |steps: u64, every: u64| steps.checked_div(every).unwrap_or(0) as u32;
        let weights = [
            knobs.calls * 10,
            350,
            150,
            120,
            120,
            100,
            150,
            once_in(1000, knobs.flush_every),
            60,
            10,
            20,
            20,
            4,
            once_in(1000, knobs.crash_every),
            once_in(1000, knobs.fault_every),
            4,
            8,
            10,
            3,
            5,
            5,
            150,
            15,
            if knobs.remote.is_some() { 600 } else { 0 },
        ];
        match self.chance.weighted(weights.into_iter()) {
            0 => self.call(),
            1 => self.drive(),
            2 => self.append(),
            3 => self.acknowledge(),
            4 => self.deliver(),
            5 => self.return_turn(),
            6 => self.work(),
            7 => self.begin_flush(),
            8 => self.end_flush(),
            9 => self.idle(),
            10 => self.skip_to_timer(),
            11 => {
                self.worker.evict(&mut self.chance, &mut self.coverage);
                Ok(())
            }
            12 => {
                self.worker.deploy();
                Ok(())
            }
            13 => self.crash(),
            14 => {
                self.arm_fault();
                Ok(())
            }
            15 => self.usurp(),
            16 => self.append_stale(),
            17 => self.audit(),
            18 => self.rehearse(),
            19 => {
                let served = !self.served;
                self.serve(served);
                Ok(())
            }
            20 => {
                self.give_up_waiting();
                Ok(())
            }
            21 => self.run_batch(),
            22 => self.run_old_batch(),
            _ => self.remote_step(),
        }
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, nanos: i128) {
        self.wall += nanos;
        self.engine += nanos;
        self.auditor.now = self.now();
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.engine)
    }

    pub(crate) fn partition_of(&self, hub: u32, id: &str) -> PartitionRef {
        PartitionRef { hub, partition: partition_of(id, self.hubs[&hub]) }
    }

    /// A partition at random.
    pub(crate) fn somewhere(&mut self) -> Option<PartitionRef> {
        let node = self.node.as_ref()?;
        let index = self.chance.index(node.pipelines.len());
        node.pipelines.keys().nth(index).copied()
    }

    /// A number nobody else gets.
    pub(crate) fn token(&mut self) -> u64 {
        self.tokens += 1;
        self.tokens
    }

    /// The store refused something it may refuse only when it, or its disk, is broken.
    pub(crate) fn store_failed(&mut self, error: &StoreError) -> Result<(), Violation> {
        self.trace.tell(|| format!("  the store failed: {error}"));
        let excused = self.disk.is_crashed() || self.faulty || matches!(error, StoreError::Full(_));
        if !excused {
            return Err(format!("the store failed though nothing was wrong: {error}"));
        }
        if self.disk.is_crashed() {
            match self.doing {
                "append" => self.coverage.hit("crash/in append"),
                "flush" => self.coverage.hit("crash/in flush"),
                _ => {}
            }
        }
        self.broken = true;
        Ok(())
    }

    fn idle(&mut self) -> Result<(), Violation> {
        let Some(node) = &self.node else { return Ok(()) };
        self.doing = "idle";
        match node.store.idle() {
            Ok(()) => Ok(()),
            Err(error) => self.store_failed(&error),
        }
    }
}
