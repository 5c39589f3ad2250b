//! Whether a node can do its work, for probes.

use std::sync::Weak;
use std::time::{Duration, Instant};

use prometheus_client::registry::Registry;

use super::node::{Inner, Node};
use super::running::Running;
use crate::dispatch::Kind;
use crate::metrics::{CustomMetrics, HubSample, Metrics, NodeCollector, NodeSample, Sampled, Waiting};

/// How often drivers are looked at that were asked for a sign of life.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// What a node can do at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeHealth {
    /// Why nothing can be written, if so.
    pub store: Option<StoreProblem>,
    pub hubs: Vec<HubHealth>,
}

/// Why nothing can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreProblem {
    #[error("the store failed and is being opened again, or is closed")]
    NotOpen,
    #[error("the disk has no room for the log")]
    Full,
    #[error("the log waits for the tables: new work is refused until a flush is done")]
    Behind,
}

/// A hub that was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubHealth {
    pub name: String,
    /// Its partitions, and how many of them run.
    pub partitions: u16,
    pub running: u16,
}

impl NodeHealth {
    /// Whether new work is taken and gets done.
    pub fn is_ready(&self) -> bool {
        self.store.is_none() && self.hubs.iter().all(|hub| hub.running == hub.partitions)
    }
}

impl Node {
    /// What the node can do at the moment. Costs next to nothing.
    pub fn health(&self) -> NodeHealth {
        self.inner.health()
    }

    /// Asks all drivers for a sign of life; those that give none within `patience` are stuck. While the
    /// node recovers there are none to ask.
    pub async fn stuck_drivers(&self, patience: Duration) -> usize {
        let drivers: Vec<_> =
            self.inner.running().iter().flat_map(|hub| hub.all_drivers().to_vec()).collect();
        let mut asked: Vec<_> = drivers.into_iter().map(|driver| (driver.beats(), driver)).collect();
        asked.iter().for_each(|(_, driver)| driver.poke());
        let end = Instant::now() + patience;
        loop {
            asked.retain(|(before, driver)| driver.beats() == *before);
            if asked.is_empty() || Instant::now() >= end {
                return asked.len();
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Begins no more activities and entity operations in this process. What is begun goes on, as do turns.
    pub fn drain(&self) {
        for hub in self.inner.running() {
            hub.activities.drain();
            hub.entities.drain();
        }
    }

    /// What activities that run in this process count on their own account.
    pub fn custom_metrics(&self) -> &CustomMetrics {
        self.inner.metrics().custom()
    }

    /// Puts all metrics of this node into a registry: those of the engine under `strandline_`, and those that
    /// activities define. Into one registry goes one node.
    pub fn register_metrics(&self, registry: &mut Registry) {
        let node = Box::new(Looked(std::sync::Arc::downgrade(&self.inner)));
        let metrics = self.inner.metrics().clone();
        let custom = metrics.custom().clone();
        let engine = registry.sub_registry_with_prefix("strandline");
        engine.register_collector(Box::new(NodeCollector { metrics, node }));
        registry.register_collector(Box::new(custom));
    }
}

/// A node that is looked at as long as it is there.
struct Looked(Weak<Inner>);

impl Sampled for Looked {
    fn sample(&self) -> Option<NodeSample> {
        let node = self.0.upgrade()?;
        let (stats, log_bytes) = node.store_use();
        Some(NodeSample {
            hubs: node.running().iter().map(|hub| hub.sample()).collect(),
            tables_bytes: stats.table_file_bytes,
            log_bytes,
            log_syncs: stats.log_syncs,
            flushes: stats.flushes,
        })
    }
}

impl Running {
    fn sample(&self) -> HubSample {
        let now = self.now();
        let mut sample = HubSample {
            name: self.info.name.clone(),
            partitions: self.info.partitions,
            census: Some(Default::default()),
            ..HubSample::default()
        };
        let mut oldest_turn = None;
        for driver in self.all_drivers() {
            driver.each(|pipeline| {
                let of = pipeline.sample();
                sample.counters.add(&of.counters);
                sample.census = sample.census.take().zip(of.census).map(|(mut sum, of)| {
                    for (status, count) in of {
                        *sum.entry(status).or_default() += count;
                    }
                    sum
                });
                sample.timers += of.timers;
                sample.memory_bytes += of.memory_bytes;
                sample.waiting[Kind::Orchestration as usize].count += of.turns_waiting;
                sample.waiting[Kind::Entity as usize].count += of.entities_waiting;
                oldest_turn = [oldest_turn, of.oldest_turn].into_iter().flatten().min();
            });
        }
        sample.waiting[Kind::Orchestration as usize].oldest =
            oldest_turn.map(|since| now.saturating_since(since));
        let here = self.activities.sample(now);
        let elsewhere = self.workers.sample(now);
        sample.waiting[Kind::Activity as usize] = Waiting {
            count: here.count + elsewhere.activities.count,
            oldest: here.oldest.max(elsewhere.activities.oldest),
        };
        let entities = self.entities.waiting();
        let waiting = &mut sample.waiting[Kind::Entity as usize];
        waiting.count += entities.count;
        waiting.oldest = entities.oldest;
        sample.out = elsewhere.out;
        sample.out[Kind::Activity as usize] += self.activities.running();
        sample.out[Kind::Entity as usize] += self.entities.running();
        sample.workers = elsewhere.workers;
        sample.redelivered = elsewhere.redelivered;
        sample
    }
}

impl Inner {
    /// What is counted, by this and all incarnations before.
    fn metrics(&self) -> &std::sync::Arc<Metrics> {
        &self.shared().metrics
    }
}
