//! What a worker elsewhere says of itself when it connects.

use std::collections::{BTreeMap, BTreeSet};

use super::{Kind, Line};

/// A worker elsewhere, as it introduces itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerProfile {
    /// Its name for itself; workers may share one.
    pub id: String,
    /// The library it is written with, and its version: a user agent.
    pub sdk: Option<String>,
    /// Where it connects from.
    pub peer: Option<String>,
    /// What it takes; `None` means all.
    pub filters: Option<Filters>,
    /// How much of each kind may be out to it at a time.
    pub slots: Slots,
}

/// The names and versions a worker takes. A kind without entries takes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    pub orchestrations: BTreeMap<String, Versions>,
    pub activities: BTreeMap<String, Versions>,
    /// In lower case.
    pub entities: BTreeSet<String>,
}

/// The versions of one name that a worker takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Versions {
    Any,
    /// Just these; the empty text stands for no version.
    Only(BTreeSet<String>),
}

impl Versions {
    /// As the protocol lists them: none listed means any.
    pub fn listed(versions: impl IntoIterator<Item = String>) -> Self {
        let versions: BTreeSet<_> = versions.into_iter().collect();
        if versions.is_empty() { Self::Any } else { Self::Only(versions) }
    }

    /// What either takes.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Only(mut these), Self::Only(those)) => {
                these.extend(those);
                Self::Only(these)
            }
            _ => Self::Any,
        }
    }

    fn take(&self, version: Option<&str>) -> bool {
        match self {
            Self::Any => true,
            Self::Only(versions) => versions.contains(version.unwrap_or_default()),
        }
    }
}

impl Filters {
    pub(super) fn take(&self, line: &Line) -> bool {
        let by_name = match line.kind {
            Kind::Orchestration => &self.orchestrations,
            Kind::Activity => &self.activities,
            Kind::Entity => return self.entities.contains(&line.name),
        };
        by_name.get(&line.name).is_some_and(|versions| versions.take(line.version.as_deref()))
    }

    pub(super) fn names(&self, kind: Kind) -> Box<dyn Iterator<Item = &str> + '_> {
        match kind {
            Kind::Orchestration => Box::new(self.orchestrations.keys().map(String::as_str)),
            Kind::Activity => Box::new(self.activities.keys().map(String::as_str)),
            Kind::Entity => Box::new(self.entities.iter().map(String::as_str)),
        }
    }
}

/// How many work items of each kind may be out at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    pub orchestrations: usize,
    pub activities: usize,
    pub entities: usize,
}

impl Slots {
    /// For a worker that does not say.
    pub const UNSPECIFIED: usize = 256;
    /// More is not given to one worker: what is out takes memory.
    pub const MAX: usize = 10_000;

    /// From what a worker asks for of orchestrations, activities and entities; 0 means that it does not
    /// say, not that it wants none.
    pub fn asked([orchestrations, activities, entities]: [usize; 3]) -> Self {
        let slots = |asked: usize| if asked == 0 { Self::UNSPECIFIED } else { asked.min(Self::MAX) };
        Self {
            orchestrations: slots(orchestrations),
            activities: slots(activities),
            entities: slots(entities),
        }
    }

    pub fn of(&self, kind: Kind) -> usize {
        match kind {
            Kind::Orchestration => self.orchestrations,
            Kind::Activity => self.activities,
            Kind::Entity => self.entities,
        }
    }
}

impl Default for Slots {
    fn default() -> Self {
        Self::asked([0; 3])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_take_what_they_list() {
        let only = |versions: &[&str]| Versions::listed(versions.iter().map(|v| (*v).to_owned()));
        let orchestrations =
            BTreeMap::from([("a".to_owned(), only(&[])), ("b".to_owned(), only(&["1.0", ""]))]);
        let filters =
            Filters { orchestrations, entities: ["counter".to_owned()].into(), ..Filters::default() };
        let line = |kind, name: &str, version: Option<&str>| Line {
            kind,
            name: name.to_owned(),
            version: version.map(str::to_owned),
        };
        let takes = |name, version| filters.take(&line(Kind::Orchestration, name, version));
        assert!(takes("a", None) && takes("a", Some("9")));
        assert!(takes("b", None) && takes("b", Some("1.0")) && !takes("b", Some("2.0")));
        assert!(!takes("A", None) && !takes("c", None));
        assert!(!filters.take(&line(Kind::Activity, "a", None)));
        assert!(filters.take(&line(Kind::Entity, "counter", None)));
        assert!(!only(&["1.0"]).take(None));
    }

    #[test]
    fn zero_slots_are_unspecified() {
        let slots = Slots::asked([0, 3, usize::MAX]);
        assert_eq!((slots.orchestrations, slots.activities, slots.entities), (256, 3, Slots::MAX));
    }
}
