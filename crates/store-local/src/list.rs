//! Lists and counts: a merge of ranges of the tables, in the order of the list.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Bound;
use std::time::Instant;

use redb::{AccessGuard, Range, ReadOnlyTable, ReadTransaction, Value};
use strandline_hub::query::{Cursor, EntityQuery, InstanceQuery, Order};
use strandline_hub::row::{EntityRow, InstanceHead, InstanceRow};
use strandline_hub::{Entity, EntityStatus, Instance};
use strandline_model::{InstanceId, RuntimeStatus, partition_of};
use strandline_store::{Count, Page, PartitionRef, Scan, StoreError};

use crate::schema::{BY_COMPLETED, BY_NAME, BY_STATUS, ENTITIES, INSTANCES, corrupt, decode};
use crate::tables::{Problem, Tables};
use crate::{index, keys};

/// Rows between two looks at the clock.
const CLOCK_EVERY: usize = 64;

impl Tables {
    /// A page of a list of a hub that has so many partitions.
    pub(crate) fn list(&self, scan: &Scan<'_>, partitions: u16, limit: usize) -> Result<Page, StoreError> {
        let mut page = Page { items: Vec::new(), next: None };
        let mut bytes = 0;
        page.next = self.read(|txn| {
            let check = !scan.query.asks_only_indexed();
            Reader::new(txn, scan, partitions)?.run(|found| {
                let Some(value) = found.matching(check)? else { return Ok(true) };
                let row: InstanceRow = decode("instances", value.value())?;
                page.items.push(Instance::from_row(row).snapshot());
                bytes += value.value().len();
                Ok(page.items.len() < limit && bytes < scan.budget.bytes)
            })
        })?;
        Ok(page)
    }

    /// A page of the entities of a hub that has so many partitions.
    pub(crate) fn list_entities(
        &self,
        scan: &Scan<'_, EntityQuery>,
        partitions: u16,
        limit: usize,
    ) -> Result<Page<EntityStatus>, StoreError> {
        let Scan { hub, query, after, hidden, budget } = *scan;
        let deadline = budget.time.map(|time| Instant::now() + time);
        self.read(|txn| {
            let rows = txn.open_table(ENTITIES)?;
            let prefix = query.id_prefix.as_deref().unwrap_or_default();
            let mut merge = rows_by_id(&rows, hub, partitions, prefix, after)?;
            let mut page = Page { items: Vec::new(), next: None };
            let (mut seen, mut bytes) = (0, 0);
            while let Some((place, row)) = merge.next()? {
                seen += 1;
                let id = std::str::from_utf8(&place).map_err(|_| corrupt("a key of entities".into()))?;
                if !hidden.contains(id) {
                    let size = row.value().len();
                    let row: EntityRow = decode("entities", row.value())?;
                    let entity = Entity::from_row(row).snapshot();
                    if query.matches(&entity) {
                        bytes += size;
                        page.items.push(entity);
                    }
                }
                let late = deadline.is_some_and(|d| seen % CLOCK_EVERY == 0 && Instant::now() >= d);
                let full = page.items.len() >= limit || bytes >= budget.bytes;
                if full || seen >= budget.rows || late {
                    page.next = Some(Cursor::Id(InstanceId::trusted(id)));
                    break;
                }
            }
            Ok(page)
        })
    }

    pub(crate) fn count(&self, scan: &Scan<'_>, partitions: u16) -> Result<Count, StoreError> {
        let mut count = Count::default();
        count.next = self.read(|txn| {
            let check = !scan.query.asks_only_indexed();
            Reader::new(txn, scan, partitions)?.run(|found| {
                // The index alone may know enough.
                let counts = !check || found.matching(true)?.is_some();
                count.instances += u64::from(counts);
                Ok(true)
            })
        })?;
        Ok(count)
    }
}

/// A scan under way.
struct Reader<'s> {
    scan: &'s Scan<'s>,
    partitions: u16,
    rows: ReadOnlyTable<&'static [u8], &'static [u8]>,
    candidates: Candidates,
}

/// What may match, in order.
enum Candidates {
    /// Entries of an index.
    Entries(Merge<()>),
    /// Rows themselves.
    Rows(Merge<&'static [u8]>),
}

/// A candidate that is not hidden.
struct Found<'r> {
    reader: &'r Reader<'r>,
    id: &'r str,
    /// Its row, if that is what was read.
    row: Option<AccessGuard<'static, &'static [u8]>>,
}

