//! Reading many instances: pages of a list, and counts.

use std::collections::BTreeSet;
use std::time::Duration;

use strandline_hub::InstanceStatus;
use strandline_hub::query::{Cursor, InstanceQuery};
use strandline_model::InstanceId;

/// Which instances or entities of a hub to read, and how far.
#[derive(Debug)]
pub struct Scan<'a, Q = InstanceQuery> {
    /// The hub's number.
    pub hub: u32,
    pub query: &'a Q,
    /// Begins behind this place of the list; it is of the query's order.
    pub after: Option<&'a Cursor>,
    /// Passed over, whatever their rows say: somebody knows better.
    pub hidden: &'a BTreeSet<InstanceId>,
    pub budget: Budget,
}

impl<Q> Clone for Scan<'_, Q> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Q> Copy for Scan<'_, Q> {}

/// How much one scan may look at before it stops and says how far it got. It always gets further by at
/// least one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Rows or index entries. Alone, it makes scans repeatable.
    pub rows: usize,
    pub time: Option<Duration>,
    /// Bytes of the rows that are in the page: after so many it is closed.
    pub bytes: usize,
}

impl Budget {
    /// Everything.
    pub const UNLIMITED: Self = Self { rows: usize::MAX, time: None, bytes: usize::MAX };
}

impl Default for Budget {
    fn default() -> Self {
        Self { rows: 10_000, time: Some(Duration::from_millis(50)), bytes: 8 << 20 }
    }
}

/// A part of a list, as of one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T = InstanceStatus> {
    /// In the order of the query; fewer than asked for, even none, when the budget ran out.
    pub items: Vec<T>,
    /// How far the scan got; `None` when it got to the end.
    pub next: Option<Cursor>,
}

/// A part of a count, as of one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub instances: u64,
    /// How far the scan got; `None` when it got to the end.
    pub next: Option<Cursor>,
}
