//! A list of instances or entities out of two halves: what the tables hold, and what they do not show yet.
//!
//! The order of the two reads matters. The overlays come first: whatever changed and is not in the
//! tables is in them. Then the tables are read, and what they say of those instances is passed over. An
//! instance that reaches the tables in between is in the overlay; the other way round it could be in
//! neither. An instance that nothing changes meanwhile is found exactly once, since its place in the list
//! is its creation time and id, which never change.

mod token;

use std::collections::BTreeSet;

use strandline_hub::InstanceStatus;
use strandline_hub::query::{Cursor, Overlay, Query};
use strandline_model::InstanceId;
use strandline_store::Page;

pub use token::{InvalidToken, TokenKey};

/// The overlays of all partitions of a hub, put together.
#[derive(Clone, Debug)]
pub struct Overlays<T = InstanceStatus> {
    first: Vec<T>,
    matching: u64,
    changed: BTreeSet<InstanceId>,
}

impl<T> FromIterator<Overlay<T>> for Overlays<T> {
    fn from_iter<I: IntoIterator<Item = Overlay<T>>>(overlays: I) -> Self {
        let mut all = Self { first: Vec::new(), matching: 0, changed: BTreeSet::new() };
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

impl<T> Overlays<T> {
    /// How many entries to ask overlays and tables for, so that [`Overlays::merge`] makes a page of
    /// `limit`: one more tells whether that is all.
    pub fn wanted(limit: usize) -> usize {
        limit + 1
    }

    /// Those whose rows do not count.
    pub fn hidden(&self) -> &BTreeSet<InstanceId> {
        &self.changed
    }

    /// How many of the overlays match.
    pub fn matching(&self) -> u64 {
        self.matching
    }

    /// The page of at most `limit` entries. `tables` holds none that is hidden.
    pub fn merge<Q: Query<Item = T>>(self, query: &Q, tables: Page<T>, limit: usize) -> Page<T> {
        let place = |item: &T| query.place(item);
        let mut items = self.first;
        // The tables were not read behind this place.
        if let Some(end) = &tables.next {
            items.retain(|item| place(item) <= *end);
        }
        items.extend(tables.items);
        items.sort_by_cached_key(place);
        if items.len() <= limit {
            return Page { items, next: tables.next };
        }
        items.truncate(limit);
        let next: Option<Cursor> = items.last().map(place);
        Page { items, next }
    }
}
