//! Work that waits for a worker: by name and version, so that what nobody takes is in nobody's way.

use std::collections::BTreeMap;

use super::profile::Filters;
use super::{Item, ItemKey, Kind};

/// What workers choose by: work of one line is alike to them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    pub kind: Kind,
    pub name: String,
    pub version: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Each in order of arrival.
    waiting: BTreeMap<Line, BTreeMap<i64, Item>>,
    /// The first of each line, by kind and number.
    heads: BTreeMap<(Kind, i64), Line>,
    places: BTreeMap<ItemKey, (Line, i64)>,
    /// Grows at the end; what comes back goes to the front.
    last: i64,
    first: i64,
    bytes: usize,
}

/// Which end of the queue.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    Front,
    Back,
}

impl Queue {
    /// What waits already stays where it is, unless it goes by another name or version now.
    pub(super) fn put(&mut self, item: Item, end: End) {
        let key = item.key();
        if let Some((line, _)) = self.places.get(&key) {
            if *line == item.line() {
                return;
            }
            self.remove(&key);
        }
        let number = match end {
            End::Back => {
                self.last += 1;
                self.last
            }
            End::Front => {
                self.first -= 1;
                self.first
            }
        };
        let line = item.line();
        self.bytes += item.weight();
        self.places.insert(key, (line.clone(), number));
        let items = self.waiting.entry(line.clone()).or_default();
        let head = items.first_key_value().map(|(number, _)| *number);
        items.insert(number, item);
        if head.is_none_or(|head| number < head) {
            if let Some(head) = head {
                self.heads.remove(&(line.kind, head));
            }
            self.heads.insert((line.kind, number), line);
        }
    }

    pub(super) fn remove(&mut self, key: &ItemKey) -> Option<Item> {
        let (line, number) = self.places.remove(key)?;
        let items = self.waiting.get_mut(&line)?;
        let item = items.remove(&number)?;
        self.bytes -= item.weight();
        if self.heads.remove(&(line.kind, number)).is_some()
            && let Some((next, _)) = items.first_key_value()
        {
            self.heads.insert((line.kind, *next), line.clone());
        }
        if items.is_empty() {
            self.waiting.remove(&line);
        }
        Some(item)
    }

    /// The oldest of a kind that these filters take.
    pub(super) fn oldest(&self, kind: Kind, filters: Option<&Filters>) -> Option<&Item> {
        self.oldest_numbered(kind, filters).map(|(_, item)| item)
    }

    /// The oldest of a kind that these filters take, with its number: what is older has a lower one.
    pub(super) fn oldest_numbered(&self, kind: Kind, filters: Option<&Filters>) -> Option<(i64, &Item)> {
        let Some(filters) = filters else {
            let (_, line) = self.heads.range((kind, i64::MIN)..=(kind, i64::MAX)).next()?;
            return self.waiting.get(line)?.first_key_value().map(|(number, item)| (*number, item));
        };
        let lines = filters.names(kind).flat_map(|name| {
            let from = Line { kind, name: name.to_owned(), version: None };
            self.waiting.range(from..).take_while(move |(line, _)| line.kind == kind && line.name == name)
        });
        let taken = lines.filter(|(line, _)| filters.take(line));
        let heads = taken.filter_map(|(_, items)| items.first_key_value());
        heads.min_by_key(|(number, _)| **number).map(|(number, item)| (*number, item))
    }

    /// Takes out all that is meant.
    pub(super) fn withdraw(&mut self, is_meant: impl Fn(&Line) -> bool) -> Vec<Item> {
        let meant = self.waiting.iter().filter(|(line, _)| is_meant(line));
        let keys: Vec<_> = meant.flat_map(|(_, items)| items.values().map(Item::key)).collect();
        keys.iter().filter_map(|key| self.remove(key)).collect()
    }

    /// The keys of what waits in this range.
    pub(super) fn keys(&self, range: std::ops::RangeInclusive<ItemKey>) -> Vec<ItemKey> {
        self.places.range(range).map(|(key, _)| key.clone()).collect()
    }

    pub(super) fn line_of(&self, key: &ItemKey) -> Option<&Line> {
        self.places.get(key).map(|(line, _)| line)
    }

    /// What of the same line stands before it, if it waits.
    pub(super) fn ahead_of(&self, key: &ItemKey) -> Option<usize> {
        let (line, number) = self.places.get(key)?;
        Some(self.waiting.get(line)?.range(..number).count())
    }

    /// About how many bytes of memory it takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What waits, and how much of it.
    pub(super) fn lines(&self) -> impl Iterator<Item = (&Line, usize)> {
        self.waiting.iter().map(|(line, items)| (line, items.len()))
    }
}
