//! A list of instances out of two halves: what the tables hold, and what they do not show yet.
//!
//! The order of the two reads matters. The overlays come first: whatever changed and is not in the
//! tables is in them. Then the tables are read, and what they say of those instances is passed over. An
//! instance that reaches the tables in between is in the overlay; the other way round it could be in
//! neither. An instance that nothing changes meanwhile is found exactly once, since its place in the list
//! is its creation time and id, which never change.

mod token;

use std::collections::BTreeSet;

use strandline_hub::InstanceStatus;
use strandline_hub::query::{Cursor, InstanceQuery, Overlay};
use strandline_model::InstanceId;
use strandline_store::Page;

pub use token::{InvalidToken, TokenKey};

/// The overlays of all partitions of a hub, put together.
#[derive(Clone, Debug, Default)]
pub struct Overlays {
    first: Vec<InstanceStatus>,
    matching: u64,
    changed: BTreeSet<InstanceId>,
}

impl FromIterator<Overlay> for Overlays {
    fn from_iter<I: IntoIterator<Item = Overlay>>(overlays: I) -> Self {
        let mut all = Self::default();
        let mut changed = Vec::new();
        for overlay in overlays {
            all.first.extend(overlay.first);
            all.matching += overlay.matching as u64;
            changed.extend(overlay.changed);
        }
        // Made in one go, it is sorted once.
        all.changed = changed.into_iter().collect();
        all
    }
}

impl Overlays {
    /// How many instances to ask overlays and tables for, so that [`Overlays::merge`] makes a page of
    /// `limit`: one more tells whether that is all.
    pub fn wanted(limit: usize) -> usize {
        limit + 1
    }

    /// Instances whose rows do not count.
    pub fn hidden(&self) -> &BTreeSet<InstanceId> {
        &self.changed
    }

    /// How many instances of the overlays match.
    pub fn matching(&self) -> u64 {
        self.matching
    }

    /// The page of at most `limit` instances. `tables` holds none that is hidden.
    pub fn merge(self, query: &InstanceQuery, tables: Page, limit: usize) -> Page {
        let place = |i: &InstanceStatus| query.cursor(i.created, &i.id);
        let mut instances = self.first;
        // The tables were not read behind this place.
        if let Some(end) = &tables.next {
            instances.retain(|i| place(i) <= *end);
        }
        instances.extend(tables.instances);
        instances.sort_by_cached_key(place);
        if instances.len() <= limit {
            return Page { instances, next: tables.next };
        }
        instances.truncate(limit);
        let next: Option<Cursor> = instances.last().map(place);
        Page { instances, next }
    }
}
