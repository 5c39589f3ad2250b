//! The indexes over instances: of each partition by status and by name, with the newest first.
//!
//! A list of a hub is merged from its partitions. Flushes write a partition at a time, so its entries
//! stand together and share pages; in one index over the hub each flush would touch all that is recent.
//! A list of all instances is merged from the few statuses, too, so creation times need no index of
//! their own; a list by id is merged from the rows. Entries have no values: what else a query asks for is
//! in the row.

use std::collections::BTreeMap;

use redb::WriteTransaction;
use strandline_hub::query::Cursor;
use strandline_hub::row::{InstanceHead, InstanceRow};
use strandline_model::{EventKind, InstanceId, RuntimeStatus, Timestamp};
use strandline_store::PartitionRef;

use crate::keys;
use crate::options::Sabotage;
use crate::schema::{BY_NAME, BY_STATUS};
use crate::tables::Problem;

/// Bytes of a creation time in a key.
const TIME: usize = 12;

/// What the indexes say of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Indexed<'a> {
    status: i32,
    name: &'a str,
    created: Timestamp,
}

impl<'a> Indexed<'a> {
    pub(crate) fn row(row: &'a InstanceRow) -> Self {
        let name = match row.started.kind() {
            EventKind::ExecutionStarted(start) => &start.name,
            _ => "",
        };
        Self { status: row.status, name, created: row.created }
    }

    pub(crate) fn head(head: &'a InstanceHead) -> Self {
        let name = head.started.start.as_ref().map_or("", |s| &s.name);
        Self { status: head.status, name, created: head.created }
    }
}

/// Entries that one transaction adds (true) and removes. Of several changes to an entry the last counts.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    by_status: BTreeMap<Vec<u8>, bool>,
    by_name: BTreeMap<Vec<u8>, bool>,
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
            let key = |i: Indexed<'_>| entry(status(at, i.status), i.created, id);
            self.by_status.extend(old.map(|old| (key(old), false)));
            self.by_status.extend(new.map(|new| (key(new), true)));
        }
        if old.map(|i| (i.name, i.created)) != new.map(|i| (i.name, i.created)) {
            let key = |i: Indexed<'_>| entry(name(at, i.name), i.created, id);
            self.by_name.extend(old.map(|old| (key(old), false)));
            self.by_name.extend(new.map(|new| (key(new), true)));
        }
    }

    /// Writes them, in the order of their keys: so each page is touched once.
    pub(crate) fn apply(self, txn: &WriteTransaction) -> Result<(), Problem> {
        for (table, changes) in [(BY_STATUS, self.by_status), (BY_NAME, self.by_name)] {
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

/// The part of the status index that belongs to one status of a partition.
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

fn entry(mut key: Vec<u8>, created: Timestamp, id: &str) -> Vec<u8> {
    key.extend_from_slice(&newest_first(created));
    key.extend_from_slice(id.as_bytes());
    key
}

/// A time as bytes of which the latest sort first.
fn newest_first(time: Timestamp) -> [u8; TIME] {
    let mut key = [0; TIME];
    key[..8].copy_from_slice(&(!(time.seconds.cast_unsigned() ^ 1 << 63)).to_be_bytes());
    key[8..].copy_from_slice(&(!time.nanos).to_be_bytes());
    key
}

/// What stands behind the index's part in an entry: creation time and instance.
pub(crate) fn place_of(place: &[u8]) -> Option<(Timestamp, &str)> {
    let (seconds, rest) = place.split_first_chunk::<8>()?;
    let (nanos, id) = rest.split_first_chunk::<4>()?;
    let created = Timestamp {
        seconds: (!u64::from_be_bytes(*seconds) ^ 1 << 63).cast_signed(),
        nanos: !u32::from_be_bytes(*nanos),
    };
    Some((created, std::str::from_utf8(id).ok()?))
}

/// The place of the list that an entry stands for.
pub(crate) fn cursor_of(place: &[u8]) -> Option<Cursor> {
    let (created, id) = place_of(place)?;
    Some(Cursor::Created { created, id: InstanceId::trusted(id) })
}

/// The last place that belongs to instances created at `from` or later; the end of a range.
pub(crate) fn end_of(from: Timestamp) -> Vec<u8> {
    let mut key = newest_first(from).to_vec();
    // No id begins with this byte: it is not UTF-8.
    key.push(0xff);
    key
}

/// The first place that belongs to instances created before `to`.
pub(crate) fn begin_of(to: Timestamp) -> Vec<u8> {
    end_of(to)
}

/// The place of one instance.
pub(crate) fn place(created: Timestamp, id: &str) -> Vec<u8> {
    entry(Vec::new(), created, id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_sort_like_the_list() {
        let mut cursors = Vec::new();
        for seconds in [i64::MIN, -1, 0, 1, 1 << 40, i64::MAX] {
            for nanos in [0, 1, 999_999_999] {
                for id in ["a", "aa", "b", "ä"] {
                    let created = Timestamp { seconds, nanos };
                    cursors.push(Cursor::Created { created, id: InstanceId::trusted(id) });
                }
            }
        }
        cursors.sort();
        let places: Vec<_> = cursors
            .iter()
            .map(|c| match c {
                Cursor::Created { created, id } => place(*created, id.as_str()),
                Cursor::Id(_) => unreachable!(),
            })
            .collect();
        assert!(places.is_sorted());
        let back: Vec<_> = places.iter().map(|p| cursor_of(p).unwrap()).collect();
        assert_eq!(back, cursors);
    }

    #[test]
    fn bounds_part_the_times() {
        let at = |nanos| Timestamp { seconds: 5, nanos };
        let bound = end_of(at(7));
        assert!(place(at(8), "\u{10ffff}") < bound && place(at(7), "\u{10ffff}") < bound);
        assert!(bound < place(at(6), ""));
    }
}
