//! What a node counts, for Prometheus and its kin.
//!
//! A [`Node`](crate::runtime::Node) has one [`Metrics`]. Counting is a few additions to atomics, most of
//! them once a batch; what can be read off the state of the node is read when somebody asks, and not
//! counted. Nothing grows but with the number of hubs and names, and both are bounded.

mod collect;
pub mod custom;
mod encode;
pub(crate) mod histogram;
pub(crate) mod hub;
mod names;

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

pub use custom::CustomMetrics;
pub use names::{NAMES_MAX, OTHER};

pub(crate) use collect::{HubSample, NodeCollector, NodeSample, Sampled, Waiting};

use self::histogram::{COUNTS, Histogram, SHORT};
use self::hub::HubMetrics;

/// Hubs that are told apart; further ones are counted together as `other`.
const HUBS_MAX: usize = 200;

/// What a node counts. All hubs of the node share it.
#[derive(Debug)]
pub struct Metrics {
    hubs: Mutex<BTreeMap<String, Arc<HubMetrics>>>,
    pub(crate) commit: Histogram,
    pub(crate) commit_batches: Histogram,
    custom: CustomMetrics,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            hubs: Mutex::default(),
            commit: Histogram::new(&SHORT),
            commit_batches: Histogram::new(&COUNTS),
            custom: CustomMetrics::default(),
        }
    }

    /// What activities that run in this process count on their own account.
    pub fn custom(&self) -> &CustomMetrics {
        &self.custom
    }

    /// What is counted of a hub, from its beginning on.
    pub(crate) fn hub(&self, name: &str) -> Arc<HubMetrics> {
        let mut hubs = self.hubs.lock();
        let name = if hubs.len() < HUBS_MAX || hubs.contains_key(name) { name } else { OTHER };
        hubs.entry(name.to_owned()).or_insert_with(|| Arc::new(HubMetrics::new())).clone()
    }

    /// A hub is no more.
    pub(crate) fn forget(&self, hub: &str) {
        self.hubs.lock().remove(hub);
    }

    fn hubs(&self) -> Vec<(String, Arc<HubMetrics>)> {
        self.hubs.lock().iter().map(|(name, of)| (name.clone(), of.clone())).collect()
    }
}
