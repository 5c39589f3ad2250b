//! What is counted by name, for a bounded number of names.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;

/// Names of one kind that are told apart; what goes by further ones is counted as `other`.
pub const NAMES_MAX: usize = 200;
/// What names beyond [`NAMES_MAX`] are counted as.
pub const OTHER: &str = "other";
/// Bytes of a name that a label shows.
const NAME_BYTES_MAX: usize = 200;

/// Something for each name.
pub(crate) struct ByName<T> {
    known: RwLock<BTreeMap<Box<str>, Arc<T>>>,
    make: fn() -> T,
}

impl<T> ByName<T> {
    pub(crate) fn new(make: fn() -> T) -> Self {
        Self { known: RwLock::default(), make }
    }

    pub(crate) fn of(&self, name: &str) -> Arc<T> {
        let name = shortened(name);
        if let Some(found) = self.known.read().get(name) {
            return found.clone();
        }
        let mut known = self.known.write();
        let name = if known.len() < NAMES_MAX || known.contains_key(name) { name } else { OTHER };
        known.entry(name.into()).or_insert_with(|| Arc::new((self.make)())).clone()
    }

    /// All there are, by name.
    pub(crate) fn all(&self) -> Vec<(Box<str>, Arc<T>)> {
        self.known.read().iter().map(|(name, of)| (name.clone(), of.clone())).collect()
    }
}

impl<T> std::fmt::Debug for ByName<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.known.read().keys()).finish()
    }
}

fn shortened(name: &str) -> &str {
    name.get(..name.floor_char_boundary(NAME_BYTES_MAX)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded() {
        let names: ByName<()> = ByName::new(|| ());
        for n in 0..100_000 {
            names.of(&format!("name-{n}"));
        }
        assert_eq!(names.all().len(), NAMES_MAX + 1);
        assert!(names.all().iter().any(|(name, _)| &**name == OTHER));
        assert_eq!(shortened(&"ü".repeat(NAME_BYTES_MAX)).len(), NAME_BYTES_MAX);
    }
}