impl<'s> Reader<'s> {
    fn new(txn: &ReadTransaction, scan: &'s Scan<'s>, partitions: u16) -> Result<Self, Problem> {
        if scan.after.is_some_and(|after| after.order() != scan.query.order()) {
            return Err(StoreError::Format("a cursor of another order than the query's".into()).into());
        }
        let rows = txn.open_table(INSTANCES)?;
        let candidates = match scan.query.order() {
            Order::Created | Order::Completed => Candidates::Entries(entries(txn, scan, partitions)?),
            Order::Id => {
                let prefix = scan.query.id_prefix.as_deref().unwrap_or_default();
                Candidates::Rows(rows_by_id(&rows, scan.hub, partitions, prefix, scan.after)?)
            }
        };
        Ok(Self { scan, partitions, rows, candidates })
    }

    /// Visits candidates until there are no more, one visit says no, or the budget is spent; returns how
    /// far it got unless that is the end.
    fn run(
        mut self,
        mut visit: impl FnMut(Found<'_>) -> Result<bool, Problem>,
    ) -> Result<Option<Cursor>, Problem> {
        let deadline = self.scan.budget.time.map(|time| Instant::now() + time);
        let mut seen = 0;
        loop {
            let (place, row) = match &mut self.candidates {
                Candidates::Entries(merge) => match merge.next()? {
                    Some((place, _)) => (place, None),
                    None => return Ok(None),
                },
                Candidates::Rows(merge) => match merge.next()? {
                    Some((place, row)) => (place, Some(row)),
                    None => return Ok(None),
                },
            };
            seen += 1;
            let damaged = || corrupt("a key of an index".into());
            let id = match row {
                None => index::id_of(&place),
                Some(_) => std::str::from_utf8(&place).ok(),
            };
            let id = id.ok_or_else(damaged)?;
            let wants_more = self.scan.hidden.contains(id) || visit(Found { reader: &self, id, row })?;
            let late = || deadline.is_some_and(|d| seen % CLOCK_EVERY == 0 && Instant::now() >= d);
            if !wants_more || seen >= self.scan.budget.rows || late() {
                let cursor = match self.scan.query.order() {
                    Order::Id => Some(Cursor::Id(InstanceId::trusted(id))),
                    order => index::cursor_of(order, &place),
                };
                return Ok(Some(cursor.ok_or_else(damaged)?));
            }
        }
    }
}

impl Found<'_> {
    /// The row, unless the query means others; without `check` it surely means this one.
    fn matching(self, check: bool) -> Result<Option<AccessGuard<'static, &'static [u8]>>, Problem> {
        let Reader { scan, partitions, rows, .. } = self.reader;
        let value = match self.row {
            Some(value) => value,
            None => {
                let at = PartitionRef { hub: scan.hub, partition: partition_of(self.id, *partitions) };
                let value = rows.get(&*keys::instance(at, self.id))?;
                value.ok_or_else(|| corrupt(format!("instance {:?} is in an index only", self.id)))?
            }
        };
        if check {
            let head: InstanceHead = decode("instances", value.value())?;
            if !scan.query.matches(&head.facts(self.id)) {
                return Ok(None);
            }
        }
        Ok(Some(value))
    }
}

/// The parts of an index that hold all that can match.
fn entries(txn: &ReadTransaction, scan: &Scan<'_>, partitions: u16) -> Result<Merge<()>, Problem> {
    let query = scan.query;
    let statuses = query.possible_statuses();
    let by_completed = query.order() == Order::Completed;
    let name = name_to_use(query, &statuses).filter(|_| !by_completed);
    let table = match name {
        Some(_) => BY_NAME,
        None if by_completed => BY_COMPLETED,
        None => BY_STATUS,
    };
    let table = txn.open_table(table)?;
    let parts = (0..partitions).flat_map(|partition| {
        let at = PartitionRef { hub: scan.hub, partition };
        match name {
            Some(name) => vec![index::name(at, name)],
            None => statuses.iter().map(|s| index::status(at, *s as i32)).collect(),
        }
    });
    let (begin, end) = if by_completed {
        (query.completed_from.map(index::from), query.completed_to.map(index::from))
    } else {
        (query.created_before().map(index::before), query.created_from.map(index::before))
    };
    let begin = scan.after.and_then(index::place).max(begin);
    let mut merge = Merge::default();
    for part in parts {
        let from = [&*part, begin.as_deref().unwrap_or_default()].concat();
        let to = match &end {
            Some(end) => Some([&*part, end].concat()),
            None => after_all(&part),
        };
        // No entry is just the index's part, so all of it is behind that.
        merge.add(&table, &from, to.as_deref(), part.len())?;
    }
    Ok(merge)
}

