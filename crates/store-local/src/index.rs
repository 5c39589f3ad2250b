//! The indexes over instances: of each partition by status and by name, with the newest first; and of what
//! is over by status, in the order in which it ended.
//!
//! A list of a hub is merged from its partitions. Flushes write a partition at a time, so its entries
//! stand together and share pages; in one index over the hub each flush would touch all that is recent.
//! A list of all instances is merged from the few statuses, too, so creation times need no index of
//! their own; a list by id is merged from the rows. Entries have no values: what else a query asks for is
//! in the row.

use std::collections::BTreeMap;

use redb::WriteTransaction;
use strandline_hub::query::{Cursor, Order};
use strandline_hub::row::{InstanceHead, InstanceRow};
use strandline_model::{EventKind, InstanceId, RuntimeStatus, Timestamp};
use strandline_store::PartitionRef;

use crate::keys;
use crate::options::Sabotage;
use crate::schema::{BY_COMPLETED, BY_NAME, BY_STATUS};
use crate::tables::Problem;

/// Bytes of a time in a key.
const TIME: usize = 12;

/// What the indexes say of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Indexed<'a> {
    status: i32,
    name: &'a str,
    created: Timestamp,
    completed: Option<Timestamp>,
}

impl<'a> Indexed<'a> {
    pub(crate) fn row(row: &'a InstanceRow) -> Self {
        let name = match row.started.kind() {
            EventKind::ExecutionStarted(start) => &start.name,
            _ => "",
        };
        let completed = row.ended.as_ref().map(|e| e.timestamp);
        Self { status: row.status, name, created: row.created, completed }
    }

    pub(crate) fn head(head: &'a InstanceHead) -> Self {
        let name = head.started.start.as_ref().map_or("", |s| &s.name);
        let completed = head.ended.as_ref().map(|e| e.timestamp);
        Self { status: head.status, name, created: head.created, completed }
    }
}

/// Entries that one transaction adds (true) and removes. Of several changes to an entry the last counts.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    by_status: BTreeMap<Vec<u8>, bool>,
    by_name: BTreeMap<Vec<u8>, bool>,
    by_completed: BTreeMap<Vec<u8>, bool>,
    sabotage: Sabotage,
}

impl Changes {
    pub(crate) fn new(sabotage: Sabotage) -> Self {
        Self { sabotage, ..Self::default() }
    }

    /// An instance's row was replaced; `None` is no row.
    pub(crate) fn replaced(
        &mut self,
        at: PartitionRef,
        id: &str,
        old: Option<Indexed<'_>>,
        new: Option<Indexed<'_>>,
    ) {
        if old.map(|i| (i.status, i.created)) != new.map(|i| (i.status, i.created)) {
            let key = |i: Indexed<'_>| entry(status(at, i.status), newest_first(i.created), id);
            self.by_status.extend(old.map(|old| (key(old), false)));
            self.by_status.extend(new.map(|new| (key(new), true)));
        }
        if old.map(|i| (i.name, i.created)) != new.map(|i| (i.name, i.created)) {
            let key = |i: Indexed<'_>| entry(name(at, i.name), newest_first(i.created), id);
            self.by_name.extend(old.map(|old| (key(old), false)));
            self.by_name.extend(new.map(|new| (key(new), true)));
        }
        let ended = |i: Indexed<'_>| i.completed.map(|completed| (i.status, completed));
        let (old, new) = (old.and_then(ended), new.and_then(ended));
        if old != new {
            let key = |(of, completed)| entry(status(at, of), oldest_first(completed), id);
            self.by_completed.extend(old.map(|old| (key(old), false)));
            self.by_completed.extend(new.map(|new| (key(new), true)));
        }
    }

    /// Writes them, in the order of their keys: so each page is touched once.
    pub(crate) fn apply(self, txn: &WriteTransaction) -> Result<(), Problem> {
        let Self { by_status, by_name, by_completed, .. } = self;
        for (table, changes) in [(BY_STATUS, by_status), (BY_NAME, by_name), (BY_COMPLETED, by_completed)] {
            let mut table = txn.open_table(table)?;
            for (key, added) in changes {
                if added {
                    table.insert(&*key, ())?;
                } else if self.sabotage != Sabotage::StaleIndexes {
                    table.remove(&*key)?;
                }
            }
        }
        Ok(())
    }
}

/// The part of an index by status that belongs to one status of a partition.
pub(crate) fn status(at: PartitionRef, status: i32) -> Vec<u8> {
    let mut key = keys::partition(at).to_vec();
    // A status this version does not know is listed as what it is taken for when it is read.
    key.push(RuntimeStatus::try_from(status).unwrap_or(RuntimeStatus::Failed) as u8);
    key
}

