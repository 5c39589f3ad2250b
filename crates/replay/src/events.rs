//! External events that reached the code, and the tasks that wait for them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use strandline_model::{EventKind, HistoryEvent};

use crate::task::TaskKey;

/// Events and waiters, matched by name ignoring ASCII case. For one name, at most one of the two
/// sets has members: an event goes to the oldest waiter at once, a waiter takes the oldest event.
#[derive(Default)]
pub(crate) struct EventBuffer {
    /// By folded name, then by order of arrival.
    buffered: BTreeMap<String, BTreeMap<u64, Arc<HistoryEvent>>>,
    /// By folded name.
    waiters: BTreeMap<String, Waiters>,
    arrivals: u64,
    bytes: usize,
}

/// Who waits for one name.
#[derive(Default)]
struct Waiters {
    /// As the code wrote it.
    name: String,
    /// Keys grow, so the smallest is the oldest.
    tasks: BTreeSet<TaskKey>,
}

/// An event with its place in the order of arrival.
pub(crate) struct Arrived {
    pub(crate) number: u64,
    pub(crate) event: Arc<HistoryEvent>,
}

pub(crate) fn fold(name: &str) -> String {
    name.to_ascii_lowercase()
}

fn raised_name(event: &HistoryEvent) -> &str {
    match event.kind() {
        EventKind::EventRaised(raised) => &raised.name,
        _ => "",
    }
}

impl EventBuffer {
    /// Numbers an event that just came in.
    pub(crate) fn arrive(&mut self, event: Arc<HistoryEvent>) -> Arrived {
        self.arrivals += 1;
        Arrived { number: self.arrivals, event }
    }

    /// The waiter that gets the event, or `None` after buffering it.
    pub(crate) fn offer(&mut self, arrived: Arrived) -> Option<(TaskKey, Arrived)> {
        let name = fold(raised_name(&arrived.event));
        if let Some(waiter) = self.waiters.get_mut(&name).and_then(|w| w.tasks.pop_first()) {
            return Some((waiter, arrived));
        }
        self.bytes += bytes_of(&arrived.event);
        self.buffered.entry(name).or_default().insert(arrived.number, arrived.event);
        None
    }

    /// The oldest buffered event of that name.
    pub(crate) fn take(&mut self, folded: &str) -> Option<Arrived> {
        let queue = self.buffered.get_mut(folded)?;
        let (number, event) = queue.pop_first()?;
        if queue.is_empty() {
            self.buffered.remove(folded);
        }
        self.bytes -= bytes_of(&event);
        Some(Arrived { number, event })
    }

    pub(crate) fn wait(&mut self, name: &str, waiter: TaskKey) {
        let waiters = self.waiters.entry(fold(name)).or_default();
        if waiters.tasks.is_empty() {
            waiters.name = name.to_owned();
        }
        waiters.tasks.insert(waiter);
    }

    /// The names that somebody waits for.
    pub(crate) fn awaited(&self) -> impl Iterator<Item = &str> {
        self.waiters.values().filter(|w| !w.tasks.is_empty()).map(|w| w.name.as_str())
    }

    pub(crate) fn stop_waiting(&mut self, folded: &str, waiter: TaskKey) {
        if let Some(waiters) = self.waiters.get_mut(folded) {
            waiters.tasks.remove(&waiter);
            if waiters.tasks.is_empty() {
                self.waiters.remove(folded);
            }
        }
    }

    /// Everything buffered, in order of arrival.
    pub(crate) fn drain(&mut self) -> Vec<Arc<HistoryEvent>> {
        self.bytes = 0;
        let all: BTreeMap<u64, _> = std::mem::take(&mut self.buffered).into_values().flatten().collect();
        all.into_values().collect()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

fn bytes_of(event: &HistoryEvent) -> usize {
    match event.kind() {
        EventKind::EventRaised(raised) => {
            raised.name.len() + raised.input.as_ref().map_or(0, String::len) + 64
        }
        _ => 64,
    }
}
