//! Reading many instances: pages of a list, and counts.

use std::collections::BTreeSet;
use std::time::Duration;

use strandline_hub::InstanceStatus;
use strandline_hub::query::{Cursor, InstanceQuery};
use strandline_model::InstanceId;

/// Which instances of a hub to read, and how far.
#[derive(Clone, Copy, Debug)]
pub struct Scan<'a> {
    /// The hub's number.
    pub hub: u32,
    pub query: &'a InstanceQuery,
    /// Begins behind this place of the list; it is of the query's order.
    pub after: Option<&'a Cursor>,
    /// Passed over, whatever their rows say: somebody knows better.
    pub hidden: &'a BTreeSet<InstanceId>,
    pub budget: Budget,
}

/// How much one scan may look at before it stops and says how far it got. It always gets further by at
/// least one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Rows or index entries. Alone, it makes scans repeatable.
    pub rows: usize,
    pub time: Option<Duration>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { rows: 10_000, time: Some(Duration::from_millis(50)) }
    }
}

/// A part of a list, as of one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// In the order of the query; fewer than asked for, even none, when the budget ran out.
    pub instances: Vec<InstanceStatus>,
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