/// The part of the name index that belongs to one name of a partition.
pub(crate) fn name(at: PartitionRef, name: &str) -> Vec<u8> {
    let mut key = keys::partition(at).to_vec();
    // Behind its length no name is the beginning of another.
    key.extend_from_slice(&u16::try_from(name.len()).unwrap_or(u16::MAX).to_be_bytes());
    key.extend_from_slice(name.as_bytes());
    key
}

fn entry(mut key: Vec<u8>, time: [u8; TIME], id: &str) -> Vec<u8> {
    key.extend_from_slice(&time);
    key.extend_from_slice(id.as_bytes());
    key
}

/// A time as bytes of which the earliest sort first.
fn oldest_first(time: Timestamp) -> [u8; TIME] {
    let mut key = [0; TIME];
    key[..8].copy_from_slice(&(time.seconds.cast_unsigned() ^ 1 << 63).to_be_bytes());
    key[8..].copy_from_slice(&time.nanos.to_be_bytes());
    key
}

/// A time as bytes of which the latest sort first.
fn newest_first(time: Timestamp) -> [u8; TIME] {
    oldest_first(time).map(|byte| !byte)
}

/// The instance in what stands behind the index's part in an entry.
pub(crate) fn id_of(place: &[u8]) -> Option<&str> {
    std::str::from_utf8(place.get(TIME..)?).ok()
}

/// The place of a list in this order that an entry stands for; by id there are no entries.
pub(crate) fn cursor_of(order: Order, place: &[u8]) -> Option<Cursor> {
    let id = InstanceId::trusted(id_of(place)?);
    let time: [u8; TIME] = *place.first_chunk()?;
    match order {
        Order::Created => Some(Cursor::Created { created: time_of(&time.map(|byte| !byte)), id }),
        Order::Completed => Some(Cursor::Completed { completed: time_of(&time), id }),
        Order::Id => None,
    }
}

/// The time that sorts so among those of which the earliest come first.
fn time_of(key: &[u8; TIME]) -> Timestamp {
    let (mut seconds, mut nanos) = ([0; 8], [0; 4]);
    seconds.copy_from_slice(&key[..8]);
    nanos.copy_from_slice(&key[8..]);
    Timestamp {
        seconds: (u64::from_be_bytes(seconds) ^ 1 << 63).cast_signed(),
        nanos: u32::from_be_bytes(nanos),
    }
}

/// In an index with the newest first, what parts those of this time and later from those before it.
pub(crate) fn before(time: Timestamp) -> Vec<u8> {
    let mut key = newest_first(time).to_vec();
    // No id begins with this byte: it is not UTF-8.
    key.push(0xff);
    key
}

/// In an index with the earliest first, what parts those before this time from the others.
pub(crate) fn from(time: Timestamp) -> Vec<u8> {
    oldest_first(time).to_vec()
}

/// The place that a cursor stands for, if it is one in an index.
pub(crate) fn place(cursor: &Cursor) -> Option<Vec<u8>> {
    match cursor {
        Cursor::Created { created, id } => Some(entry(Vec::new(), newest_first(*created), id.as_str())),
        Cursor::Completed { completed, id } => Some(entry(Vec::new(), oldest_first(*completed), id.as_str())),
        Cursor::Id(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_sort_like_the_list() {
        let (mut created, mut completed) = (Vec::new(), Vec::new());
        for seconds in [i64::MIN, -1, 0, 1, 1 << 40, i64::MAX] {
            for nanos in [0, 1, 999_999_999] {
                for id in ["a", "aa", "b", "ä"].map(InstanceId::trusted) {
                    let time = Timestamp { seconds, nanos };
                    created.push(Cursor::Created { created: time, id: id.clone() });
                    completed.push(Cursor::Completed { completed: time, id });
                }
            }
        }
        for (order, mut cursors) in [(Order::Created, created), (Order::Completed, completed)] {
            cursors.sort();
            let places: Vec<_> = cursors.iter().map(|cursor| place(cursor).unwrap()).collect();
            assert!(places.is_sorted());
            let back: Vec<_> = places.iter().map(|place| cursor_of(order, place).unwrap()).collect();
            assert_eq!(back, cursors);
        }
    }

    #[test]
    fn bounds_part_the_times() {
        let at = |nanos| Timestamp { seconds: 5, nanos };
        let created = |nanos, id: &str| entry(Vec::new(), newest_first(at(nanos)), id);
        let bound = before(at(7));
        assert!(created(8, "\u{10ffff}") < bound && created(7, "\u{10ffff}") < bound);
        assert!(bound < created(6, ""));
        let completed = |nanos, id: &str| entry(Vec::new(), oldest_first(at(nanos)), id);
        let bound = from(at(7));
        assert!(completed(6, "\u{10ffff}") < bound && bound < completed(7, "a"));
    }
}
