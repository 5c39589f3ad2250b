//! Which hubs there are. The log tells what becomes of them; the tables follow.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use strandline_store::{HUB_NAME_MAX, HUB_PARTITIONS_MAX, HubInfo, StoreError, is_hub_name};

/// What became of a hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HubChange {
    Created(HubInfo),
    Deleted(HubInfo),
}

/// The body of a frame that holds a [`HubChange`].
#[derive(Clone, PartialEq, Message)]
struct Body {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(uint32, tag = "2")]
    partitions: u32,
    #[prost(bool, tag = "3")]
    deleted: bool,
}

impl HubChange {
    pub(crate) fn hub(&self) -> &HubInfo {
        let (Self::Created(hub) | Self::Deleted(hub)) = self;
        hub
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let hub = self.hub();
        let deleted = matches!(self, Self::Deleted(_));
        Body { name: hub.name.clone(), partitions: hub.partitions.into(), deleted }.encode_to_vec()
    }

    /// Reads the body of a frame that names hub `number`.
    pub(crate) fn decode(number: u32, body: &[u8]) -> Option<Self> {
        let Body { name, partitions, deleted } = Body::decode(body).ok()?;
        let hub = HubInfo { name, number, partitions: u16::try_from(partitions).ok()? };
        Some(if deleted { Self::Deleted(hub) } else { Self::Created(hub) })
    }
}

/// The hubs of a store.
#[derive(Debug, Default)]
pub(crate) struct Hubs {
    pub(crate) live: BTreeMap<String, HubInfo>,
    /// Partition counts by hub number, of the same hubs.
    partitions: BTreeMap<u32, u16>,
    /// The number of the next one.
    pub(crate) next: u32,
    /// Deleted hubs whose rows are not all gone.
    pub(crate) dropping: BTreeSet<u32>,
}

impl Hubs {
    pub(crate) fn new(
        live: BTreeMap<String, HubInfo>,
        next: u32,
        dropping: impl IntoIterator<Item = u32>,
    ) -> Self {
        let partitions = live.values().map(|h| (h.number, h.partitions)).collect();
        Self { live, partitions, next, dropping: dropping.into_iter().collect() }
    }

    /// How many partitions a hub has; `None` when there is no such hub.
    pub(crate) fn partitions(&self, number: u32) -> Option<u16> {
        self.partitions.get(&number).copied()
    }

    /// The hub that may be made under a name.
    pub(crate) fn admit(&self, name: &str, partitions: u16) -> Result<HubInfo, StoreError> {
        if !is_hub_name(name) {
            return Err(StoreError::Format(format!(
                "{name:?} cannot be the name of a task hub: use 1 to {HUB_NAME_MAX} letters, digits, '_' and '-'"
            )));
        }
        if partitions == 0 || partitions > HUB_PARTITIONS_MAX {
            return Err(StoreError::Format(format!(
                "a task hub cannot have {partitions} partitions: choose 1 to {HUB_PARTITIONS_MAX}"
            )));
        }
        if self.live.contains_key(name) {
            return Err(StoreError::HubExists(name.into()));
        }
        if self.next == u32::MAX {
            return Err(StoreError::Format("no hub numbers are left".into()));
        }
        Ok(HubInfo { name: name.into(), number: self.next, partitions })
    }

    /// Applies a change; false when it was applied before.
    pub(crate) fn apply(&mut self, change: &HubChange) -> bool {
        match change {
            HubChange::Created(hub) if hub.number >= self.next => {
                self.next = hub.number + 1;
                self.partitions.insert(hub.number, hub.partitions);
                self.live.insert(hub.name.clone(), hub.clone());
            }
            HubChange::Deleted(hub) if self.partitions.remove(&hub.number).is_some() => {
                self.live.remove(&hub.name);
                self.dropping.insert(hub.number);
            }
            HubChange::Created(_) | HubChange::Deleted(_) => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_applied_once() {
        let mut hubs = Hubs::new(BTreeMap::new(), 1, []);
        let first = hubs.admit("a", 4).unwrap();
        let second = HubInfo { number: 2, ..first.clone() };
        let changes = [
            HubChange::Created(first.clone()),
            HubChange::Deleted(first),
            HubChange::Created(second.clone()),
        ];
        for (n, change) in changes.iter().cycle().take(6).enumerate() {
            let read = HubChange::decode(change.hub().number, &change.encode());
            assert_eq!(read.as_ref(), Some(change));
            assert_eq!(hubs.apply(change), n < 3);
        }
        assert_eq!((hubs.next, hubs.partitions(1), hubs.partitions(2)), (3, None, Some(4)));
        assert_eq!(hubs.live["a"], second);
        assert_eq!(hubs.dropping, [1].into());
    }
}