/// Of a query that gives both, the name is the better index when the statuses include the one that most
/// instances end in.
fn name_to_use<'q>(query: &'q InstanceQuery, statuses: &[RuntimeStatus]) -> Option<&'q str> {
    query.name.as_deref().filter(|_| statuses.contains(&RuntimeStatus::Completed))
}

/// The rows whose ids have a prefix, after a place, from all partitions.
fn rows_by_id(
    rows: &ReadOnlyTable<&'static [u8], &'static [u8]>,
    hub: u32,
    partitions: u16,
    prefix: &str,
    after: Option<&Cursor>,
) -> Result<Merge<&'static [u8]>, Problem> {
    let mut merge = Merge::default();
    for partition in 0..partitions {
        let at = PartitionRef { hub, partition };
        let all = keys::instance(at, prefix);
        let to = after_all(&all);
        match after {
            Some(Cursor::Id(id)) if id.as_str() >= prefix => {
                merge.add(rows, &keys::instance(at, id.as_str()), to.as_deref(), keys::PREFIX)?;
            }
            // The prefix may itself be an id.
            _ => merge.add_from(rows, Bound::Included(&*all), to.as_deref(), keys::PREFIX)?,
        }
    }
    Ok(merge)
}

/// The first key after all that begin with `prefix`; `None` when there is none.
fn after_all(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|b| *b != 0xff)?;
    let mut key = prefix[..=last].to_vec();
    key[last] += 1;
    Some(key)
}

/// Ranges of one table in one order: that of what follows the first bytes of their keys.
struct Merge<V: Value + 'static> {
    ranges: Vec<Part<V>>,
    /// The next key of each range, without the first bytes, and the number of the range.
    heads: BinaryHeap<Reverse<(Vec<u8>, usize)>>,
}

type Row<V> = (Vec<u8>, AccessGuard<'static, V>);

struct Part<V: Value + 'static> {
    range: Range<'static, &'static [u8], V>,
    /// Bytes of the keys that are the same in the whole range.
    skip: usize,
    /// The value of the head.
    value: Option<AccessGuard<'static, V>>,
}

impl<V: Value + 'static> Default for Merge<V> {
    fn default() -> Self {
        Self { ranges: Vec::new(), heads: BinaryHeap::new() }
    }
}

impl<V: Value + 'static> Merge<V> {
    /// Adds the rows after `from` and before `to`.
    fn add(
        &mut self,
        table: &ReadOnlyTable<&'static [u8], V>,
        from: &[u8],
        to: Option<&[u8]>,
        skip: usize,
    ) -> Result<(), Problem> {
        self.add_from(table, Bound::Excluded(from), to, skip)
    }

    fn add_from(
        &mut self,
        table: &ReadOnlyTable<&'static [u8], V>,
        from: Bound<&[u8]>,
        to: Option<&[u8]>,
        skip: usize,
    ) -> Result<(), Problem> {
        // A place behind the end of the range: redb takes no range that is turned round.
        if let (Bound::Excluded(begin) | Bound::Included(begin), Some(to)) = (from, to)
            && begin >= to
        {
            return Ok(());
        }
        let to = to.map_or(Bound::Unbounded, Bound::Excluded);
        let range = table.range::<&[u8]>((from, to))?;
        self.ranges.push(Part { range, skip, value: None });
        self.advance(self.ranges.len() - 1)
    }

    fn advance(&mut self, number: usize) -> Result<(), Problem> {
        let Some(part) = self.ranges.get_mut(number) else { return Ok(()) };
        if let Some(row) = part.range.next() {
            let (key, value) = row?;
            part.value = Some(value);
            self.heads.push(Reverse((key.value()[part.skip..].to_vec(), number)));
        }
        Ok(())
    }

    /// The next row of all: its key without the first bytes, and its value.
    fn next(&mut self) -> Result<Option<Row<V>>, Problem> {
        let Some(Reverse((place, number))) = self.heads.pop() else { return Ok(None) };
        let Some(value) = self.ranges[number].value.take() else { return Ok(None) };
        self.advance(number)?;
        Ok(Some((place, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_a_prefix() {
        assert_eq!(after_all(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(after_all(b"a\xff\xff"), Some(b"b".to_vec()));
        assert_eq!(after_all(b"\xff"), None);
    }
}
